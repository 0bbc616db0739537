//! The control plane's database in SQLite: one file, one connection for writing, several for
//! reading.
//!
//! SQLite allows one writer at a time. With a pool of one connection, writers wait in a fair queue.
//! SQLite's own busy handler is not fair.

mod api_keys;
mod audit;
mod belonging;
mod blocks;
mod calls;
mod change;
mod components;
mod counts;
mod evidence;
#[cfg(test)]
mod full_disk;
mod host_key;
mod invocations;
mod job_reports;
mod jobs;
mod kept;
mod leases;
mod log_lines;
mod mail;
mod mail_lists;
mod mail_settings;
mod mark;
mod plans;
mod plugins;
mod removals;
mod routing;
mod row;
mod secrets;
mod settings;
mod summaries;
mod tenants;
mod tokens;
mod usage;
mod webhooks_out;
mod webhooks_received;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{Connection as _, Sqlite, SqlitePool, Transaction};

use super::{ChangeNotifier, DbError, Repository};
use crate::domain::resource::Resource;
use crate::sqlite::configure as configure_sqlite;
use evidence::Evidence;
use mark::{Mark, MarkFile, StartNumber};

/// Name of the file within the data folder.
pub const FILE_NAME: &str = "mortise.db";

static MIGRATIONS: Migrator = sqlx::migrate!("../migrations/sqlite");

/// The mark of the database itself.
const OWN_MARK: &str = "SELECT id, generation, user_version AS last_start FROM host, pragma_user_version";

/// Connections for reading. The admin API uses them, requests to plugins never do.
const READERS: u32 = 4;

/// The most rows that one statement adds. With about twenty values each, they stay far below
/// SQLite's limit of 32,766.
const ROWS: usize = 100;

/// The writer's page cache, in KiB as SQLite counts it. Pages that one batch uses should still be
/// cached for the next.
const WRITER_CACHE: &str = "-16384";

/// How long to wait for another process that locks the file, such as a backup.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// The control plane's database.
#[derive(Clone, Debug)]
pub struct SqliteRepository {
    writer: SqlitePool,
    readers: SqlitePool,
    mark: Arc<MarkFile>,
    notifier: Arc<ChangeNotifier>,
}

/// What to do with a database that does not belong to the data folder or is too old.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForeignDatabase {
    /// Refuse it.
    Refuse,
    /// Open it and let the folder's mark name it, as the operator requested.
    Accept,
}

#[async_trait]
impl Repository for SqliteRepository {
    async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

impl SqliteRepository {
    /// Opens `mortise.db` in the data folder and migrates its schema. Creates it in a new folder. A
    /// database that does not belong to the folder is refused.
    pub async fn open(data: &Path) -> Result<Self, DbError> {
        Self::open_with(data, ForeignDatabase::Refuse).await
    }

    /// The same, with the operator's decision about a database that does not belong to the folder.
    pub async fn open_with(data: &Path, foreign: ForeignDatabase) -> Result<Self, DbError> {
        // The control plane and the tenants' databases share SQLite, so its memory is configured
        // before the first use.
        configure_sqlite().map_err(|error| DbError::Unavailable(Box::new(error)))?;
        let mark = MarkFile::of(data);
        let unreadable = |error: std::io::Error| DbError::Unavailable(Box::new(error));
        let marked = match (mark.read(), foreign) {
            (Ok(marked), _) => marked,
            (Err(_), ForeignDatabase::Accept) => None,
            (Err(error), ForeignDatabase::Refuse) => return Err(DbError::Mark(error.to_string())),
        };
        let evidence = Evidence::of(data).map_err(unreadable)?;
        evidence.check(marked.is_some(), foreign)?;
        let file = SqliteConnectOptions::new().filename(data.join(FILE_NAME));
        if let Some(marked) = marked.as_ref().filter(|_| !evidence.is_without_database) {
            if evidence.has_log {
                belonging::check_log(evidence.start, marked)?;
            }
            if foreign == ForeignDatabase::Refuse {
                belonging::check_mark(&file, marked).await?;
            }
        }
        let options = file
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // A committed change survives a power cut, not only a crash of the process.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT);
        let writer = pool(1)
            .connect_with(options.clone().pragma("cache_size", WRITER_CACHE))
            .await
            .map_err(unavailable)?;
        MIGRATIONS.run(&writer).await.map_err(migration_error)?;
        let readers = pool(READERS)
            .connect_with(options.pragma("query_only", "ON"))
            .await
            .map_err(unavailable)?;
        let repository = Self {
            writer,
            readers,
            mark: Arc::new(mark),
            notifier: Arc::default(),
        };
        repository.begin_start(marked.as_ref()).await?;
        repository.follow_mark(marked).await?;
        Ok(repository)
    }

    /// Writes the number of this start into the file itself, while the write-ahead log is empty.
    /// The mark announces the number before and confirms it afterwards. So a start that is
    /// killed at any moment leaves a file whose number the mark knows.
    async fn begin_start(&self, marked: Option<&Mark>) -> Result<(), DbError> {
        let number = StartNumber::generate();
        if let Some(marked) = marked {
            // From here on, the file has the same number as its log, whatever an earlier start
            // left.
            self.checkpoint().await?;
            let announced = Mark {
                last_start: self.own_mark().await?.last_start,
                next_start: number,
                ..marked.clone()
            };
            self.write_mark(announced)
                .await
                .map_err(|error| DbError::Unavailable(Box::new(error)))?;
        }
        let statement = format!("PRAGMA user_version = {}", number.0.cast_signed());
        sqlx::query(sqlx::AssertSqlSafe(statement))
            .execute(&self.writer)
            .await
            .map_err(unavailable)?;
        self.checkpoint().await
    }

    /// Moves the write-ahead log into the file and empties it.
    async fn checkpoint(&self) -> Result<(), DbError> {
        sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
            .execute(&self.writer)
            .await
            .map_err(unavailable)?;
        Ok(())
    }

    /// Writes the mark of this database. If the operator accepted an older copy, the count
    /// continues from the folder's mark, so that no other copy has the same count.
    async fn follow_mark(&self, marked: Option<Mark>) -> Result<(), DbError> {
        let mut own = self.own_mark().await?;
        if let Some(marked) = marked.filter(|marked| marked.generation > own.generation) {
            own.generation = marked.generation.saturating_add(1);
            sqlx::query("UPDATE host SET generation = $1")
                .bind(own.generation)
                .execute(&self.writer)
                .await
                .map_err(unavailable)?;
        }
        self.write_mark(own)
            .await
            .map_err(|error| DbError::Unavailable(Box::new(error)))
    }

    async fn own_mark(&self) -> Result<Mark, DbError> {
        let row = sqlx::query(OWN_MARK)
            .fetch_one(&self.readers)
            .await
            .map_err(unavailable)?;
        read_mark(&row)
    }

    /// Commits a change to the set of tenants with the next generation, and then updates the
    /// folder's mark.
    async fn commit_generation(&self, mut transaction: Transaction<'_, Sqlite>) -> Result<(), DbError> {
        // At the largest number, the count stays as it is. Old copies are then not noticed, but
        // tenants can be created.
        sqlx::query("UPDATE host SET generation = MIN(generation, $1) + 1")
            .bind(i64::MAX - 1)
            .execute(&mut *transaction)
            .await
            .map_err(unavailable)?;
        let row = sqlx::query(OWN_MARK)
            .fetch_one(&mut *transaction)
            .await
            .map_err(unavailable)?;
        let mark = read_mark(&row)?;
        transaction.commit().await.map_err(unavailable)?;
        if let Err(error) = self.write_mark(mark).await {
            // The change is committed. An outdated mark only detects fewer old copies, and the next
            // change writes it again.
            tracing::warn!(%error, "the mark of the data folder could not be written");
        }
        Ok(())
    }

    async fn write_mark(&self, mark: Mark) -> std::io::Result<()> {
        let file = self.mark.clone();
        tokio::task::spawn_blocking(move || file.write(&mark))
            .await
            .map_err(std::io::Error::other)?
    }

    /// Limits the number of pages of the database. A write above it fails like a full disk. The
    /// limit applies to every later connection of the writer.
    #[cfg(test)]
    pub(crate) async fn limit_pages(&self, pages: u32) {
        let options = self.writer.connect_options();
        let options = SqliteConnectOptions::clone(&options).pragma("max_page_count", pages.to_string());
        self.writer.set_connect_options(options);
        sqlx::query(sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {pages}")))
            .execute(&self.writer)
            .await
            .unwrap();
    }

    /// Begins a write transaction. It locks the database at once, so it cannot fail in the middle
    /// for lack of the lock.
    async fn begin(&self) -> Result<Transaction<'_, Sqlite>, DbError> {
        self.writer
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(unavailable)
    }
}

/// A pool that only hands out connections without an open transaction.
///
/// After a full disk, an IO error or a lack of memory, SQLite rolls a transaction back by itself.
/// sqlx does not notice: its own `ROLLBACK` fails, and it refuses every later `BEGIN`. Such a
/// connection is closed and replaced. The pool has run the queued `ROLLBACK` before this check.
fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .before_acquire(|connection, _| {
            let is_free = !connection.is_in_transaction();
            Box::pin(async move { Ok(is_free) })
        })
}

fn read_mark(row: &SqliteRow) -> Result<Mark, DbError> {
    // The pragma has 32 bits with a sign.
    let last_start = i32::try_from(row::integer(row, "last_start")?).unwrap_or_default();
    Ok(Mark {
        id: row::text(row, "id")?,
        generation: row::integer(row, "generation")?,
        last_start: StartNumber(last_start.cast_unsigned()),
        next_start: StartNumber::NONE,
    })
}

fn unavailable(error: sqlx::Error) -> DbError {
    DbError::Unavailable(Box::new(error))
}

/// Maps a violated unique constraint to [`DbError::Taken`].
fn or_taken(what: Resource) -> impl Fn(sqlx::Error) -> DbError {
    move |error| match &error {
        sqlx::Error::Database(cause) if cause.is_unique_violation() => DbError::Taken(what),
        _ => unavailable(error),
    }
}

/// Maps a violated foreign key of a new row to [`DbError::Missing`].
fn or_missing(what: Resource) -> impl Fn(sqlx::Error) -> DbError {
    move |error| match &error {
        sqlx::Error::Database(cause) if cause.is_foreign_key_violation() => DbError::Missing(what),
        _ => or_taken(what)(error),
    }
}

/// Maps a violated foreign key of a deleted row to [`DbError::InUse`].
fn or_in_use(what: Resource) -> impl Fn(sqlx::Error) -> DbError {
    move |error| match &error {
        sqlx::Error::Database(cause) if cause.is_foreign_key_violation() => DbError::InUse(what),
        _ => unavailable(error),
    }
}

fn migration_error(error: MigrateError) -> DbError {
    match error {
        MigrateError::VersionMissing(found) => DbError::Newer {
            found,
            known: MIGRATIONS
                .iter()
                .map(|migration| migration.version)
                .max()
                .unwrap_or(0),
        },
        error => DbError::Migration(Box::new(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{Invocations as _, conformance};

    async fn open() -> (tempfile::TempDir, SqliteRepository) {
        let folder = tempfile::tempdir().unwrap();
        let repository = SqliteRepository::open(folder.path()).await.unwrap();
        (folder, repository)
    }

    conformance::conformance_tests!(open);

    #[tokio::test]
    async fn a_second_start_finds_what_the_first_left() {
        let (folder, first) = open().await;
        let tenant = conformance::tenant(&first, "acme").await;
        first.close().await;
        let second = SqliteRepository::open(folder.path()).await.unwrap();
        let found = crate::storage::Tenants::tenant(&second, tenant.id).await.unwrap();
        assert_eq!(found, Some(tenant));
    }

    #[tokio::test]
    async fn a_database_of_the_first_host_is_brought_up_to_date() {
        configure_sqlite().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let options = SqliteConnectOptions::new()
            .filename(folder.path().join(FILE_NAME))
            .create_if_missing(true);
        let old = SqlitePool::connect_with(options).await.unwrap();
        let first = MIGRATIONS.iter().next().unwrap().clone();
        Migrator::with_migrations(vec![first]).run(&old).await.unwrap();
        let tenant = crate::domain::id::TenantId::generate();
        let invocation = crate::domain::id::InvocationId::generate();
        let digest = crate::domain::id::VersionDigest::of(b"1");
        for statement in [
            format!("INSERT INTO tenants VALUES ('{tenant}', 'acme', 'standard', '{{}}', 0, 1)"),
            format!(
                "INSERT INTO invocations VALUES ('{invocation}', '{tenant}', 'orders', '{digest}', 'http', 'GET', \
                 '/', 200, NULL, NULL, NULL, 10, '{{\"cpu_us\":7,\"log_lines\":1}}')"
            ),
            format!(
                "INSERT INTO log_lines VALUES ('{tenant}', '{invocation}', 0, 'orders', 10, 2, 'text', '[]')"
            ),
            format!(
                "INSERT INTO usage_hours VALUES ('{tenant}', 'orders', 0, 1, 0, 7, 9, 0, 0, 0, 0, 0, 0, 1, 0, 0)"
            ),
        ] {
            sqlx::query(sqlx::AssertSqlSafe(statement))
                .execute(&old)
                .await
                .unwrap();
        }
        old.close().await;

        let new = SqliteRepository::open(folder.path()).await.unwrap();
        let kept = new.kept(tenant).await.unwrap();
        assert_eq!((kept.records, kept.log_bytes), (1, 4 + 2 + 200));
        let record = new.invocation(tenant, invocation).await.unwrap().unwrap();
        assert_eq!((record.usage.cpu_us, record.usage.queued_us), (7, 0));
        let hour = crate::domain::clock::Timestamp(3_600_000);
        let sums = new
            .usage(tenant, crate::domain::clock::Timestamp(0), hour)
            .await
            .unwrap();
        assert_eq!((sums[0].cpu_us, sums[0].log_bytes), (7, 0));
    }

    #[tokio::test]
    async fn a_database_of_a_newer_host_is_refused() {
        let (folder, first) = open().await;
        sqlx::query(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
             VALUES (9000, 'from the future', TRUE, x'00', 0)",
        )
        .execute(&first.writer)
        .await
        .unwrap();
        first.close().await;
        let error = SqliteRepository::open(folder.path()).await.unwrap_err();
        let newest = MIGRATIONS.iter().map(|migration| migration.version).max();
        let wanted = format!(
            "the database has migration 9000, but this mortise knows only up to {}; run a newer mortise or restore a \
             backup from before the upgrade",
            newest.unwrap()
        );
        assert_eq!(error.to_string(), wanted);
    }

    #[tokio::test]
    async fn a_folder_that_is_not_there_is_an_error_and_not_a_panic() {
        let error = SqliteRepository::open(Path::new("/nonexistent/folder"))
            .await
            .unwrap_err();
        assert!(matches!(error, DbError::Unavailable(_)));
    }

    #[tokio::test]
    async fn tenants_are_made_when_the_generation_is_at_its_end() {
        let (_folder, repository) = open().await;
        for generation in [i64::MAX - 1, i64::MAX] {
            sqlx::query("UPDATE host SET generation = $1")
                .bind(generation)
                .execute(&repository.writer)
                .await
                .unwrap();
            conformance::tenant(&repository, &format!("t{}", generation % 10)).await;
            assert_eq!(repository.own_mark().await.unwrap().generation, i64::MAX);
        }
    }

    /// A database of a host that only knew the migrations before `version`.
    async fn database_before(folder: &Path, version: i64) -> SqlitePool {
        configure_sqlite().unwrap();
        let options = SqliteConnectOptions::new()
            .filename(folder.join(FILE_NAME))
            .create_if_missing(true);
        let old = SqlitePool::connect_with(options).await.unwrap();
        let earlier = MIGRATIONS.iter().filter(|migration| migration.version < version);
        Migrator::with_migrations(earlier.cloned().collect())
            .run(&old)
            .await
            .unwrap();
        old
    }

    #[tokio::test]
    async fn failures_of_earlier_blocks_are_counted_anew_and_damaged_ones_stop_no_start() {
        let folder = tempfile::tempdir().unwrap();
        let old = database_before(folder.path(), 12).await;
        let tenant = crate::domain::id::TenantId::generate();
        sqlx::query(
            "INSERT INTO tenants (id, name, plan, limits, suspended, created_at) \
             VALUES ($1, 'acme', 'standard', '{}', 0, 1)",
        )
        .bind(tenant.to_string())
        .execute(&old)
        .await
        .unwrap();
        let some = r#"[{"record":{"status":200}},{"record":{"status":500}},
            {"record":{"status":499,"code":"abandoned"}}]"#;
        for (id, content, failures) in [
            ("1", some, 1),
            ("2", r#"[{"record":{"status":404}}]"#, 0),
            ("3", r#"[{"record":{"status":502"#, 3),
            ("4", r#"["\"status\":5", 7, {"record":{"status":503}}]"#, 0),
        ] {
            sqlx::query("INSERT INTO invocation_blocks VALUES ($1, 'orders', 'v', $2, $2, 1, 3, $3, $4)")
                .bind(tenant.to_string())
                .bind(id)
                .bind(failures)
                .bind(content)
                .execute(&old)
                .await
                .unwrap();
        }
        old.close().await;

        let new = SqliteRepository::open(folder.path()).await.unwrap();
        let rows = sqlx::query("SELECT failures FROM invocation_blocks ORDER BY last_id")
            .fetch_all(&new.readers)
            .await
            .unwrap();
        let failures: Vec<i64> = rows
            .iter()
            .map(|row| row::integer(row, "failures").unwrap())
            .collect();
        assert_eq!(failures, [2, 0, 3, 1]);
    }

    #[tokio::test]
    async fn entries_of_an_earlier_audit_log_get_the_names_that_are_known() {
        let folder = tempfile::tempdir().unwrap();
        let old = database_before(folder.path(), 8).await;
        let [acme, purged] = [(); 2].map(|()| crate::domain::id::TenantId::generate());
        let token = crate::domain::id::TokenId::generate();
        let entry = |tenant: &crate::domain::id::TenantId, actor: &str, action: &str, subject: &str| {
            let id = crate::domain::id::AuditId::generate();
            format!("INSERT INTO audit VALUES ('{id}', '{tenant}', '{actor}', '{action}', '{subject}', 1)")
        };
        for statement in [
            format!(
                "INSERT INTO tenants (id, name, plan, limits, suspended, created_at) \
                 VALUES ('{acme}', 'acme', 'standard', '{{}}', 0, 1)"
            ),
            format!("INSERT INTO tokens VALUES ('{token}', NULL, 'Ada', 'operator', x'00', 1, NULL, NULL)"),
            entry(&acme, &token.to_string(), "secret.put", "k"),
            entry(&purged, &token.to_string(), "tenant.create", "gone"),
            entry(&purged, "host", "tenant.purge", &purged.to_string()),
        ] {
            sqlx::query(sqlx::AssertSqlSafe(statement))
                .execute(&old)
                .await
                .unwrap();
        }
        old.close().await;

        let new = SqliteRepository::open(folder.path()).await.unwrap();
        let page = super::super::Page::first(9);
        let entries = super::super::Audit::audit(&new, None, &Default::default(), page)
            .await
            .unwrap();
        let told: Vec<_> = entries
            .iter()
            .map(|entry| (entry.tenant_name.as_deref(), entry.actor_name.as_deref()))
            .collect();
        assert_eq!(
            told,
            [
                (Some("gone"), None),
                (Some("gone"), Some("Ada")),
                (Some("acme"), Some("Ada"))
            ]
        );
        assert_eq!(entries[0].actor_kind, crate::domain::audit::ActorKind::Host);
    }

    #[tokio::test]
    async fn a_start_that_was_killed_while_it_wrote_its_number_stops_none_after_it() {
        let folder = tempfile::tempdir().unwrap();
        let killed = SqliteRepository::open(folder.path()).await.unwrap();
        for _ in 0..2 {
            // Its number is in the file, the mark only announces it, and the log is not empty.
            let marked = killed.mark.read().unwrap();
            killed.begin_start(marked.as_ref()).await.unwrap();
            sqlx::query("UPDATE host SET generation = generation")
                .execute(&killed.writer)
                .await
                .unwrap();
            let next = SqliteRepository::open(folder.path()).await.unwrap();
            next.close().await;
        }
        killed.close().await;
    }

    /// A kill while the log is moved into the file leaves some new pages there, of which the first
    /// one names more pages than the file has.
    #[tokio::test]
    async fn a_start_after_a_kill_within_a_checkpoint_finds_everything() {
        let (folder, killed) = open().await;
        let file = folder.path().join(FILE_NAME);
        let log = folder.path().join(format!("{FILE_NAME}-wal"));
        let tenant = conformance::tenant(&killed, "acme").await;
        sqlx::query("CREATE TABLE large AS SELECT zeroblob(1000000)")
            .execute(&killed.writer)
            .await
            .unwrap();
        let (old, moved) = (std::fs::read(&file).unwrap(), std::fs::read(&log).unwrap());
        killed.checkpoint().await.unwrap();
        let new = std::fs::read(&file).unwrap();
        killed.close().await;
        assert!(new.len() > old.len());
        let page = 4096;
        std::fs::write(&file, [&new[..page], &old[page..]].concat()).unwrap();
        std::fs::write(&log, moved).unwrap();

        let next = SqliteRepository::open(folder.path()).await.unwrap();
        let found = crate::storage::Tenants::tenant(&next, tenant.id).await.unwrap();
        assert_eq!(found, Some(tenant));
    }

    #[tokio::test]
    async fn readers_cannot_write() {
        let (_folder, repository) = open().await;
        let written = sqlx::query("DELETE FROM plans")
            .execute(&repository.readers)
            .await;
        assert!(written.is_err());
    }
}
