//! Makes jobs ready that are due.
//!
//! Every tenant with due jobs gets an equal share of a block, so a tenant with many jobs for the
//! same moment does not delay the others.

use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use super::super::{SqliteRepository, row, unavailable};
use super::effects::Effects;
use super::stored::{self, Key};
use crate::domain::clock::Timestamp;
use crate::domain::job::JobState;
use crate::storage::DbError;

pub(super) async fn promote(
    repository: &SqliteRepository,
    now: Timestamp,
    limit: u32,
) -> Result<u32, DbError> {
    let mut transaction = repository.begin().await?;
    let mut effects = Effects::default();
    let mut left = limit;
    let mut is_changed = false;
    while left > 0 {
        let tenants = sqlx::query(DUE_TENANTS)
            .bind(now.0)
            .bind(i64::from(left))
            .fetch_all(&mut *transaction)
            .await
            .map_err(unavailable)?;
        // There are at most `left` tenants, so the share is at least one.
        let count = u32::try_from(tenants.len()).unwrap_or(u32::MAX);
        let Some(share) = left.checked_div(count) else {
            break;
        };
        for tenant in &tenants {
            let tenant = row::text(tenant, "tenant")?;
            left -= promote_tenant(&mut transaction, &tenant, now, share, &mut effects).await?;
        }
        is_changed = true;
    }
    if is_changed {
        effects.write(&mut transaction).await?;
        transaction.commit().await.map_err(unavailable)?;
    }
    Ok(limit - left)
}

/// Promotes up to `limit` due jobs of a tenant, and notes when the next one is due.
async fn promote_tenant(
    connection: &mut SqliteConnection,
    tenant: &str,
    now: Timestamp,
    limit: u32,
    effects: &mut Effects,
) -> Result<u32, DbError> {
    let promoted = sqlx::query(PROMOTE)
        .bind(tenant)
        .bind(now.0)
        .bind(i64::from(limit))
        .fetch_all(&mut *connection)
        .await
        .map_err(unavailable)?;
    sqlx::query(NOTE_NEXT_DUE)
        .bind(tenant)
        .execute(connection)
        .await
        .map_err(unavailable)?;
    for row in &promoted {
        if stored::state(row)? == JobState::Blocked {
            effects.blocked(key(tenant, row)?);
        }
    }
    Ok(u32::try_from(promoted.len()).unwrap_or(u32::MAX))
}

fn key(tenant: &str, row: &SqliteRow) -> Result<Key, DbError> {
    Ok(Key {
        tenant: tenant.to_owned(),
        plugin: row::text(row, "plugin")?,
        name: row::text(row, "name")?,
        key: row::text(row, "concurrency_key")?,
    })
}

pub(super) const DUE_TENANTS: &str =
    "SELECT tenant FROM job_counts WHERE next_due <= $1 ORDER BY next_due LIMIT $2";

/// A job with a concurrency key first becomes blocked, and settling the key makes it ready. A
/// failed job of an ordered key still occupies the key.
pub(super) const PROMOTE: &str = "UPDATE jobs SET \
    state = CASE WHEN concurrency_key IS NULL OR occupies = 1 THEN 'ready' ELSE 'blocked' END \
    WHERE seq IN (SELECT seq FROM jobs WHERE state = 'scheduled' AND tenant = $1 AND run_at <= $2 \
                  ORDER BY run_at, seq LIMIT $3) \
    RETURNING plugin, name, concurrency_key, state";

pub(super) const NOTE_NEXT_DUE: &str = "UPDATE job_counts SET next_due = \
    (SELECT run_at FROM jobs WHERE state = 'scheduled' AND tenant = $1 ORDER BY run_at LIMIT 1) \
    WHERE tenant = $1";
