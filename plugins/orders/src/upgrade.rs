//! The rows of the first version's schema in the states of this one.

use mortise_sdk::db;
use mortise_sdk::testing::Host;

/// The schema of the first version.
const BEFORE: [&str; 3] = [
    include_str!("../migrations/0001_products_and_orders.sql"),
    include_str!("../migrations/0002_payment_events.sql"),
    include_str!("../migrations/0003_background_work.sql"),
];

const AFTER: [&str; 4] = [
    include_str!("../migrations/0004_states.sql"),
    include_str!("../migrations/0005_reservations.sql"),
    include_str!("../migrations/0006_payments.sql"),
    include_str!("../migrations/0007_fulfilment.sql"),
];

/// Orders in each status; the last one was paid before it was cancelled.
const ROWS: &str = "
    INSERT INTO products (id, sku, name, price_cents, stock, updated_at) VALUES (1, 'CHAIR', 'Chair', 100, 5, 0);
    INSERT INTO orders (id, status, customer_email, total_cents, created_by, created_at, updated_at, synced_at)
    VALUES (1, 'pending', 'ada@example.com', 200, 'key', 1, 2, NULL),
           (2, 'paid', 'ada@example.com', 100, 'key', 1, 2, 3),
           (3, 'shipped', 'ada@example.com', 100, 'key', 1, 2, 3),
           (4, 'delivered', 'ada@example.com', 100, 'key', 1, 2, 3),
           (5, 'cancelled', 'ada@example.com', 100, 'key', 1, 2, 3),
           (6, 'cancelled', 'ada@example.com', 100, 'key', 1, 2, 3);
    INSERT INTO order_lines (order_id, product_id, name, unit_price_cents, quantity)
    VALUES (1, 1, 'Chair', 100, 2), (2, 1, 'Chair', 100, 1), (3, 1, 'Chair', 100, 1), (4, 1, 'Chair', 100, 1),
           (5, 1, 'Chair', 100, 1), (6, 1, 'Chair', 100, 1);
    INSERT INTO payment_events (id, order_id, kind, received_at) VALUES ('e6', 6, 'payment.succeeded', 9);";

fn upgraded() -> Host {
    let mut builder = Host::builder();
    for sql in BEFORE.into_iter().chain([ROWS]).chain(AFTER) {
        builder = builder.sql(sql);
    }
    builder.start()
}

#[test]
fn every_order_keeps_its_status() {
    let _host = upgraded();
    let orders: Vec<(i64, String, String, String, String)> = db::query_as(
        "SELECT id, status, state, payment_state, fulfilment_state FROM orders ORDER BY id",
        (),
    )
    .expect("the table is there");
    let wanted = [
        (1, "pending", "placed", "pending", "unfulfilled"),
        (2, "paid", "confirmed", "captured", "unfulfilled"),
        (3, "shipped", "confirmed", "captured", "shipped"),
        (4, "delivered", "completed", "captured", "delivered"),
        (5, "cancelled", "cancelled", "pending", "unfulfilled"),
        (6, "cancelled", "cancelled", "captured", "unfulfilled"),
    ];
    for (found, wanted) in orders.iter().zip(wanted) {
        let (id, status, state, payment, fulfilment) = found;
        let found = (
            *id,
            status.as_str(),
            state.as_str(),
            payment.as_str(),
            fulfilment.as_str(),
        );
        assert_eq!(found, wanted);
    }
    assert_eq!(orders.len(), wanted.len());
}

#[test]
fn unpaid_orders_hold_their_stock_and_paid_ones_have_a_payment() {
    let _host = upgraded();
    let product: (i64, i64) =
        db::query_one("SELECT stock, reserved FROM products", ()).expect("the product is there");
    assert_eq!(product, (5, 2));
    let completed: Vec<i64> = db::query_as(
        "SELECT order_id FROM payments WHERE purpose = 'completes' ORDER BY order_id",
        (),
    )
    .expect("the table is there");
    assert_eq!(completed, [2, 3, 4]);
    let reviews: Vec<(i64, String)> =
        db::query_as("SELECT order_id, reason FROM reviews", ()).expect("the table is there");
    assert_eq!(reviews, [(6, "cancelled-after-payment".to_owned())]);
    let shipped: Vec<i64> =
        db::query_as("SELECT order_id FROM shipments ORDER BY id", ()).expect("the table is there");
    assert_eq!(shipped, [3, 4]);
}
