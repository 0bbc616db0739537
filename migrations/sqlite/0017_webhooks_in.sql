-- Webhooks that plugins received. Each is stored in the transaction that adds its job.

CREATE TABLE webhooks_received (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant      TEXT    NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    id          TEXT    NOT NULL,
    plugin      TEXT    NOT NULL,
    webhook     TEXT    NOT NULL,
    -- The sender's id of the message. A message is stored once.
    message     TEXT    NOT NULL,
    -- Bytes of headers and body.
    bytes       INTEGER NOT NULL,
    -- How often the message came again.
    repeats     INTEGER NOT NULL DEFAULT 0,
    received_at INTEGER NOT NULL,
    last_at     INTEGER NOT NULL,
    -- The job that was added last: the first one, or that of the last replay.
    job         TEXT    NOT NULL,
    UNIQUE (tenant, id),
    UNIQUE (tenant, plugin, webhook, message)
) STRICT;

CREATE INDEX webhooks_received_by_age ON webhooks_received (received_at);

-- Headers and bodies, apart from the rows that lists read.
CREATE TABLE webhook_contents (
    seq     INTEGER PRIMARY KEY REFERENCES webhooks_received (seq) ON DELETE CASCADE,
    -- JSON: a list of names and values.
    headers TEXT NOT NULL,
    body    TEXT NOT NULL
) STRICT;

-- How many received webhooks a tenant has, and their bytes. The numbers change with the rows.
CREATE TABLE webhook_counts (
    tenant   TEXT    NOT NULL PRIMARY KEY REFERENCES tenants (id) ON DELETE CASCADE,
    received INTEGER NOT NULL,
    bytes    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
