-- Outbound webhooks: the endpoints of tenants, and the deliveries of events to them.

CREATE TABLE webhook_endpoints (
    tenant           TEXT    NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    id               TEXT    NOT NULL,
    url              TEXT    NOT NULL,
    description      TEXT    NOT NULL,
    -- JSON: patterns of topics.
    topics           TEXT    NOT NULL,
    enabled          INTEGER NOT NULL,
    -- NULL: no limit.
    rate_per_minute  INTEGER,
    created_at       INTEGER NOT NULL,
    -- The first failure since the last success.
    failing_since    INTEGER,
    disabled_at      INTEGER,
    disabled_because TEXT,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

-- The secrets that sign for an endpoint, encrypted with the host's key. All that have not expired
-- sign.
CREATE TABLE webhook_endpoint_secrets (
    tenant     TEXT    NOT NULL,
    endpoint   TEXT    NOT NULL,
    number     INTEGER NOT NULL,
    sealed     BLOB    NOT NULL,
    created_at INTEGER NOT NULL,
    -- NULL: it is the current one.
    expires_at INTEGER,
    PRIMARY KEY (tenant, endpoint, number),
    FOREIGN KEY (tenant, endpoint) REFERENCES webhook_endpoints (tenant, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- The body of an event, once for all its deliveries.
CREATE TABLE webhook_events (
    tenant TEXT    NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    id     TEXT    NOT NULL,
    source TEXT    NOT NULL,
    topic  TEXT    NOT NULL,
    time   INTEGER NOT NULL,
    body   TEXT    NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT;

CREATE TABLE webhook_deliveries (
    tenant          TEXT    NOT NULL,
    id              TEXT    NOT NULL,
    endpoint        TEXT    NOT NULL,
    event           TEXT    NOT NULL,
    -- The job that sends it, or sent it last.
    job             TEXT    NOT NULL,
    -- waiting, delivered, failed or cancelled.
    state           TEXT    NOT NULL,
    attempts        INTEGER NOT NULL,
    -- How many attempts were made before it was last replayed.
    attempts_before INTEGER NOT NULL,
    -- The status of the last answer.
    status          INTEGER,
    error           TEXT,
    created_at      INTEGER NOT NULL,
    next_at         INTEGER,
    -- NULL while it waits.
    ended_at        INTEGER,
    PRIMARY KEY (tenant, id),
    FOREIGN KEY (tenant, endpoint) REFERENCES webhook_endpoints (tenant, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant, event) REFERENCES webhook_events (tenant, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE INDEX webhook_deliveries_by_endpoint ON webhook_deliveries (tenant, endpoint, id);
CREATE INDEX webhook_deliveries_by_event ON webhook_deliveries (tenant, event);
-- The oldest ended ones of a tenant, and of all tenants.
CREATE INDEX webhook_deliveries_ended ON webhook_deliveries (tenant, ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX webhook_deliveries_by_age ON webhook_deliveries (ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE webhook_attempts (
    tenant   TEXT    NOT NULL,
    delivery TEXT    NOT NULL,
    number   INTEGER NOT NULL,
    at       INTEGER NOT NULL,
    took_ms  INTEGER NOT NULL,
    status   INTEGER,
    error    TEXT,
    -- The beginning of the body of the answer.
    answer   TEXT,
    PRIMARY KEY (tenant, delivery, number),
    FOREIGN KEY (tenant, delivery) REFERENCES webhook_deliveries (tenant, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
