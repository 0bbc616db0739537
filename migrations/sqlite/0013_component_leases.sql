-- Who is about to name a component with a version, and who is removing one. A lease is there from before the component is
-- stored until its version's row is written, so that no node removes what another one is uploading. A removal has the
-- digest to itself. Both are over at `expires_at` if their node does not come back.
CREATE TABLE component_leases (
    digest     TEXT    NOT NULL,
    -- An id for each upload and each removal.
    holder     TEXT    NOT NULL,
    -- 1: the holder removes the component. 0: the holder uploads it.
    removes    INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (digest, holder)
) STRICT, WITHOUT ROWID;
