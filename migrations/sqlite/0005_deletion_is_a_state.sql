-- Deleting a tenant or a plugin marks its row. It is gone for callers at once, its name stays reserved, and it can be
-- restored until it is purged.
ALTER TABLE tenants ADD COLUMN deleted_at INTEGER;
ALTER TABLE plugins ADD COLUMN deleted_at INTEGER;

-- Files whose rows are gone. They are removed after the transaction that removed the rows, also if the host was stopped in
-- between. A file is never removed because its row is missing, only because it is named here.
CREATE TABLE removals (
    -- `database`: the id of a tenant. `component`: a digest.
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;

-- Which data folder this database belongs to, and how often the set of its tenants has changed. The folder has a copy of
-- both: a database that is older than its folder is refused when the host starts.
CREATE TABLE host (
    id         TEXT    NOT NULL PRIMARY KEY,
    generation INTEGER NOT NULL
) STRICT;

INSERT INTO host (id, generation) VALUES (lower(hex(randomblob(16))), 1);
