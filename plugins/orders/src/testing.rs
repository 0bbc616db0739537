//! Helpers of this plugin's tests.

use mortise_sdk::testing::{Host, HostBuilder};
use mortise_sdk::{Response, db};
use serde_json::{Value, json};

use crate::APP;

/// A host with the plugin's manifest, migrations and webhook secret.
pub fn builder() -> HostBuilder {
    Host::builder()
        .plugin(env!("CARGO_MANIFEST_DIR"))
        .secret("payment_webhook", "whsec_test")
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
    host.request("POST", "/orders")
        .scopes(["orders:write"])
        .json(&body)
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
