-- An entry of the audit log says what changed and names who did it and to whom, so that it can be
-- read once both are gone. `value_before` and `value_after` are JSON with only the members that
-- changed.
ALTER TABLE audit ADD COLUMN tenant_name  TEXT;
ALTER TABLE audit ADD COLUMN actor_kind   TEXT NOT NULL DEFAULT 'token';
ALTER TABLE audit ADD COLUMN actor_name   TEXT;
ALTER TABLE audit ADD COLUMN value_before TEXT;
ALTER TABLE audit ADD COLUMN value_after  TEXT;

-- Entries of earlier hosts get the names that are still known. The subject of these actions is the
-- name of the tenant.
UPDATE audit SET
    actor_kind  = CASE actor WHEN 'host' THEN 'host' ELSE 'token' END,
    actor_name  = (SELECT name FROM tokens WHERE tokens.id = audit.actor),
    tenant_name = COALESCE(
        (SELECT name FROM tenants WHERE tenants.id = audit.tenant),
        (SELECT known.subject FROM audit AS known
          WHERE known.tenant = audit.tenant AND known.action IN ('tenant.create', 'tenant.change', 'tenant.delete')
          ORDER BY known.id LIMIT 1));

CREATE INDEX audit_by_tenant_name ON audit (tenant_name, id);
CREATE INDEX audit_by_actor ON audit (actor, id);

-- Tokens that read the metrics belong to no tenant either. A constraint changes only with its table.
CREATE TABLE tokens_new (
    id         TEXT    NOT NULL PRIMARY KEY,
    tenant     TEXT    REFERENCES tenants (id) ON DELETE CASCADE,
    name       TEXT    NOT NULL,
    role       TEXT    NOT NULL,
    hash       BLOB    NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER,
    CHECK ((tenant IS NULL) = (role IN ('operator', 'metrics')))
) STRICT;

INSERT INTO tokens_new SELECT id, tenant, name, role, hash, created_at, expires_at, revoked_at FROM tokens;
DROP TABLE tokens;
ALTER TABLE tokens_new RENAME TO tokens;
CREATE INDEX tokens_by_tenant ON tokens (tenant, id);

-- What the key of the host derives for this purpose: tells whether the key is the one that the
-- secrets are sealed under. Empty until a host of this version has started.
ALTER TABLE host ADD COLUMN key_check TEXT NOT NULL DEFAULT '';
