-- More of what was consumed, summed by hour.
ALTER TABLE usage_hours ADD COLUMN queued_us         INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_hours ADD COLUMN sql_us            INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_hours ADD COLUMN sql_bytes         INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_hours ADD COLUMN http_us           INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_hours ADD COLUMN log_lines_dropped INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_hours ADD COLUMN log_bytes         INTEGER NOT NULL DEFAULT 0;

-- How many records of invocations a tenant has, and how many bytes of log lines. It changes with them, so that nobody
-- has to count when the oldest of too many are to go.
CREATE TABLE kept (
    tenant    TEXT    NOT NULL PRIMARY KEY REFERENCES tenants (id) ON DELETE CASCADE,
    records   INTEGER NOT NULL,
    log_bytes INTEGER NOT NULL
) STRICT;

-- The bytes of a line are those of its text and 200 for what stands around it.
INSERT INTO kept (tenant, records, log_bytes)
SELECT id,
       (SELECT COUNT(*) FROM invocations WHERE tenant = tenants.id),
       (SELECT COALESCE(SUM(octet_length(message) + octet_length(fields) + 200), 0)
          FROM log_lines WHERE tenant = tenants.id)
  FROM tenants;
