-- Every event of the payment provider that took effect, so that none does so twice.
CREATE TABLE payment_events (
    id TEXT PRIMARY KEY,
    order_id INTEGER NOT NULL REFERENCES orders (id),
    kind TEXT NOT NULL,
    received_at INTEGER NOT NULL
);
