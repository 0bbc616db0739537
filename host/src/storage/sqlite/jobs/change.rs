//! Changes that people make: retry, cancel and purge. Each is one transaction with its audit entry.

use std::collections::HashSet;

use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use super::super::{SqliteRepository, row, unavailable};
use super::effects::Effects;
use super::ending::{self, End};
use super::filter::{self, Table};
use super::stored::{self, Key, Live, common_columns};
use super::{add, maintain, read};
use crate::domain::audit::Change;
use crate::domain::clock::Timestamp;
use crate::domain::id::{JobId, TenantId};
use crate::domain::job::JobState;
use crate::domain::units::as_u64;
use crate::storage::{Cancelled, DbError, JobFilter};

pub(super) async fn retry(
    repository: &SqliteRepository,
    tenant: TenantId,
    id: JobId,
    now: Timestamp,
    change: &Change,
) -> Result<Option<JobState>, DbError> {
    let mut transaction = repository.begin().await?;
    let mut effects = Effects::default();
    match read::row_of(&mut transaction, read::LIVE, tenant, id).await? {
        Some(row) => {
            let job = Live::read(&row)?;
            if job.state != JobState::Scheduled {
                return Ok(Some(job.state));
            }
            run_now(&mut transaction, &job, now, &mut effects).await?;
        }
        None => {
            let Some(row) = read::row_of(&mut transaction, read::ENDED, tenant, id).await? else {
                return Ok(None);
            };
            if let Some(other) = with_its_unique_key(&mut transaction, &row).await? {
                return Err(DbError::UniqueKeyTaken(other));
            }
            revive(&mut transaction, &[row], now, &mut effects).await?;
        }
    }
    effects.write(&mut transaction).await?;
    let row = read::row_of(&mut transaction, read::LIVE, tenant, id).await?;
    let state = row.as_ref().map(stored::state).transpose()?;
    repository
        .commit_without_generation(transaction, Some(tenant), change)
        .await?;
    Ok(state)
}

pub(super) async fn retry_all(
    repository: &SqliteRepository,
    tenant: TenantId,
    filter: &JobFilter,
    now: Timestamp,
    limit: u32,
    change: &Change,
) -> Result<u32, DbError> {
    let Some(mut query) = filter::select(Table::Past, tenant, filter) else {
        return Ok(0);
    };
    // Jobs whose unique key is taken are left out here, so that they do not hide the others.
    query
        .push(WITHOUT_CONFLICT)
        .push(" ORDER BY id LIMIT ")
        .push_bind(i64::from(limit));
    let mut transaction = repository.begin().await?;
    let query = query.build().persistent(false);
    let mut rows = query.fetch_all(&mut *transaction).await.map_err(unavailable)?;
    let mut keys = HashSet::new();
    let mut is_first_of_its_key = |row: &SqliteRow| {
        let Ok(Some(key)) = row::optional_text(row, "unique_key") else {
            return true;
        };
        keys.insert((row::text(row, "plugin").ok(), row::text(row, "name").ok(), key))
    };
    rows.retain(|row| is_first_of_its_key(row));
    if rows.is_empty() {
        return Ok(0);
    }
    let mut effects = Effects::default();
    revive(&mut transaction, &rows, now, &mut effects).await?;
    effects.write(&mut transaction).await?;
    repository
        .commit_without_generation(transaction, Some(tenant), change)
        .await?;
    Ok(u32::try_from(rows.len()).unwrap_or(u32::MAX))
}

pub(super) async fn cancel(
    repository: &SqliteRepository,
    tenant: TenantId,
    id: JobId,
    now: Timestamp,
    change: &Change,
) -> Result<Option<Cancelled>, DbError> {
    let mut transaction = repository.begin().await?;
    let Some(row) = read::row_of(&mut transaction, read::LIVE, tenant, id).await? else {
        let ended = read::row_of(&mut transaction, read::ENDED, tenant, id).await?;
        let state = ended.as_ref().map(stored::state).transpose()?;
        return Ok(state.map(Cancelled::Ended));
    };
    let job = Live::read(&row)?;
    let cancelled = match job.state {
        JobState::Running if job.cancel_requested => return Ok(Some(Cancelled::Requested)),
        JobState::Running => {
            ending::run(&mut transaction, REQUEST_CANCEL, &[job.seq]).await?;
            Cancelled::Requested
        }
        _ => {
            let mut effects = Effects::default();
            ending::end(&mut transaction, &[End::cancelled(job, now)], &mut effects).await?;
            effects.write(&mut transaction).await?;
            Cancelled::Now
        }
    };
    repository
        .commit_without_generation(transaction, Some(tenant), change)
        .await?;
    Ok(Some(cancelled))
}

pub(super) async fn purge(
    repository: &SqliteRepository,
    tenant: TenantId,
    filter: &JobFilter,
    limit: u32,
    change: &Change,
) -> Result<u32, DbError> {
    let mut transaction = repository.begin().await?;
    let mut effects = Effects::default();
    let mut left = limit;
    for table in Table::BOTH {
        let Some(mut query) = filter::select(table, tenant, filter) else {
            continue;
        };
        if table == Table::Live {
            query.push(" AND state <> 'running'");
        }
        // The newest first, so that no blocked job becomes ready just before it is deleted.
        query.push(" ORDER BY id DESC LIMIT ").push_bind(i64::from(left));
        let query = query.build().persistent(false);
        let rows = query.fetch_all(&mut *transaction).await.map_err(unavailable)?;
        delete(&mut transaction, table, &rows, &mut effects).await?;
        left -= u32::try_from(rows.len()).unwrap_or(left);
    }
    if left == limit {
        return Ok(0);
    }
    effects.write(&mut transaction).await?;
    repository
        .commit_without_generation(transaction, Some(tenant), change)
        .await?;
    Ok(limit - left)
}

/// Deletes rows of a table, none of which runs.
pub(super) async fn delete(
    connection: &mut SqliteConnection,
    table: Table,
    rows: &[SqliteRow],
    effects: &mut Effects,
) -> Result<(), DbError> {
    match table {
        Table::Live => {
            let jobs = rows.iter().map(Live::read).collect::<Result<Vec<_>, _>>()?;
            ending::delete_live(connection, &jobs, effects).await
        }
        Table::Past => ending::delete_ended(connection, rows, effects).await,
    }
}

/// Lets a scheduled job run now.
async fn run_now(
    connection: &mut SqliteConnection,
    job: &Live,
    now: Timestamp,
    effects: &mut Effects,
) -> Result<(), DbError> {
    sqlx::query(RUN_NOW)
        .bind(job.seq)
        .bind(now.0)
        .execute(connection)
        .await
        .map_err(unavailable)?;
    if let Some(key) = job.key().filter(|_| !job.occupies) {
        effects.blocked(key);
    }
    Ok(())
}

/// Makes ended jobs live again.
async fn revive(
    connection: &mut SqliteConnection,
    rows: &[SqliteRow],
    now: Timestamp,
    effects: &mut Effects,
) -> Result<(), DbError> {
    let mut seqs = Vec::with_capacity(rows.len());
    for row in rows {
        seqs.push(row::integer(row, "seq")?);
        let tenant = row::text(row, "tenant")?;
        effects.kept(&tenant, stored::state(row)?, -1);
        effects.added(&tenant);
        if let Some(key) = row::optional_text(row, "concurrency_key")? {
            effects.blocked(Key {
                tenant,
                plugin: row::text(row, "plugin")?,
                name: row::text(row, "name")?,
                key,
            });
        }
    }
    sqlx::query(REVIVE)
        .bind(row::to_json(&seqs, "jobs.seq")?)
        .bind(now.0)
        .bind(i64::from(u32::MAX))
        .execute(&mut *connection)
        .await
        .map_err(unavailable)?;
    ending::run(connection, ending::DELETE_ENDED, &seqs).await
}

/// The live job that has the unique key of an ended one.
async fn with_its_unique_key(
    connection: &mut SqliteConnection,
    row: &SqliteRow,
) -> Result<Option<JobId>, DbError> {
    let Some(key) = row::optional_text(row, "unique_key")? else {
        return Ok(None);
    };
    let tenant = row::text(row, "tenant")?;
    let (plugin, name) = (row::text(row, "plugin")?, row::text(row, "name")?);
    add::with_unique_key(connection, &tenant, &plugin, &name, &key).await
}

impl SqliteRepository {
    /// Deletes the jobs of a tenant, or of one of its plugins, before the tenant or the plugin is
    /// purged. There may be a million of them, so they are deleted in blocks, between which other
    /// writers take their turns. A host that is stopped here finds the rest at the next purge.
    pub(in super::super) async fn clear_jobs(
        &self,
        tenant: TenantId,
        filter: &JobFilter,
    ) -> Result<(), DbError> {
        loop {
            let mut transaction = self.begin().await?;
            let deleted = delete_block(&mut transaction, tenant, filter).await?;
            transaction.commit().await.map_err(unavailable)?;
            if deleted < as_u64(CLEARED_AT_ONCE) {
                return Ok(());
            }
        }
    }
}

/// Deletes the rest of the jobs within the transaction of the purge.
pub(in super::super) async fn delete_rest(
    connection: &mut SqliteConnection,
    tenant: TenantId,
    filter: &JobFilter,
) -> Result<(), DbError> {
    while delete_block(connection, tenant, filter).await? > 0 {}
    if let Some(plugin) = &filter.plugin {
        sqlx::query(maintain::FORGET_HELD_OF_PLUGIN)
            .bind(tenant.to_string())
            .bind(plugin.as_str())
            .execute(connection)
            .await
            .map_err(unavailable)?;
    }
    Ok(())
}

const CLEARED_AT_ONCE: usize = 1_000;

/// Deletes some jobs of both tables, also running ones. Returns how many.
async fn delete_block(
    connection: &mut SqliteConnection,
    tenant: TenantId,
    filter: &JobFilter,
) -> Result<u64, DbError> {
    let mut effects = Effects::default();
    let mut deleted = 0;
    for table in Table::BOTH {
        let Some(mut query) = filter::select(table, tenant, filter) else {
            continue;
        };
        query
            .push(" ORDER BY id DESC LIMIT ")
            .push_bind(row::to_integer(as_u64(CLEARED_AT_ONCE)));
        let query = query.build().persistent(false);
        let rows = query.fetch_all(&mut *connection).await.map_err(unavailable)?;
        delete(connection, table, &rows, &mut effects).await?;
        deleted += as_u64(rows.len());
    }
    effects.write(connection).await?;
    Ok(deleted)
}

pub(super) const REQUEST_CANCEL: &str =
    "UPDATE jobs SET cancel_requested = 1 WHERE seq IN (SELECT value FROM json_each($1))";

pub(super) const RUN_NOW: &str = "UPDATE jobs SET run_at = $2, \
    state = CASE WHEN concurrency_key IS NULL OR occupies = 1 THEN 'ready' ELSE 'blocked' END WHERE seq = $1";

/// The job gets as many attempts as when it was added, beside those that it has used.
pub(super) const REVIVE: &str = concat!(
    "INSERT INTO jobs (",
    common_columns!(),
    ", state) SELECT seq, tenant, id, plugin, name, origin, priority, $2, MIN(attempt + attempts_each, $3), \
     attempts_each, backoff, unique_key, concurrency_key, concurrency_limit, concurrency_ordered, depth, traceparent, \
     created_at, attempt, error, CASE WHEN concurrency_key IS NULL THEN 'ready' ELSE 'blocked' END \
     FROM jobs_ended WHERE seq IN (SELECT value FROM json_each($1))"
);

const WITHOUT_CONFLICT: &str = " AND (unique_key IS NULL OR NOT EXISTS \
    (SELECT 1 FROM jobs WHERE jobs.tenant = jobs_ended.tenant AND jobs.plugin = jobs_ended.plugin \
     AND jobs.name = jobs_ended.name AND jobs.unique_key = jobs_ended.unique_key))";
