-- Shipments, what the nightly reconciliation compared, and refunds in the sales report.

CREATE TABLE shipments (
    id INTEGER PRIMARY KEY,
    order_id INTEGER NOT NULL REFERENCES orders (id),
    carrier TEXT NOT NULL,
    tracking TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    delivered_at INTEGER
);

CREATE INDEX shipments_by_order ON shipments (order_id);

CREATE TABLE shipment_lines (
    shipment_id INTEGER NOT NULL REFERENCES shipments (id),
    product_id INTEGER NOT NULL REFERENCES products (id),
    quantity INTEGER NOT NULL CHECK (quantity > 0),
    PRIMARY KEY (shipment_id, product_id)
);

-- Orders that the earlier version shipped have one shipment with all their lines.
INSERT INTO shipments (id, order_id, carrier, tracking, created_at, delivered_at)
SELECT id, id, '', '', updated_at, CASE WHEN fulfilment_state = 'delivered' THEN updated_at END
FROM orders WHERE fulfilment_state IN ('shipped', 'delivered');

INSERT INTO shipment_lines (shipment_id, product_id, quantity)
SELECT line.order_id, line.product_id, line.quantity
FROM order_lines AS line JOIN orders ON orders.id = line.order_id
WHERE orders.fulfilment_state IN ('shipped', 'delivered');

-- One row for each span of time that was compared with the payment provider.
CREATE TABLE reconciliations (
    from_ms INTEGER NOT NULL,
    to_ms INTEGER NOT NULL,
    checked INTEGER NOT NULL,
    different INTEGER NOT NULL,
    made_at INTEGER NOT NULL,
    PRIMARY KEY (from_ms, to_ms)
);

ALTER TABLE sales_reports ADD COLUMN refunded_cents INTEGER NOT NULL DEFAULT 0;
