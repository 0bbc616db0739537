-- The database of the tenant acme as commit 8ac4cda wrote it.
BEGIN TRANSACTION;
CREATE TABLE _mortise_migrations (
        plugin TEXT NOT NULL,
        number INTEGER NOT NULL,
        name TEXT NOT NULL,
        checksum BLOB NOT NULL,
        applied_at INTEGER NOT NULL,
        PRIMARY KEY (plugin, number)
    ) STRICT, WITHOUT ROWID;
INSERT INTO "_mortise_migrations" VALUES('database',1,'item',X'D9ECAA8ED7140EC413D55453876E0A5295684DAE624954196537BC06C092A9ED',1795728482752);
CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT NOT NULL, label AS (trim(name)));
INSERT INTO "item" VALUES(1,' first ');
COMMIT;
