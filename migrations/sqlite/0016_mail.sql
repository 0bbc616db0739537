-- Jobs of the host itself, whose plugin is `-`: whether their handler knows that they are dead
-- letters or were cancelled.
ALTER TABLE jobs_ended ADD COLUMN told INTEGER NOT NULL DEFAULT 0;

CREATE INDEX jobs_ended_untold ON jobs_ended (told) WHERE plugin = '-' AND state <> 'done' AND told = 0;

-- Mail that plugins sent, or that was caught because there is no server.
CREATE TABLE mails (
    tenant          TEXT    NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    id              TEXT    NOT NULL,
    plugin          TEXT    NOT NULL,
    from_address    TEXT    NOT NULL,
    subject         TEXT    NOT NULL,
    -- JSON: a list of texts.
    tags            TEXT    NOT NULL,
    -- The template of the plugin, if one was used.
    template        TEXT,
    -- queued, sent, caught or failed.
    state           TEXT    NOT NULL,
    -- The job that sends it, or sent it last.
    job             TEXT    NOT NULL,
    -- Bytes of the message as it is sent.
    size            INTEGER NOT NULL,
    -- JSON: name, content type and size of each.
    attachments     TEXT    NOT NULL,
    idempotency_key TEXT,
    created_at      INTEGER NOT NULL,
    -- When it left the queue.
    ended_at        INTEGER,
    -- Why the last attempt failed.
    error           TEXT,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

-- The mails of a tenant within an hour, and the oldest ones.
CREATE INDEX mails_by_time ON mails (tenant, created_at);
CREATE INDEX mails_by_age ON mails (created_at);
-- An earlier mail with the same key.
CREATE INDEX mails_by_key ON mails (tenant, plugin, idempotency_key, created_at)
    WHERE idempotency_key IS NOT NULL;

CREATE TABLE mail_recipients (
    tenant   TEXT    NOT NULL,
    mail     TEXT    NOT NULL,
    position INTEGER NOT NULL,
    address  TEXT    NOT NULL,
    -- to, cc or bcc.
    kind     TEXT    NOT NULL,
    -- pending, accepted, caught, refused, suppressed or failed.
    state    TEXT    NOT NULL,
    -- What the server said last.
    reply    TEXT,
    -- When the state changed.
    at       INTEGER,
    PRIMARY KEY (tenant, mail, position),
    FOREIGN KEY (tenant, mail) REFERENCES mails (tenant, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE INDEX mail_recipients_by_address ON mail_recipients (tenant, address);

-- The contents are apart from the states, because a change of a row writes the whole row.
CREATE TABLE mail_contents (
    tenant TEXT NOT NULL,
    mail   TEXT NOT NULL,
    text   TEXT NOT NULL,
    html   TEXT,
    -- The message as it is sent.
    source BLOB NOT NULL,
    PRIMARY KEY (tenant, mail),
    FOREIGN KEY (tenant, mail) REFERENCES mails (tenant, id) ON DELETE CASCADE
) STRICT;

-- How many mails a tenant has, so that nobody counts rows.
CREATE TABLE mail_counts (
    tenant TEXT    NOT NULL PRIMARY KEY REFERENCES tenants (id) ON DELETE CASCADE,
    kept   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TRIGGER mails_added AFTER INSERT ON mails BEGIN
    INSERT INTO mail_counts (tenant, kept) VALUES (NEW.tenant, 1)
    ON CONFLICT (tenant) DO UPDATE SET kept = kept + 1;
END;

CREATE TRIGGER mails_deleted AFTER DELETE ON mails BEGIN
    UPDATE mail_counts SET kept = kept - 1 WHERE tenant = OLD.tenant;
END;

ALTER TABLE usage_hours ADD COLUMN mails_sent INTEGER NOT NULL DEFAULT 0;

-- What tenants and operators set for mail.

-- The tenant's own mail server. JSON.
CREATE TABLE mail_smtp (
    tenant   TEXT NOT NULL PRIMARY KEY REFERENCES tenants (id) ON DELETE CASCADE,
    settings TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- The domains from which the operator lets a tenant send, in lower case.
CREATE TABLE mail_sender_domains (
    tenant TEXT NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    domain TEXT NOT NULL,
    PRIMARY KEY (tenant, domain)
) STRICT, WITHOUT ROWID;

-- The failures that the catcher simulates. JSON.
CREATE TABLE mail_failures (
    tenant   TEXT NOT NULL PRIMARY KEY REFERENCES tenants (id) ON DELETE CASCADE,
    failures TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- The key that signs the links for unsubscribing in the mail of a tenant: 32 random bytes.
CREATE TABLE mail_keys (
    tenant      TEXT NOT NULL PRIMARY KEY REFERENCES tenants (id) ON DELETE CASCADE,
    unsubscribe BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- Addresses to which the plugins of a tenant send no mail, in lower case.
CREATE TABLE mail_suppressions (
    tenant     TEXT    NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    address    TEXT    NOT NULL,
    -- unsubscribed, rejected or added.
    reason     TEXT    NOT NULL,
    detail     TEXT,
    -- The mail that a server refused.
    mail       TEXT,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, address)
) STRICT, WITHOUT ROWID;

-- The mails of a person, for lists and erasure, whatever the case of the address.
CREATE INDEX mail_recipients_of_person ON mail_recipients (tenant, address COLLATE NOCASE);
-- How many mails wait, are caught or failed, for the metrics.
CREATE INDEX mails_queued ON mails (tenant) WHERE state = 'queued';
CREATE INDEX mails_caught ON mails (tenant) WHERE state = 'caught';
CREATE INDEX mails_failed ON mails (tenant) WHERE state = 'failed';
