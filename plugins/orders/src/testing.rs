//! Helpers of this plugin's tests.

use mortise_sdk::testing::{Host, HostBuilder};
use mortise_sdk::{Response, db, secrets, time};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{APP, orders};

/// The secret of the payment provider.
pub const SECRET: &str = "payment_webhook";

/// A host with the plugin's manifest, migrations and webhook secret.
pub fn builder() -> HostBuilder {
    Host::builder()
        .plugin(env!("CARGO_MANIFEST_DIR"))
        .secret(SECRET, "whsec_test")
}

pub fn host() -> Host {
    builder().start()
}

/// Adds a product and returns its id.
pub fn product(sku: &str, price_cents: i64, stock: i64) -> i64 {
    db::query_one(
        "INSERT INTO products (sku, name, price_cents, stock, updated_at) VALUES ($1, $1, $2, $3, 0) RETURNING id",
        (sku, price_cents, stock),
    )
    .expect("the product is a valid one")
}

pub fn stock(product: i64) -> i64 {
    db::query_one("SELECT stock FROM products WHERE id = $1", (product,)).expect("the product is there")
}

pub fn place(host: &Host, lines: Value) -> Response {
    let body = json!({"customer_email": "ada@example.com", "lines": lines});
    post(host, "/orders", &body)
}

/// Sends a body with the scope `orders:write`.
pub fn post(host: &Host, path: &str, body: &(impl Serialize + ?Sized)) -> Response {
    host.request("POST", path)
        .scopes(["orders:write"])
        .json(body)
        .send(&APP)
}

/// Places an order of one product and returns its id.
pub fn order(host: &Host, product: i64, quantity: u32) -> i64 {
    let response = place(host, json!([{"product_id": product, "quantity": quantity}]));
    assert_eq!(response.status(), 201, "{}", response.text());
    response.json::<Value>()["id"]
        .as_i64()
        .expect("an order has an id")
}

/// An order as the API shows it.
pub fn show(order: i64) -> Value {
    let order = orders::find(order).expect("the order is there");
    serde_json::to_value(order).expect("an order is JSON")
}

/// The event that a payment without an intent succeeded.
pub fn simple_event(id: &str, order: i64, cents: i64) -> String {
    json!({"id": id, "type": "payment.succeeded", "order_id": order, "amount_cents": cents}).to_string()
}

/// The signature of a body at a time (seconds since 1970).
pub fn sign(timestamp: i64, body: &str) -> String {
    let signature = secrets::hmac_sha256(SECRET, format!("{timestamp}.{body}").as_bytes());
    let signature = signature.expect("the test host has the secret");
    let hex: String = signature.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={timestamp},v1={hex}")
}

/// Sends an event to the route of earlier versions.
pub fn send(host: &Host, signature: &str, body: &str) -> Response {
    host.request("POST", "/webhooks/payment")
        .header("X-Signature", signature)
        .header("content-type", "application/json")
        .body(body)
        .send(&APP)
}

/// Tells the shop that a payment succeeded, and returns what it did.
pub fn pay(host: &Host, intent: &str, order: i64, cents: i64) -> String {
    let event = json!({
        "id": format!("evt-{intent}-{order}-{cents}"),
        "type": "payment.succeeded",
        "order_id": order,
        "amount_cents": cents,
        "payment_intent": intent,
    });
    let body = event.to_string();
    let response = send(host, &sign(time::now() / 1000, &body), &body);
    assert_eq!(response.status(), 200, "{}", response.text());
    let answer = response.json::<Value>();
    let completion = answer["completion"].as_str();
    completion
        .or(answer["outcome"].as_str())
        .expect("an outcome")
        .to_owned()
}

/// What a product had at first: what can be sold, what is held and what is sold.
pub fn initial_stock(product: i64) -> i64 {
    db::query_one(
        "SELECT stock + reserved + coalesce((
             SELECT sum(line.quantity - line.cancelled) FROM order_lines AS line JOIN reservations AS sold
               ON sold.order_id = line.order_id AND sold.product_id = line.product_id
             WHERE line.product_id = products.id AND sold.state = 'consumed'
         ), 0) FROM products WHERE id = $1",
        (product,),
    )
    .expect("the product is there")
}

/// Checks what has to hold whatever happened. `products` are products with what they had at first.
pub fn check_invariants(products: &[(i64, i64)]) {
    for (product, initial) in products {
        assert_eq!(initial_stock(*product), *initial, "stock of product {product}");
    }
    for (what, sql) in [
        (
            "what is reserved is what is held",
            "SELECT count(*) FROM products WHERE reserved <> (
                 SELECT coalesce(sum(quantity), 0) FROM reservations
                 WHERE product_id = products.id AND state = 'held')",
        ),
        (
            "only placed orders, and those that wait for a person, hold stock",
            "SELECT count(*) FROM reservations JOIN orders ON orders.id = order_id
             WHERE reservations.state = 'held' AND orders.state NOT IN ('placed', 'review')",
        ),
        (
            "invoices have no gaps",
            "SELECT count(*) - coalesce(max(number), 0) FROM invoices",
        ),
        (
            "an order has one payment that completes it",
            "SELECT count(*) FROM (SELECT order_id FROM payments WHERE purpose = 'completes'
             GROUP BY order_id HAVING count(*) > 1)",
        ),
        (
            "a confirmed order has its payment and its invoice",
            "SELECT count(*) FROM orders WHERE state IN ('confirmed', 'completed') AND (
                 NOT EXISTS (SELECT 1 FROM payments WHERE order_id = orders.id AND purpose = 'completes')
                 OR NOT EXISTS (SELECT 1 FROM invoices WHERE order_id = orders.id))",
        ),
        (
            "a payment completes its order, is refunded, or waits for a person",
            "SELECT count(*) FROM payments WHERE purpose <> 'completes'
             AND NOT EXISTS (SELECT 1 FROM refunds WHERE payment_id = payments.id)
             AND NOT EXISTS (SELECT 1 FROM reviews WHERE reviews.intent = payments.intent)",
        ),
        (
            "refunds add up",
            "SELECT count(*) FROM payments WHERE refund_cents <> (
                 SELECT coalesce(sum(amount_cents), 0) FROM refunds
                 WHERE payment_id = payments.id AND state <> 'failed')
             OR refunded_cents <> (
                 SELECT coalesce(sum(amount_cents), 0) FROM refunds
                 WHERE payment_id = payments.id AND state = 'done')",
        ),
        (
            "an order in review has an open review",
            "SELECT count(*) FROM orders WHERE state = 'review' AND NOT EXISTS (
                 SELECT 1 FROM reviews WHERE order_id = orders.id AND resolved_at IS NULL)",
        ),
    ] {
        let wrong: i64 = db::query_one(sql, ()).expect("the tables are there");
        assert_eq!(wrong, 0, "{what}");
    }
}
