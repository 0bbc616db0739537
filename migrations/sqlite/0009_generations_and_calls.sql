-- How often what is stored of a tenant was changed: `generation` counts everything that serving its requests
-- reads, `key_generation` its API keys. Each is raised in the transaction of the change. A node compares both
-- with what it serves, and reads the tenant again if it is behind.
ALTER TABLE tenants ADD COLUMN generation     INTEGER NOT NULL DEFAULT 1;
ALTER TABLE tenants ADD COLUMN key_generation INTEGER NOT NULL DEFAULT 1;

-- What a block of records has, so that a question about records reads only the blocks that can answer it.
-- Blocks of earlier hosts have no summary and are always read.
CREATE TABLE block_summaries (
    tenant        TEXT    NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    last_id       TEXT    NOT NULL,
    first_id      TEXT    NOT NULL,
    -- When the earliest of its records began.
    started_first INTEGER NOT NULL,
    -- The distinct routes, each between two line feeds.
    routes        TEXT    NOT NULL,
    -- The distinct statuses, each between two commas.
    statuses      TEXT    NOT NULL,
    -- Four bytes of a hash of each distinct principal.
    principals    BLOB    NOT NULL,
    PRIMARY KEY (tenant, last_id, first_id)
) STRICT, WITHOUT ROWID;

-- How often each route was called by whom, by day (UTC). It outlives the records that it counts.
CREATE TABLE daily_calls (
    tenant      TEXT    NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    -- The beginning of the day.
    day         INTEGER NOT NULL,
    plugin      TEXT    NOT NULL,
    method      TEXT    NOT NULL,
    route       TEXT    NOT NULL,
    -- A principal; empty for callers without a credential; `*` for those beyond the limit of rows.
    caller      TEXT    NOT NULL,
    invocations INTEGER NOT NULL,
    -- How many of them failed: the host answered with a problem, or the plugin with a status of 5xx.
    failures    INTEGER NOT NULL,
    PRIMARY KEY (tenant, day, plugin, method, route, caller)
) STRICT, WITHOUT ROWID;

-- How many rows `daily_calls` has of a tenant and a day, so that nobody has to count them.
CREATE TABLE daily_call_rows (
    day    INTEGER NOT NULL,
    tenant TEXT    NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    rows   INTEGER NOT NULL,
    PRIMARY KEY (day, tenant)
) STRICT, WITHOUT ROWID;

CREATE INDEX daily_call_rows_by_tenant ON daily_call_rows (tenant);
