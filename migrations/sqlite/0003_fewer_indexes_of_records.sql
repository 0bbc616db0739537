-- Every record is written to each index and leaves each index, and at full speed that is most of what records cost. An id
-- begins with its time, so that one tree in the order of (tenant, id) is all it takes to find a record, to list them, and to
-- delete the oldest. Who asks for one plugin's looks through those of its tenant, which are bounded (`records_kept`).
CREATE TABLE invocations_new (
    tenant            TEXT    NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    id                TEXT    NOT NULL,
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
    consumed          TEXT    NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

INSERT INTO invocations_new
SELECT tenant, id, plugin, version, trigger_kind, method, route, status, code, blame, principal, started_at, consumed
  FROM invocations
 ORDER BY tenant, id;

DROP TABLE invocations;
ALTER TABLE invocations_new RENAME TO invocations;

-- A tenant's lines of before a time are found by (tenant, at, …) as well.
DROP INDEX log_lines_by_age;
