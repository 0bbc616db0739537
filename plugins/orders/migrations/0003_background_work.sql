-- When the ERP had the order; NULL until then.
ALTER TABLE orders ADD COLUMN synced_at INTEGER;

CREATE INDEX orders_by_time ON orders (created_at);

-- One row for each day of the shop's time zone, such as 2026-01-31.
CREATE TABLE sales_reports (
    day TEXT PRIMARY KEY,
    orders INTEGER NOT NULL,
    cancelled INTEGER NOT NULL,
    revenue_cents INTEGER NOT NULL,
    made_at INTEGER NOT NULL
);
