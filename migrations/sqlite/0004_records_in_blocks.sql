-- What a record of an invocation costs is not what is in it: thirteen values that are handed over one by one, a place in a
-- tree, and the same again when it leaves. The records of one version of a plugin that are written together are one row
-- now, in the order of their ids.
CREATE TABLE invocation_blocks (
    tenant            TEXT    NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    plugin            TEXT    NOT NULL,
    version           TEXT    NOT NULL,
    -- The ids of the first and the last record. Blocks may overlap: what began early may have ended late.
    first_id          TEXT    NOT NULL,
    last_id           TEXT    NOT NULL,
    -- When the latest of them began.
    started_last      INTEGER NOT NULL,
    records           INTEGER NOT NULL,
    -- How many of them the host answered with a problem.
    failures          INTEGER NOT NULL,
    -- A JSON array of {"record": …, "consumed": …}. What was not consumed is left out.
    content           TEXT    NOT NULL,
    -- The last ones are enough to tell blocks apart; with the first ones, who looks for a record finds the blocks that may have
    -- it without reading the others.
    PRIMARY KEY (tenant, last_id, first_id)
) STRICT;

INSERT INTO invocation_blocks
SELECT tenant, plugin, version, id, id, started_at, 1, code IS NOT NULL,
       json_array(json_object(
           'record', json_object(
               'id', id, 'trigger', trigger_kind, 'method', method, 'route', route, 'status', status,
               'code', code, 'blame', blame, 'principal', principal, 'started_at', started_at),
           'consumed', json(consumed)))
  FROM invocations
 ORDER BY tenant, id;

DROP TABLE invocations;
