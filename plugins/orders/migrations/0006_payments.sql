-- Payments by the provider's id of the payment intent. The provider tells of a payment several times and in several
-- ways; its row is written once, by whichever comes first.

CREATE TABLE payments (
    id INTEGER PRIMARY KEY,
    intent TEXT NOT NULL UNIQUE,
    order_id INTEGER REFERENCES orders (id),
    -- The payment completes its order, or it is more than the order needs, or there is no such order.
    purpose TEXT NOT NULL CHECK (purpose IN ('completes', 'surplus', 'unmatched')),
    source TEXT NOT NULL CHECK (source IN ('webhook', 'return', 'reconciliation', 'manual', 'migration')),
    amount_cents INTEGER NOT NULL CHECK (amount_cents >= 0),
    -- What is to be refunded, and what the provider has refunded.
    refund_cents INTEGER NOT NULL DEFAULT 0 CHECK (refund_cents BETWEEN 0 AND amount_cents),
    refunded_cents INTEGER NOT NULL DEFAULT 0 CHECK (refunded_cents BETWEEN 0 AND refund_cents),
    captured_at INTEGER NOT NULL,
    CHECK ((purpose = 'unmatched') = (order_id IS NULL))
);

CREATE UNIQUE INDEX payments_complete_an_order_once ON payments (order_id) WHERE purpose = 'completes';
CREATE INDEX payments_by_order ON payments (order_id);

CREATE TABLE refunds (
    id INTEGER PRIMARY KEY,
    payment_id INTEGER NOT NULL REFERENCES payments (id),
    order_id INTEGER REFERENCES orders (id),
    amount_cents INTEGER NOT NULL CHECK (amount_cents > 0),
    reason TEXT NOT NULL,
    -- The caller's key: a refund with the same key is made once.
    key TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('requested', 'done', 'failed')),
    provider_id TEXT,
    created_by TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    done_at INTEGER,
    UNIQUE (payment_id, key),
    CHECK ((state = 'done') = (done_at IS NOT NULL))
);

CREATE INDEX refunds_by_order ON refunds (order_id);

CREATE TABLE refund_lines (
    refund_id INTEGER NOT NULL REFERENCES refunds (id),
    product_id INTEGER NOT NULL REFERENCES products (id),
    quantity INTEGER NOT NULL CHECK (quantity > 0),
    amount_cents INTEGER NOT NULL CHECK (amount_cents >= 0),
    PRIMARY KEY (refund_id, product_id)
);

-- Numbers have no gaps: each is the one after the last, and no row is changed or deleted.
CREATE TABLE invoices (
    number INTEGER PRIMARY KEY CHECK (number > 0),
    order_id INTEGER NOT NULL UNIQUE REFERENCES orders (id),
    total_cents INTEGER NOT NULL CHECK (total_cents >= 0),
    issued_at INTEGER NOT NULL
);

CREATE TRIGGER invoices_have_no_gaps BEFORE INSERT ON invoices
WHEN NEW.number <> (SELECT coalesce(max(number), 0) + 1 FROM invoices)
BEGIN
    SELECT RAISE(ABORT, 'an invoice has the number after the last one');
END;

CREATE TRIGGER invoices_do_not_change BEFORE UPDATE ON invoices
BEGIN
    SELECT RAISE(ABORT, 'an invoice does not change');
END;

CREATE TRIGGER invoices_stay BEFORE DELETE ON invoices
BEGIN
    SELECT RAISE(ABORT, 'an invoice stays');
END;

-- What a person has to decide.
CREATE TABLE reviews (
    id INTEGER PRIMARY KEY,
    order_id INTEGER REFERENCES orders (id),
    intent TEXT,
    reason TEXT NOT NULL CHECK (reason IN (
        'amount-mismatch', 'out-of-stock', 'refund-failed', 'unknown-order', 'unknown-to-provider', 'disputed',
        'cancelled-after-payment'
    )),
    detail TEXT NOT NULL,
    opened_at INTEGER NOT NULL,
    resolved_at INTEGER,
    resolution TEXT CHECK (resolution IN ('confirm', 'refund', 'dismiss')),
    CHECK ((resolved_at IS NULL) = (resolution IS NULL))
);

CREATE UNIQUE INDEX reviews_open_once ON reviews (reason, coalesce(order_id, 0), coalesce(intent, ''))
WHERE resolved_at IS NULL;
CREATE INDEX reviews_by_order ON reviews (order_id);

-- Payments of orders of the earlier version, which stored no intent.
INSERT INTO payments (intent, order_id, purpose, source, amount_cents, captured_at)
SELECT
    'order-' || id, id, CASE state WHEN 'cancelled' THEN 'surplus' ELSE 'completes' END, 'migration', total_cents,
    coalesce((SELECT min(received_at) FROM payment_events WHERE order_id = orders.id), updated_at)
FROM orders WHERE payment_state = 'captured';

INSERT INTO reviews (order_id, intent, reason, detail, opened_at)
SELECT
    id, 'order-' || id, 'cancelled-after-payment',
    'The order was paid and then cancelled. The earlier version recorded no refund.', updated_at
FROM orders WHERE state = 'cancelled' AND payment_state = 'captured';
