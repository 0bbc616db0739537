-- The last start of a host is a number in the header of the file (`PRAGMA user_version`), where it
-- can be read without the write-ahead log.
ALTER TABLE host DROP COLUMN started;
