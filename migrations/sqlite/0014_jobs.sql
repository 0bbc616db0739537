-- The job queue. A live job waits or runs; a job that ended moves to `jobs_ended`, so that `jobs`
-- stays small. `host/src/storage/sqlite/jobs/mod.rs` describes the states.

CREATE TABLE jobs (
    -- The order of addition. A job keeps its number when it ends and when it runs again.
    seq                 INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant              TEXT    NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    id                  TEXT    NOT NULL,
    plugin              TEXT    NOT NULL,
    name                TEXT    NOT NULL,
    -- JSON: why the job exists.
    origin              TEXT    NOT NULL,
    -- Lower numbers run first.
    priority            INTEGER NOT NULL,
    run_at              INTEGER NOT NULL,
    max_attempts        INTEGER NOT NULL,
    -- How many attempts the job gets when it is added, and again each time somebody retries it.
    attempts_each       INTEGER NOT NULL,
    -- JSON.
    backoff             TEXT    NOT NULL,
    unique_key          TEXT,
    concurrency_key     TEXT,
    concurrency_limit   INTEGER,
    concurrency_ordered INTEGER,
    depth               INTEGER NOT NULL,
    traceparent         TEXT,
    created_at          INTEGER NOT NULL,
    -- How many attempts have begun.
    attempt             INTEGER NOT NULL,
    -- Why the last attempt failed.
    error               TEXT,
    -- scheduled, ready, blocked, held or running.
    state               TEXT    NOT NULL,
    -- 1: the job is one of the jobs that `job_keys` counts for its concurrency key.
    occupies            INTEGER NOT NULL DEFAULT 0,
    -- The claim of the running attempt, random for each attempt.
    claim               TEXT,
    node                TEXT,
    lease_until         INTEGER,
    cancel_requested    INTEGER NOT NULL DEFAULT 0,
    UNIQUE (tenant, id)
) STRICT;

-- Claims: the next tenant, and the first jobs of a tenant. `seq` is the last part of every index.
CREATE INDEX jobs_ready ON jobs (tenant, priority, run_at) WHERE state = 'ready';
-- The age of a tenant's oldest ready job.
CREATE INDEX jobs_ready_by_age ON jobs (tenant, run_at) WHERE state = 'ready';
-- Jobs that become due.
CREATE INDEX jobs_scheduled ON jobs (tenant, run_at) WHERE state = 'scheduled';
-- The next job of a concurrency key.
CREATE INDEX jobs_blocked ON jobs (tenant, plugin, name, concurrency_key) WHERE state = 'blocked';
CREATE INDEX jobs_held ON jobs (tenant, plugin, name) WHERE state = 'held';
-- The running jobs of a tenant, by claim, by lease, and those of a node.
CREATE INDEX jobs_running ON jobs (tenant) WHERE state = 'running';
CREATE UNIQUE INDEX jobs_claim ON jobs (claim) WHERE claim IS NOT NULL;
CREATE INDEX jobs_lease ON jobs (lease_until) WHERE state = 'running';
CREATE INDEX jobs_by_node ON jobs (node, cancel_requested) WHERE state = 'running';
-- A unique key is free again when the job ends.
CREATE UNIQUE INDEX jobs_unique ON jobs (tenant, plugin, name, unique_key) WHERE unique_key IS NOT NULL;
CREATE INDEX jobs_by_plugin ON jobs (tenant, plugin, id);

-- Done and cancelled jobs, and dead letters.
CREATE TABLE jobs_ended (
    seq                 INTEGER PRIMARY KEY,
    tenant              TEXT    NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    id                  TEXT    NOT NULL,
    plugin              TEXT    NOT NULL,
    name                TEXT    NOT NULL,
    origin              TEXT    NOT NULL,
    priority            INTEGER NOT NULL,
    run_at              INTEGER NOT NULL,
    max_attempts        INTEGER NOT NULL,
    attempts_each       INTEGER NOT NULL,
    backoff             TEXT    NOT NULL,
    unique_key          TEXT,
    concurrency_key     TEXT,
    concurrency_limit   INTEGER,
    concurrency_ordered INTEGER,
    depth               INTEGER NOT NULL,
    traceparent         TEXT,
    created_at          INTEGER NOT NULL,
    attempt             INTEGER NOT NULL,
    error               TEXT,
    -- done, cancelled or dead.
    state               TEXT    NOT NULL,
    ended_at            INTEGER NOT NULL,
    UNIQUE (tenant, id)
) STRICT;

CREATE INDEX jobs_ended_by_plugin ON jobs_ended (tenant, plugin, id);
-- The oldest ones of a tenant, and of all tenants.
CREATE INDEX jobs_done ON jobs_ended (tenant, ended_at) WHERE state <> 'dead';
CREATE INDEX jobs_dead ON jobs_ended (tenant, ended_at) WHERE state = 'dead';
CREATE INDEX jobs_done_by_age ON jobs_ended (ended_at) WHERE state <> 'dead';
CREATE INDEX jobs_dead_by_age ON jobs_ended (ended_at) WHERE state = 'dead';

-- Payloads of live and ended jobs. A payload may be large, and a change of a row writes the whole
-- row, so payloads are apart from the states.
CREATE TABLE job_payloads (
    seq     INTEGER PRIMARY KEY,
    payload TEXT NOT NULL
) STRICT;

-- One row for each attempt of live and ended jobs.
CREATE TABLE job_attempts (
    seq        INTEGER NOT NULL,
    number     INTEGER NOT NULL,
    node       TEXT    NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at   INTEGER,
    outcome    TEXT,
    error      TEXT,
    invocation TEXT,
    PRIMARY KEY (seq, number)
) STRICT, WITHOUT ROWID;

-- How many jobs a tenant has. The numbers change with the jobs, so nobody counts rows.
CREATE TABLE job_counts (
    tenant   TEXT    NOT NULL PRIMARY KEY REFERENCES tenants (id) ON DELETE CASCADE,
    live     INTEGER NOT NULL,
    -- Done and cancelled jobs.
    done     INTEGER NOT NULL,
    dead     INTEGER NOT NULL,
    -- No scheduled job of the tenant is due before this time. NULL if there is none.
    next_due INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX job_counts_by_next_due ON job_counts (next_due) WHERE next_due IS NOT NULL;

-- How many jobs of a concurrency key are ready, held or running or, if the key is ordered, wait for
-- their next attempt. Without a row, none.
CREATE TABLE job_keys (
    tenant          TEXT    NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    plugin          TEXT    NOT NULL,
    name            TEXT    NOT NULL,
    concurrency_key TEXT    NOT NULL,
    occupied        INTEGER NOT NULL,
    PRIMARY KEY (tenant, plugin, name, concurrency_key)
) STRICT, WITHOUT ROWID;

-- The kinds of jobs that may have held jobs, so that nobody looks for them among the jobs.
CREATE TABLE held_jobs (
    tenant TEXT NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    plugin TEXT NOT NULL,
    name   TEXT NOT NULL,
    PRIMARY KEY (tenant, plugin, name)
) STRICT, WITHOUT ROWID;

-- Jobs that the tenant paused. An empty name stands for all of the plugin.
CREATE TABLE paused_jobs (
    tenant TEXT NOT NULL,
    plugin TEXT NOT NULL,
    name   TEXT NOT NULL,
    PRIMARY KEY (tenant, plugin, name),
    FOREIGN KEY (tenant, plugin) REFERENCES plugins (tenant, name) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- How far the outbox in a tenant's own database has been relayed. The epoch is a random text in
-- that database: another epoch means another file, whose sequence begins anew.
CREATE TABLE outbox_marks (
    tenant   TEXT    NOT NULL PRIMARY KEY REFERENCES tenants (id) ON DELETE CASCADE,
    epoch    TEXT    NOT NULL,
    sequence INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Schedules of active versions, and the last time of each that was handled.
CREATE TABLE schedules (
    tenant     TEXT    NOT NULL,
    plugin     TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    -- Expression and zone. Another one begins the schedule anew.
    expression TEXT    NOT NULL,
    last_due   INTEGER NOT NULL,
    PRIMARY KEY (tenant, plugin, name),
    FOREIGN KEY (tenant, plugin) REFERENCES plugins (tenant, name) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- The times of schedules that were handled: a time is handled once, whichever node is first.
CREATE TABLE schedule_ticks (
    tenant   TEXT    NOT NULL,
    plugin   TEXT    NOT NULL,
    schedule TEXT    NOT NULL,
    due_at   INTEGER NOT NULL,
    -- The job that was added. NULL if the previous one was still live, or none was to be added.
    job      TEXT,
    PRIMARY KEY (tenant, plugin, schedule, due_at),
    FOREIGN KEY (tenant, plugin) REFERENCES plugins (tenant, name) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE INDEX schedule_ticks_by_age ON schedule_ticks (due_at);

-- More of what was consumed, summed by hour.
ALTER TABLE usage_hours ADD COLUMN jobs_enqueued    INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_hours ADD COLUMN events_published INTEGER NOT NULL DEFAULT 0;
