-- Each line of an order holds its stock until the order is paid, cancelled or expired. The stock moves only together
-- with the state of the reservation: held -> consumed, held -> released, and released -> consumed for a late payment.

CREATE TABLE reservations (
    order_id INTEGER NOT NULL,
    product_id INTEGER NOT NULL REFERENCES products (id),
    quantity INTEGER NOT NULL CHECK (quantity > 0),
    state TEXT NOT NULL CHECK (state IN ('held', 'consumed', 'released')),
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (order_id, product_id),
    FOREIGN KEY (order_id, product_id) REFERENCES order_lines (order_id, product_id)
);

CREATE INDEX reservations_by_product ON reservations (product_id, state);

-- Orders of the earlier version took their stock when they were placed. Those that are not paid hold it without an end.
INSERT INTO reservations (order_id, product_id, quantity, state, updated_at)
SELECT
    line.order_id, line.product_id, line.quantity,
    CASE orders.state WHEN 'placed' THEN 'held' WHEN 'cancelled' THEN 'released' ELSE 'consumed' END,
    orders.updated_at
FROM order_lines AS line JOIN orders ON orders.id = line.order_id;

UPDATE products SET reserved = coalesce(
    (SELECT sum(quantity) FROM reservations WHERE product_id = products.id AND state = 'held'), 0
);

CREATE TRIGGER reservations_go_forward BEFORE UPDATE OF state ON reservations
WHEN OLD.state = 'consumed' OR (OLD.state = 'released' AND NEW.state <> 'consumed')
BEGIN
    SELECT RAISE(ABORT, 'a reservation that has ended does not change');
END;
