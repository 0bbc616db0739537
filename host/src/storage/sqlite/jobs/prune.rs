//! Deletes ended jobs that are old or too many, and old ticks of schedules.

use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use super::super::{SqliteRepository, row, unavailable};
use super::effects::Effects;
use super::ending;
use crate::domain::clock::Timestamp;
use crate::domain::id::TenantId;
use crate::storage::DbError;

pub(super) async fn prune(
    repository: &SqliteRepository,
    done: Timestamp,
    dead: Timestamp,
    limit: u32,
) -> Result<u32, DbError> {
    let mut transaction = repository.begin().await?;
    let mut left = limit;
    let mut effects = Effects::default();
    for (statement, before) in [(OLD_DONE, done), (OLD_DEAD, dead)] {
        let rows = sqlx::query(statement)
            .bind(before.0)
            .bind(i64::from(left))
            .fetch_all(&mut *transaction)
            .await
            .map_err(unavailable)?;
        left -= delete(&mut transaction, &rows, &mut effects).await?;
    }
    let ticks = sqlx::query(OLD_TICKS)
        .bind(done.0)
        .bind(i64::from(limit))
        .execute(&mut *transaction)
        .await
        .map_err(unavailable)?
        .rows_affected();
    let ticks = u32::try_from(ticks).unwrap_or(limit);
    if left < limit || ticks > 0 {
        effects.write(&mut transaction).await?;
        transaction.commit().await.map_err(unavailable)?;
    }
    Ok(ticks.max(limit - left))
}

pub(super) async fn trim(
    repository: &SqliteRepository,
    tenant: TenantId,
    done: u64,
    dead: u64,
    limit: u32,
) -> Result<u32, DbError> {
    let mut transaction = repository.begin().await?;
    let counts = sqlx::query("SELECT done, dead FROM job_counts WHERE tenant = $1")
        .bind(tenant.to_string())
        .fetch_optional(&mut *transaction)
        .await
        .map_err(unavailable)?;
    let Some(counts) = counts else {
        return Ok(0);
    };
    let mut left = limit;
    let mut effects = Effects::default();
    for (statement, column, most) in [(OLDEST_DONE, "done", done), (OLDEST_DEAD, "dead", dead)] {
        let excess = row::number::<u64>(&counts, column)?.saturating_sub(most);
        let excess = u32::try_from(excess).unwrap_or(u32::MAX).min(left);
        if excess == 0 {
            continue;
        }
        let rows = sqlx::query(statement)
            .bind(tenant.to_string())
            .bind(i64::from(excess))
            .fetch_all(&mut *transaction)
            .await
            .map_err(unavailable)?;
        left -= delete(&mut transaction, &rows, &mut effects).await?;
    }
    if left < limit {
        effects.write(&mut transaction).await?;
        transaction.commit().await.map_err(unavailable)?;
    }
    Ok(limit - left)
}

async fn delete(
    connection: &mut SqliteConnection,
    rows: &[SqliteRow],
    effects: &mut Effects,
) -> Result<u32, DbError> {
    ending::delete_ended(connection, rows, effects).await?;
    Ok(u32::try_from(rows.len()).unwrap_or(u32::MAX))
}

pub(super) const OLD_DONE: &str = "SELECT seq, tenant, state FROM jobs_ended \
    WHERE state <> 'dead' AND ended_at < $1 ORDER BY ended_at LIMIT $2";

pub(super) const OLD_DEAD: &str = "SELECT seq, tenant, state FROM jobs_ended \
    WHERE state = 'dead' AND ended_at < $1 ORDER BY ended_at LIMIT $2";

pub(super) const OLDEST_DONE: &str = "SELECT seq, tenant, state FROM jobs_ended \
    WHERE state <> 'dead' AND tenant = $1 ORDER BY ended_at, seq LIMIT $2";

pub(super) const OLDEST_DEAD: &str = "SELECT seq, tenant, state FROM jobs_ended \
    WHERE state = 'dead' AND tenant = $1 ORDER BY ended_at, seq LIMIT $2";

/// The state of a schedule has its last time, so a time is not handled again once its tick is gone.
pub(super) const OLD_TICKS: &str = "DELETE FROM schedule_ticks WHERE (tenant, plugin, schedule, due_at) IN \
    (SELECT tenant, plugin, schedule, due_at FROM schedule_ticks WHERE due_at < $1 ORDER BY due_at LIMIT $2)";
