-- Whether the tenant's own database has been there. If its file is missing then, the host must not make an empty one in its
-- place.
ALTER TABLE tenants ADD COLUMN has_database INTEGER NOT NULL DEFAULT 0;

-- Which start of the host wrote to this file last. The folder's mark has the same: a write-ahead log beside a file that
-- another start wrote belongs to another copy of the file.
ALTER TABLE host ADD COLUMN started TEXT NOT NULL DEFAULT '';
