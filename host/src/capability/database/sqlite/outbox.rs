//! The outbox of a tenant's database: jobs and events that transactions added, in the order of the
//! commits.
//!
//! The control plane keeps a mark: the last entry of this file that it has relayed. A sequence
//! number alone is not enough, because an older copy of the file gives the same numbers to new
//! entries. Each file therefore has a random epoch, and a mark belongs to one epoch. When a file is
//! opened, it is compared with the mark. If it is a copy, the entries that were relayed are
//! deleted, and the others begin a new epoch.
//!
//! The sequence of an entry is that of the one before it plus the jobs that were reserved for the
//! entry. The jobs that wait in a file are therefore known without a look at its entries.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::UNIX_EPOCH;

use rusqlite::OptionalExtension as _;
use uuid::Uuid;

use super::super::engine::OutboxBatch;
use super::super::error::DatabaseError;
use super::SqliteDatabases;
use super::connection::{Connection, log_of};
use super::file_faults;
use super::host_work::{has_table, in_transaction};
use super::pool::{Role, Tenant};
use super::run::{Failed, broken_or};
use crate::domain::event::MOST_RECEIVERS;
use crate::domain::id::TenantId;
use crate::domain::outbox::OutboxMark;

/// `follows` is the epoch of the mark when this epoch began, and `file` names the file that it
/// began in.
const CREATE: &str = "
    CREATE TABLE IF NOT EXISTS _mortise_outbox (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        entry TEXT NOT NULL
    ) STRICT;
    CREATE TABLE IF NOT EXISTS _mortise_outbox_epoch (
        epoch TEXT NOT NULL,
        follows TEXT,
        file TEXT NOT NULL
    ) STRICT";

/// A batch ends after so many bytes, however few entries it has.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// The epoch that a file is in.
#[derive(Debug)]
struct Epoch {
    epoch: String,
    follows: Option<String>,
    file: String,
}

impl SqliteDatabases {
    /// See [`DatabaseEngine::outbox`](super::super::engine::DatabaseEngine::outbox).
    pub(super) async fn read_outbox(
        &self,
        id: TenantId,
        mark: Option<&OutboxMark>,
        limit: u32,
    ) -> Result<OutboxBatch, DatabaseError> {
        let nothing = OutboxBatch {
            epoch: None,
            entries: Vec::new(),
            after: 0,
            last: 0,
        };
        if !self.has_file(id)? {
            return Ok(nothing);
        }
        let tenant = self.tenant(id);
        if tenant.outbox_is_checked() {
            let (mark, opened) = (mark.cloned(), tenant.clone());
            // A reader does not wait for a guest that holds the writer.
            let reading = self.host_work(&tenant, Role::Reader, move |connection| {
                // The connection may have opened another file than the one that was checked.
                match opened.outbox_is_checked() {
                    true => read(connection, &opened, mark.as_ref(), limit).map(Some),
                    false => Ok(None),
                }
            });
            if let Some(batch) = reading.await? {
                return Ok(batch);
            }
        }
        let (mark, opened) = (mark.cloned(), tenant.clone());
        let check_and_read = self.host_work(&tenant, Role::Writer, move |connection| {
            match check_outbox(connection, &opened, mark.as_ref())? {
                true => read(connection, &opened, mark.as_ref(), limit),
                false => Ok(nothing),
            }
        });
        check_and_read.await
    }

    /// See
    /// [`DatabaseEngine::outbox_relayed`](super::super::engine::DatabaseEngine::outbox_relayed).
    pub(super) async fn delete_relayed(&self, id: TenantId, mark: &OutboxMark) -> Result<(), DatabaseError> {
        if !self.has_file(id)? {
            return Ok(());
        }
        let (tenant, mark) = (self.tenant(id), mark.clone());
        let deleted = self.host_work(&tenant, Role::Writer, move |connection| {
            in_transaction(connection, |raw| {
                if has_table(raw, "_mortise_outbox_epoch")?
                    && epoch(raw)?.is_some_and(|stored| stored.epoch == mark.epoch)
                {
                    raw.execute("DELETE FROM _mortise_outbox WHERE seq <= ?1", [mark.sequence])?;
                }
                Ok(())
            })
        });
        deleted.await
    }
}

/// Compares the file with the mark in an open transaction, and creates the tables if they are
/// missing. Returns the epoch. The tenant's file counts as checked once the transaction is
/// committed.
pub(super) fn prepare(
    connection: &mut Connection,
    tenant: &Tenant,
    mark: Option<&OutboxMark>,
) -> Result<String, DatabaseError> {
    let identity = identity(&tenant.file).map_err(|_| file_faults::cannot_open())?;
    let result = connection.as_host(|raw| {
        raw.execute_batch(CREATE)?;
        check(raw, tenant, &identity, mark)
    });
    result.map_err(|error| broken_or(connection, error.into()))
}

/// Adds an entry that becomes `jobs` jobs in an open transaction. [`prepare`] was called before.
pub(super) fn add(connection: &mut Connection, entry: &str, jobs: u64) -> Result<(), DatabaseError> {
    let jobs = i64::try_from(jobs.max(1)).unwrap_or(i64::MAX);
    let result = connection.as_host_with_large_values(|raw| {
        let sequence = last_sequence(raw)?.saturating_add(jobs);
        raw.execute(
            "INSERT INTO _mortise_outbox (seq, entry) VALUES (?1, ?2)",
            (sequence, entry),
        )
    });
    result
        .map(|_| ())
        .map_err(|error| broken_or(connection, Failed::Sqlite(error)))
}

/// Waits until the committed transactions of a file would survive a failure of the system. SQLite
/// itself waits only at checkpoints. Blocks.
pub(super) fn sync(file: &Path) -> Result<(), DatabaseError> {
    let synced = match fs::File::open(log_of(file)) {
        Ok(log) => log.sync_data(),
        // Without a log, all is in the file, and a checkpoint has synced that.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    };
    synced.map_err(|error| {
        tracing::error!(%error, "the log of a tenant's database cannot be written to the disk");
        DatabaseError::Unavailable("the tenant's database cannot be written to the disk".to_owned())
    })
}

/// Compares the file with the mark, in a transaction of its own. Returns whether it has an outbox.
fn check_outbox(
    connection: &mut Connection,
    tenant: &Tenant,
    mark: Option<&OutboxMark>,
) -> Result<bool, DatabaseError> {
    let identity = identity(&tenant.file).map_err(|_| file_faults::cannot_open())?;
    let has_outbox = in_transaction(connection, |raw| {
        if !has_table(raw, "_mortise_outbox_epoch")? {
            return Ok(false);
        }
        check(raw, tenant, &identity, mark)?;
        Ok(true)
    })?;
    if has_outbox {
        tenant.outbox_was_checked();
    }
    Ok(has_outbox)
}

/// Reads the entries after the mark.
fn read(
    connection: &mut Connection,
    tenant: &Tenant,
    mark: Option<&OutboxMark>,
    limit: u32,
) -> Result<OutboxBatch, DatabaseError> {
    let result = connection.as_host_with_large_values(|raw| read_entries(raw, mark, limit));
    let batch = result.map_err(|error| broken_or(connection, error.into()))?;
    // A relayed entry must not be lost with the system: its sequence would be used again.
    if !batch.entries.is_empty() {
        sync(&tenant.file)?;
    }
    Ok(batch)
}

fn check(
    raw: &rusqlite::Connection,
    tenant: &Tenant,
    identity: &str,
    mark: Option<&OutboxMark>,
) -> rusqlite::Result<String> {
    if let Some(stored) = epoch(raw)? {
        let Some(relayed) = relayed_in_copy(&stored, identity, last_sequence(raw)?, mark) else {
            return Ok(stored.epoch);
        };
        let removed = raw.execute("DELETE FROM _mortise_outbox WHERE seq <= ?1", [relayed])?;
        tracing::warn!(
            tenant = %tenant.id, removed,
            "the file of a tenant's database is another one than before; its outbox begins a new epoch"
        );
    }
    let epoch = Uuid::new_v4().to_string();
    raw.execute("DELETE FROM _mortise_outbox_epoch", [])?;
    raw.execute(
        "INSERT INTO _mortise_outbox_epoch (epoch, follows, file) VALUES (?1, ?2, ?3)",
        (&epoch, mark.map(|mark| &mark.epoch), identity),
    )?;
    Ok(epoch)
}

/// `None` if the file is the one that `mark` is about. Otherwise up to which sequence its entries
/// were relayed.
fn relayed_in_copy(
    stored: &Epoch,
    identity: &str,
    last_sequence: i64,
    mark: Option<&OutboxMark>,
) -> Option<i64> {
    let is_other_file = stored.file != identity;
    match mark {
        None => is_other_file.then_some(0),
        // An older content can be copied into the same file. Then it has fewer entries than were
        // relayed.
        Some(mark) if mark.epoch == stored.epoch => {
            (is_other_file || last_sequence < mark.sequence).then_some(mark.sequence)
        }
        // Nothing of the file's epoch was relayed yet.
        Some(mark) if stored.follows.as_ref() == Some(&mark.epoch) => is_other_file.then_some(0),
        // The file is a copy from before the epoch of the mark. What it left to be relayed was
        // relayed before that epoch began.
        Some(_) => Some(i64::MAX),
    }
}

fn read_entries(
    raw: &rusqlite::Connection,
    mark: Option<&OutboxMark>,
    limit: u32,
) -> rusqlite::Result<OutboxBatch> {
    let snapshot = raw.unchecked_transaction()?;
    let stored = match has_table(&snapshot, "_mortise_outbox_epoch")? {
        true => epoch(&snapshot)?.map(|stored| stored.epoch),
        false => None,
    };
    let after = mark
        .filter(|mark| Some(&mark.epoch) == stored.as_ref())
        .map_or(0, |mark| mark.sequence);
    let mut entries: Vec<(i64, String)> = Vec::new();
    let mut last = after;
    if stored.is_some() {
        last = last_sequence(&snapshot)?;
        let mut statement = snapshot
            .prepare("SELECT seq, entry FROM _mortise_outbox WHERE seq > ?1 ORDER BY seq LIMIT ?2")?;
        let mut rows = statement.query((after, limit))?;
        let mut bytes = 0;
        while let Some(row) = rows.next()? {
            let entry: String = row.get(1)?;
            bytes += entry.len();
            entries.push((row.get(0)?, entry));
            if bytes >= BATCH_BYTES {
                break;
            }
        }
    }
    snapshot.finish()?;
    // No entry of a new epoch was relayed, so the mark does not tell where its entries begin.
    let after = match entries.first() {
        Some((first, _)) => after.max(first.saturating_sub(MOST_RECEIVERS.into())),
        None => last,
    };
    Ok(OutboxBatch {
        epoch: stored,
        entries,
        after,
        last,
    })
}

fn epoch(raw: &rusqlite::Connection) -> rusqlite::Result<Option<Epoch>> {
    let row = raw.query_row(
        "SELECT epoch, follows, file FROM _mortise_outbox_epoch",
        [],
        |row| {
            Ok(Epoch {
                epoch: row.get(0)?,
                follows: row.get(1)?,
                file: row.get(2)?,
            })
        },
    );
    row.optional()
}

/// The largest sequence that an entry of the file ever had.
fn last_sequence(raw: &rusqlite::Connection) -> rusqlite::Result<i64> {
    let row = raw.query_row(
        "SELECT seq FROM sqlite_sequence WHERE name = '_mortise_outbox'",
        [],
        |row| row.get(0),
    );
    Ok(row.optional()?.unwrap_or(0))
}

/// Names the file, so that a copy has another name. The inode number of a deleted file can be
/// reused, so the time of its creation belongs to the name, if the file system keeps it.
fn identity(file: &Path) -> io::Result<String> {
    let metadata = file.symlink_metadata()?;
    let created = metadata.created().ok();
    let created = created.and_then(|created| created.duration_since(UNIX_EPOCH).ok());
    Ok(format!(
        "{}:{}:{}",
        metadata.dev(),
        metadata.ino(),
        created.unwrap_or_default().as_nanos()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(epoch: &str, sequence: i64) -> OutboxMark {
        OutboxMark {
            epoch: epoch.to_owned(),
            sequence,
        }
    }

    #[test]
    fn a_copy_is_told_from_the_continuation() {
        let stored = Epoch {
            epoch: "b".to_owned(),
            follows: Some("a".to_owned()),
            file: "here".to_owned(),
        };
        let relayed =
            |file, last, mark: Option<OutboxMark>| relayed_in_copy(&stored, file, last, mark.as_ref());
        for mark_before in [None, Some(mark("a", 90)), Some(mark("b", 7)), Some(mark("b", 12))] {
            assert_eq!(relayed("here", 12, mark_before), None);
        }
        // Another file, or the same one with an older content.
        assert_eq!(relayed("copy", 12, Some(mark("b", 7))), Some(7));
        assert_eq!(relayed("here", 12, Some(mark("b", 13))), Some(13));
        // Nothing of this epoch was relayed.
        assert_eq!(relayed("copy", 12, None), Some(0));
        assert_eq!(relayed("copy", 12, Some(mark("a", 90))), Some(0));
        // The mark is of a later epoch than the file.
        for file in ["here", "copy"] {
            assert_eq!(relayed(file, 12, Some(mark("c", 1))), Some(i64::MAX));
        }
    }

    #[test]
    fn a_copy_has_another_identity_and_a_renamed_file_keeps_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let (file, copy) = (folder.path().join("a"), folder.path().join("b"));
        fs::write(&file, "x").unwrap();
        fs::copy(&file, &copy).unwrap();
        let before = identity(&file).unwrap();
        assert_ne!(before, identity(&copy).unwrap());
        fs::write(&file, "longer").unwrap();
        let renamed = folder.path().join("c");
        fs::rename(&file, &renamed).unwrap();
        assert_eq!(before, identity(&renamed).unwrap());
    }
}
