-- What the host knows of its tenants: who they are, what they run, what they allow, and what happened.

-- A named set of limits. `limits` is JSON: only what differs from the host's defaults.
CREATE TABLE plans (
    name   TEXT NOT NULL PRIMARY KEY,
    limits TEXT NOT NULL
) STRICT;

INSERT INTO plans (name, limits) VALUES ('standard', '{}');

CREATE TABLE tenants (
    id         TEXT    NOT NULL PRIMARY KEY,
    name       TEXT    NOT NULL UNIQUE,
    plan       TEXT    NOT NULL REFERENCES plans (name),
    limits     TEXT    NOT NULL,
    suspended  INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE INDEX tenants_by_plan ON tenants (plan);

-- The active version is always one that exists: a version in use cannot be deleted.
CREATE TABLE plugins (
    tenant     TEXT    NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    name       TEXT    NOT NULL,
    active     TEXT,
    disabled   INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, name),
    FOREIGN KEY (tenant, name, active) REFERENCES versions (tenant, plugin, digest)
) STRICT;

-- Uploaded components by digest. The bytes are files; `manifest` is the TOML that rode inside them.
CREATE TABLE versions (
    tenant     TEXT    NOT NULL,
    plugin     TEXT    NOT NULL,
    digest     TEXT    NOT NULL,
    manifest   TEXT    NOT NULL,
    size       INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, plugin, digest),
    FOREIGN KEY (tenant, plugin) REFERENCES plugins (tenant, name) ON DELETE CASCADE
) STRICT;

CREATE INDEX versions_by_age ON versions (tenant, plugin, created_at, digest);
CREATE INDEX versions_by_digest ON versions (digest);

-- Every change of the active version, counted up within the plugin.
CREATE TABLE activations (
    tenant   TEXT    NOT NULL,
    plugin   TEXT    NOT NULL,
    sequence INTEGER NOT NULL,
    digest   TEXT    NOT NULL,
    previous TEXT,
    actor    TEXT    NOT NULL,
    at       INTEGER NOT NULL,
    PRIMARY KEY (tenant, plugin, sequence),
    FOREIGN KEY (tenant, plugin) REFERENCES plugins (tenant, name) ON DELETE CASCADE
) STRICT;

-- What the tenant allows the plugin, as JSON. Without a row, nothing.
CREATE TABLE grants (
    tenant TEXT NOT NULL,
    plugin TEXT NOT NULL,
    grants TEXT NOT NULL,
    PRIMARY KEY (tenant, plugin),
    FOREIGN KEY (tenant, plugin) REFERENCES plugins (tenant, name) ON DELETE CASCADE
) STRICT;

CREATE TABLE config (
    tenant TEXT NOT NULL,
    plugin TEXT NOT NULL,
    name   TEXT NOT NULL,
    value  TEXT NOT NULL,
    PRIMARY KEY (tenant, plugin, name),
    FOREIGN KEY (tenant, plugin) REFERENCES plugins (tenant, name) ON DELETE CASCADE
) STRICT;

-- Encrypted under the host's key.
CREATE TABLE secrets (
    tenant     TEXT    NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    name       TEXT    NOT NULL,
    sealed     BLOB    NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, name)
) STRICT;

-- Keys of a tenant's consumers. `hash` is all that is kept of the secret.
CREATE TABLE api_keys (
    id         TEXT    NOT NULL PRIMARY KEY,
    tenant     TEXT    NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    name       TEXT    NOT NULL,
    scopes     TEXT    NOT NULL,
    hash       BLOB    NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER
) STRICT;

CREATE INDEX api_keys_by_tenant ON api_keys (tenant, id);

-- Tokens of the admin API. Without a tenant: an operator's.
CREATE TABLE tokens (
    id         TEXT    NOT NULL PRIMARY KEY,
    tenant     TEXT    REFERENCES tenants (id) ON DELETE CASCADE,
    name       TEXT    NOT NULL,
    role       TEXT    NOT NULL,
    hash       BLOB    NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER,
    CHECK ((tenant IS NULL) = (role = 'operator'))
) STRICT;

CREATE INDEX tokens_by_tenant ON tokens (tenant, id);

-- One row per run of a plugin. The id is a UUID v7, so that its order is that of time.
CREATE TABLE invocations (
    id                TEXT    NOT NULL PRIMARY KEY,
    tenant            TEXT    NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    plugin            TEXT    NOT NULL,
    version           TEXT    NOT NULL,
    trigger_kind      TEXT    NOT NULL,
    method            TEXT    NOT NULL,
    route             TEXT    NOT NULL,
    status            INTEGER NOT NULL,
    code              TEXT,
    blame             TEXT,
    principal         TEXT,
    started_at        INTEGER NOT NULL,
    consumed          TEXT    NOT NULL
) STRICT;

CREATE INDEX invocations_by_tenant ON invocations (tenant, id);
CREATE INDEX invocations_by_plugin ON invocations (tenant, plugin, id);
CREATE INDEX invocations_by_age ON invocations (started_at);

-- Lines by the invocation that wrote them and their place in it.
CREATE TABLE log_lines (
    tenant     TEXT    NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    invocation TEXT    NOT NULL,
    position   INTEGER NOT NULL,
    plugin     TEXT    NOT NULL,
    at         INTEGER NOT NULL,
    level      INTEGER NOT NULL,
    message    TEXT    NOT NULL,
    fields     TEXT    NOT NULL,
    PRIMARY KEY (tenant, invocation, position)
) STRICT;

CREATE INDEX log_lines_by_time ON log_lines (tenant, at, invocation, position);
CREATE INDEX log_lines_by_plugin ON log_lines (tenant, plugin, at, invocation, position);
CREATE INDEX log_lines_by_age ON log_lines (at);

-- What was consumed, summed by hour. It outlives the invocations that it sums.
CREATE TABLE usage_hours (
    tenant         TEXT    NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    plugin         TEXT    NOT NULL,
    hour           INTEGER NOT NULL,
    invocations    INTEGER NOT NULL,
    failures       INTEGER NOT NULL,
    cpu_us         INTEGER NOT NULL,
    wall_us        INTEGER NOT NULL,
    host_calls     INTEGER NOT NULL,
    sql_statements INTEGER NOT NULL,
    sql_rows       INTEGER NOT NULL,
    cache_calls    INTEGER NOT NULL,
    http_requests  INTEGER NOT NULL,
    http_bytes     INTEGER NOT NULL,
    log_lines      INTEGER NOT NULL,
    request_bytes  INTEGER NOT NULL,
    response_bytes INTEGER NOT NULL,
    PRIMARY KEY (tenant, plugin, hour)
) STRICT;

-- Who changed what. It refers to nothing, so that it outlives what it tells of.
CREATE TABLE audit (
    id      TEXT    NOT NULL PRIMARY KEY,
    tenant  TEXT,
    actor   TEXT    NOT NULL,
    action  TEXT    NOT NULL,
    subject TEXT    NOT NULL,
    at      INTEGER NOT NULL
) STRICT;

CREATE INDEX audit_by_tenant ON audit (tenant, id);
