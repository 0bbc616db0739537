-- An order has three states: of the order itself, of its payment and of its fulfilment.

-- `stock` stays what can be sold. `reserved` is what unpaid orders hold.
ALTER TABLE products ADD COLUMN reserved INTEGER NOT NULL DEFAULT 0 CHECK (reserved >= 0);

CREATE TABLE new_orders (
    id INTEGER PRIMARY KEY,
    state TEXT NOT NULL CHECK (state IN ('placed', 'confirmed', 'review', 'completed', 'cancelled')),
    payment_state TEXT NOT NULL CHECK (payment_state IN (
        'pending', 'requires_action', 'authorized', 'failed', 'captured', 'partially_refunded', 'refunded', 'disputed'
    )),
    fulfilment_state TEXT NOT NULL CHECK (
        fulfilment_state IN ('unfulfilled', 'partially_shipped', 'shipped', 'delivered')
    ),
    cancel_reason TEXT CHECK (cancel_reason IN ('expired', 'requested', 'payment-failed', 'migrated')),
    customer_email TEXT NOT NULL,
    total_cents INTEGER NOT NULL CHECK (total_cents >= 0),
    created_by TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    -- When the reservation ends; NULL if it does not.
    expires_at INTEGER,
    -- Counts the changes. The ERP has the one of `synced_revision`.
    revision INTEGER NOT NULL DEFAULT 1,
    synced_revision INTEGER NOT NULL DEFAULT 0 CHECK (synced_revision BETWEEN 0 AND revision),
    synced_at INTEGER,
    -- What callers of earlier versions of the API see.
    status TEXT NOT NULL GENERATED ALWAYS AS (
        CASE
            WHEN state = 'cancelled' THEN 'cancelled'
            WHEN fulfilment_state IN ('shipped', 'delivered') THEN fulfilment_state
            WHEN payment_state IN ('captured', 'partially_refunded', 'refunded', 'disputed') THEN 'paid'
            ELSE 'pending'
        END
    ) VIRTUAL,
    CHECK ((state = 'cancelled') = (cancel_reason IS NOT NULL)),
    CHECK (
        state NOT IN ('confirmed', 'completed')
        OR payment_state IN ('captured', 'partially_refunded', 'refunded', 'disputed')
    ),
    CHECK (state <> 'placed' OR payment_state IN ('pending', 'requires_action', 'authorized', 'failed')),
    CHECK (fulfilment_state = 'unfulfilled' OR state IN ('confirmed', 'review', 'completed'))
);

INSERT INTO new_orders (
    id, state, payment_state, fulfilment_state, cancel_reason, customer_email, total_cents, created_by, created_at,
    updated_at, synced_revision, synced_at
)
SELECT
    id,
    CASE status
        WHEN 'pending' THEN 'placed'
        WHEN 'delivered' THEN 'completed'
        WHEN 'cancelled' THEN 'cancelled'
        ELSE 'confirmed'
    END,
    CASE
        WHEN status IN ('paid', 'shipped', 'delivered') THEN 'captured'
        -- A paid order could be cancelled, and no refund was recorded.
        WHEN id IN (SELECT order_id FROM payment_events) THEN 'captured'
        ELSE 'pending'
    END,
    CASE WHEN status IN ('shipped', 'delivered') THEN status ELSE 'unfulfilled' END,
    CASE WHEN status = 'cancelled' THEN 'migrated' END,
    customer_email, total_cents, created_by, created_at, updated_at,
    CASE WHEN synced_at IS NULL THEN 0 ELSE 1 END,
    synced_at
FROM orders;

DROP TABLE orders;
ALTER TABLE new_orders RENAME TO orders;

CREATE INDEX orders_by_status ON orders (status, id);
CREATE INDEX orders_by_time ON orders (created_at);
CREATE INDEX orders_by_expiry ON orders (expires_at) WHERE state = 'placed' AND expires_at IS NOT NULL;

-- What became of the pieces of a line. A cancelled piece went back to the stock before it was shipped.
ALTER TABLE order_lines ADD COLUMN shipped INTEGER NOT NULL DEFAULT 0 CHECK (shipped >= 0);
ALTER TABLE order_lines ADD COLUMN cancelled INTEGER NOT NULL DEFAULT 0
    CHECK (cancelled >= 0 AND shipped + cancelled <= quantity);
ALTER TABLE order_lines ADD COLUMN refunded INTEGER NOT NULL DEFAULT 0
    CHECK (refunded >= 0 AND refunded <= quantity);

UPDATE order_lines SET shipped = quantity
WHERE order_id IN (SELECT id FROM orders WHERE fulfilment_state IN ('shipped', 'delivered'));
