//! A connection to a tenant's SQLite file, restricted so that a plugin's SQL cannot do harm.

use std::cell::RefCell;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mortise_sql::{Author, Views};
use rusqlite::OpenFlags;
use rusqlite::limits::Limit;
use tokio::time::Instant;

use super::super::error::DatabaseError;
use super::failure;
use super::file_faults::Fault;
use super::kept::{Kept, MOST_KEPT};
use super::pool::Counted;
use super::replaced::replace_functions;
use super::stop::{Stop, Stoppable, start_again};
use crate::domain::limits::Limits;
use crate::domain::units::ByteSize;
use crate::sqlite;
use crate::sqlite::memory::{self, Budget};
use crate::sqlite::watch::Watch;

/// Number of SQLite instructions between two checks of the clock: a few microseconds. SQLite checks
/// at jumps of its program, `memory` at allocations, and `replaced` within long functions.
const INSTRUCTIONS_PER_LOOK: i32 = 100;

/// Each connection caches compiled statements up to the tenant's memory divided by this number.
const KEPT_PART: u64 = 32;

/// The largest value of the host's own tables: an entry of the outbox with the largest payload,
/// whose every byte is escaped.
const HOST_VALUE_BYTES: i32 = 16 * 1024 * 1024;

/// SQLite's page size, the unit of `max_page_count`.
const PAGE_BYTES: u64 = 4096;

/// SQLite cannot truncate the write-ahead log while a reader uses an old snapshot, so cursors that
/// overlap could let it grow without end. Above this size, a writer first waits for a checkpoint.
const LOG_BYTES: u64 = 64 * 1024 * 1024;

/// A disk with less free space than this counts as full, because a transaction writes several pages
/// at once.
const ROOM_ON_DISK: u64 = 1024 * 1024;

/// How long a writer waits for a checkpoint of a long log.
const LOG_WAIT: Duration = Duration::from_millis(500);

/// How long a writer waits for another process that has locked the file.
const BUSY_WAIT: Duration = Duration::from_secs(5);

/// The most time that an integrity check of a file may take.
const LOOK_TIME: Duration = Duration::from_secs(60);

/// How much a statement may write, as a multiple of the database size. A read writes what it sorts,
/// mostly twice. A write may write the same page several times.
const ROOM_TO_READ: u64 = 2;
const ROOM_TO_WRITE: u64 = 8;

/// Settings that are made before the authorizer forbids PRAGMA. Sorted data goes to a file, since
/// in memory it would be charged to the tenant's budget.
const PRAGMAS: &str = "
    PRAGMA synchronous = NORMAL;
    PRAGMA temp_store = FILE;
    PRAGMA cell_size_check = ON;
    PRAGMA trusted_schema = OFF;
    PRAGMA cache_size = -1024;
    PRAGMA mmap_size = 0;
    PRAGMA journal_size_limit = 4194304;
";

/// The purpose of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// Reads and writes rows. One such connection is in use at a time.
    Write,
    /// Reads only, enforced by the open mode and by `query_only`.
    Read,
    /// Applies migrations. Foreign keys are checked only at the end, so that tables can be rebuilt.
    Migrate,
}

/// An open connection. It is never shared.
pub(super) struct Connection {
    /// Declared before `raw`, because fields are dropped in declaration order.
    _stoppable: Stoppable,
    pub(super) raw: rusqlite::Connection,
    pub(super) handle: Arc<Handle>,
    pub(super) purpose: Use,
    /// Set if the connection must not be used again.
    pub(super) fault: Option<Fault>,
    /// The views of the database; valid if `views_known` is set.
    pub(super) views: Views,
    views_known: bool,
    /// The cached compiled statements.
    pub(super) kept: RefCell<Kept>,
    /// The most bytes that the cached statements may take.
    pub(super) kept_room: u64,
    /// The memory budget that the connection is charged to.
    pub(super) budget: Arc<Budget>,
    log: PathBuf,
    max_pages: u64,
    schema_seen: u64,
    /// Counts the connection as open. Declared after `raw`, so that `raw` is closed first.
    _counted: Counted,
}

/// The limits of a tenant's database that its connections enforce.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowance {
    pub(super) database_bytes: u64,
    /// `None` keeps the current limit.
    pub(super) memory: Option<ByteSize>,
}

/// The handle with which other threads can stop a connection.
pub(super) struct Handle {
    pub(super) watch: Arc<Watch>,
    stop: Stop,
}

impl Handle {
    /// Stops the running statement.
    pub(super) fn stop(&self) {
        self.watch.cancel();
        self.stop.end();
    }
}

impl Connection {
    /// Opens the file. Only [`Use::Write`] and [`Use::Migrate`] create it.
    pub(super) fn open(
        file: &Path,
        purpose: Use,
        schema_seen: u64,
        budget: Arc<Budget>,
        counted: Counted,
    ) -> rusqlite::Result<Self> {
        let mut flags = OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        if purpose == Use::Read {
            flags |= OpenFlags::SQLITE_OPEN_READ_ONLY;
        } else {
            create_private(file).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
            flags |= OpenFlags::SQLITE_OPEN_READ_WRITE;
        }
        let raw = rusqlite::Connection::open_with_flags(file, flags)?;
        raw.set_prepared_statement_cache_capacity(2 * MOST_KEPT);
        raw.busy_timeout(BUSY_WAIT)?;
        raw.execute_batch(PRAGMAS)?;
        if purpose == Use::Read {
            raw.execute_batch("PRAGMA query_only = ON")?;
        } else {
            raw.execute_batch("PRAGMA journal_mode = WAL")?;
        }
        let author = match purpose {
            Use::Migrate => Author::Migration,
            Use::Write | Use::Read => Author::Plugin,
        };
        mortise_sql::set_up(&raw, author)?;
        let watch = Arc::new(Watch::new(author));
        replace_functions(&raw, &watch)?;
        let asked = watch.clone();
        raw.authorizer(Some(move |context: rusqlite::hooks::AuthContext<'_>| {
            asked.authorizer.authorize(&context)
        }))?;
        let looked_at = watch.clone();
        raw.progress_handler(INSTRUCTIONS_PER_LOOK, Some(move || looked_at.is_over()))?;
        let stoppable = Stoppable::new(&raw);
        let stop = stoppable.stop();
        Ok(Self {
            _stoppable: stoppable,
            raw,
            handle: Arc::new(Handle { watch, stop }),
            purpose,
            fault: None,
            views: Views::default(),
            views_known: false,
            kept: RefCell::default(),
            kept_room: budget.limit().0 / KEPT_PART,
            budget,
            log: log_of(file),
            max_pages: 0,
            schema_seen,
            _counted: counted,
        })
    }

    /// Runs the host's own SQL without restrictions. It must never use the statement cache: a
    /// plugin's statement with the same text would then run without authorization.
    pub(super) fn as_host<T>(
        &self,
        work: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        struct Restore<'a>(&'a Watch, Author);
        impl Drop for Restore<'_> {
            fn drop(&mut self) {
                self.0.authorizer.set_author(self.1);
            }
        }
        let watch = &*self.handle.watch;
        let _restore = Restore(watch, watch.authorizer.set_author(Author::Host));
        work(&self.raw)
    }

    /// Like [`as_host`](Self::as_host), for rows that are larger than those of plugins may be.
    pub(super) fn as_host_with_large_values<T>(
        &self,
        work: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        struct Restore<'a>(&'a rusqlite::Connection, i32);
        impl Drop for Restore<'_> {
            fn drop(&mut self) {
                // Only an unknown limit can fail.
                _ = self.0.set_limit(Limit::SQLITE_LIMIT_LENGTH, self.1);
            }
        }
        let before = self.raw.set_limit(Limit::SQLITE_LIMIT_LENGTH, HOST_VALUE_BYTES)?;
        let _restore = Restore(&self.raw, before);
        self.as_host(work)
    }

    /// Applies changes of the plan and of the schema since the last use.
    pub(super) fn refresh(&mut self, database_bytes: u64, schema: u64) -> rusqlite::Result<()> {
        self.kept_room = self.budget.limit().0 / KEPT_PART;
        start_again(&self.raw)?;
        if self.schema_seen != schema {
            self.raw.flush_prepared_statement_cache();
            self.kept.get_mut().clear();
            // SQLite would notice a new schema only when a statement runs. `SELECT *` would then
            // have more columns than it was compiled with.
            self.as_host(|raw| raw.query_row("SELECT count(*) FROM sqlite_master", [], |_| Ok(())))?;
            self.schema_seen = schema;
            self.views_known = false;
        }
        if !self.views_known {
            self.views = Views::of(self.view_texts()?);
            self.views_known = true;
        }
        let room = match self.purpose {
            Use::Read => ROOM_TO_READ,
            Use::Write | Use::Migrate => ROOM_TO_WRITE,
        };
        self.handle.watch.set_room(database_bytes.saturating_mul(room));
        let pages = (database_bytes / PAGE_BYTES).max(1);
        if self.purpose != Use::Read && self.max_pages != pages {
            self.as_host(|raw| raw.execute_batch(&format!("PRAGMA max_page_count = {pages}")))?;
            self.max_pages = pages;
        }
        Ok(())
    }

    /// Whether the file is in WAL mode.
    pub(super) fn has_log(&self) -> rusqlite::Result<bool> {
        let mode: String = self.as_host(|raw| raw.query_row("PRAGMA journal_mode", [], |row| row.get(0)))?;
        Ok(mode == "wal")
    }

    /// The size of the database as this connection sees it.
    pub(super) fn bytes(&self) -> rusqlite::Result<u64> {
        let pages: i64 = self.as_host(|raw| raw.query_row("PRAGMA page_count", [], |row| row.get(0)))?;
        Ok(u64::try_from(pages).unwrap_or(0).saturating_mul(PAGE_BYTES))
    }

    /// Whether the disk is full. SQLite reports the same error if the database has reached its
    /// maximum size.
    pub(super) fn is_disk_full(&self) -> bool {
        let folder = self.log.parent().unwrap_or(&self.log);
        rustix::fs::statvfs(folder)
            .is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) < ROOM_ON_DISK)
    }

    /// Call it before a write. Returns an error if the log is long and a checkpoint is not
    /// possible.
    pub(super) fn keep_log_short(&mut self) -> Result<(), DatabaseError> {
        let is_long = || fs::metadata(&self.log).is_ok_and(|log| log.len() > LOG_BYTES);
        if self.purpose != Use::Write || !self.raw.is_autocommit() || !is_long() {
            return Ok(());
        }
        let written = self.as_host(|raw| {
            raw.busy_timeout(LOG_WAIT)?;
            let blocked = raw.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>(0));
            raw.busy_timeout(BUSY_WAIT)?;
            blocked
        });
        match written {
            Ok(false) => Ok(()),
            Ok(true) => Err(DatabaseError::Conflict(
                "the write-ahead log is full, because open cursors keep it from shrinking; end cursors sooner, or try again"
                    .to_owned(),
            )),
            Err(error) => {
                self.fault = self.fault.or(failure::fault(&error));
                Err(failure::translate(&error, &self.handle.watch))
            }
        }
    }

    /// Runs an integrity check of the file. Returns the problem, if it finds one.
    pub(super) fn look_through(&self) -> Option<String> {
        self.handle.watch.arm((Instant::now() + LOOK_TIME).into_std());
        let found =
            self.as_host(|raw| raw.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0)));
        self.handle.watch.disarm();
        match found {
            Ok(found) => (found != "ok").then_some(found),
            Err(error) => (failure::fault(&error) == Some(Fault::Damage)).then(|| error.to_string()),
        }
    }

    /// The SQL texts of the views.
    pub(super) fn view_texts(&self) -> rusqlite::Result<Vec<String>> {
        self.as_host(mortise_sql::view_texts)
    }

    /// Bytes of memory that the schema takes.
    pub(super) fn schema_bytes(&self) -> u64 {
        sqlite::schema_bytes(&self.raw)
    }

    /// Whether the connection can be reused.
    pub(super) fn is_clean(&self) -> bool {
        self.fault.is_none() && self.purpose != Use::Migrate && self.raw.is_autocommit()
    }

    /// Rolls back an open transaction. If that fails, the connection must not be used again.
    pub(super) fn roll_back(&mut self) {
        self.handle.watch.disarm();
        let budget = self.budget.clone();
        let failed = memory::charged(&budget, || {
            !self.raw.is_autocommit() && self.as_host(|raw| raw.execute_batch("ROLLBACK")).is_err()
        });
        if failed {
            self.fault = self.fault.or(Some(Fault::Other));
        }
    }
}

impl Allowance {
    /// The allowance that `limits` define.
    pub(super) fn of(limits: &Limits) -> Self {
        Self {
            database_bytes: limits.database_size.0,
            memory: Some(limits.sql_memory),
        }
    }
}

/// Sets the folder of SQLite's temporary files. The setting is global to the process, so it also
/// applies to the control plane. SQLite unlinks these files once they are open, so none remains
/// when the process ends.
pub(super) fn sort_in(folder: &Path) -> rusqlite::Result<()> {
    let raw = rusqlite::Connection::open_in_memory()?;
    raw.pragma_update(None, "temp_store_directory", folder.to_string_lossy())
}

/// The write-ahead log of a file.
pub(super) fn log_of(file: &Path) -> PathBuf {
    let mut log = file.to_owned().into_os_string();
    log.push("-wal");
    log.into()
}

/// Creates an empty file that only the host may read. SQLite gives its companion files the same
/// mode.
fn create_private(file: &Path) -> io::Result<()> {
    // `create_new` does not follow symbolic links.
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file);
    match made {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}
