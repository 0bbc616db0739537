//! Deletes deliveries that ended, and bodies that no delivery needs any more.

use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use super::super::{SqliteRepository, row, unavailable};
use super::read;
use crate::domain::audit::Change;
use crate::domain::clock::Timestamp;
use crate::domain::id::TenantId;
use crate::storage::{DbError, DeliveryFilter};

pub(super) async fn purge(
    repository: &SqliteRepository,
    tenant: TenantId,
    filter: &DeliveryFilter,
    limit: u32,
    change: &Change,
) -> Result<u32, DbError> {
    let mut transaction = repository.begin().await?;
    let mut query = read::select(tenant, filter);
    query
        .push(read::WITHOUT_JOB)
        .push(" ORDER BY d.id LIMIT ")
        .push_bind(i64::from(limit));
    let rows = query
        .build()
        .persistent(false)
        .fetch_all(&mut *transaction)
        .await
        .map_err(unavailable)?;
    let deleted = delete(&mut transaction, &rows).await?;
    if deleted > 0 {
        repository
            .commit_without_generation(transaction, Some(tenant), change)
            .await?;
    }
    Ok(deleted)
}

pub(super) async fn prune(
    repository: &SqliteRepository,
    before: Timestamp,
    limit: u32,
) -> Result<u32, DbError> {
    let mut transaction = repository.begin().await?;
    let rows = sqlx::query(OLD)
        .bind(before.0)
        .bind(i64::from(limit))
        .fetch_all(&mut *transaction)
        .await
        .map_err(unavailable)?;
    let deleted = delete(&mut transaction, &rows).await?;
    if deleted > 0 {
        transaction.commit().await.map_err(unavailable)?;
    }
    Ok(deleted)
}

pub(super) async fn trim(
    repository: &SqliteRepository,
    tenant: TenantId,
    kept: u32,
    limit: u32,
) -> Result<u32, DbError> {
    let mut transaction = repository.begin().await?;
    let rows = sqlx::query(OLDEST)
        .bind(tenant.to_string())
        .bind(i64::from(kept))
        .bind(i64::from(limit))
        .fetch_all(&mut *transaction)
        .await
        .map_err(unavailable)?;
    let deleted = delete(&mut transaction, &rows).await?;
    if deleted > 0 {
        transaction.commit().await.map_err(unavailable)?;
    }
    Ok(deleted)
}

/// Deletes the bodies of a tenant that no delivery has.
pub(super) async fn events_without_deliveries(
    connection: &mut SqliteConnection,
    tenant: TenantId,
) -> Result<(), DbError> {
    sqlx::query(UNUSED)
        .bind(tenant.to_string())
        .execute(connection)
        .await
        .map_err(unavailable)?;
    Ok(())
}

/// Deletes these deliveries, with their attempts and with bodies that were theirs alone.
async fn delete(connection: &mut SqliteConnection, rows: &[SqliteRow]) -> Result<u32, DbError> {
    if rows.is_empty() {
        return Ok(0);
    }
    let (mut deliveries, mut events) = (Vec::new(), Vec::new());
    for row in rows {
        let tenant = row::text(row, "tenant")?;
        deliveries.push((tenant.clone(), row::text(row, "id")?));
        events.push((tenant, row::text(row, "event")?));
    }
    sqlx::query(DELETE)
        .bind(row::to_json(&deliveries, "webhook_deliveries.id")?)
        .execute(&mut *connection)
        .await
        .map_err(unavailable)?;
    sqlx::query(DELETE_EVENTS)
        .bind(row::to_json(&events, "webhook_events.id")?)
        .execute(&mut *connection)
        .await
        .map_err(unavailable)?;
    Ok(u32::try_from(rows.len()).unwrap_or(u32::MAX))
}

const OLD: &str = "SELECT tenant, id, event FROM webhook_deliveries \
    WHERE ended_at IS NOT NULL AND ended_at < $1 ORDER BY ended_at LIMIT $2";

const OLDEST: &str = "SELECT tenant, id, event FROM webhook_deliveries \
    WHERE ended_at IS NOT NULL AND tenant = $1 ORDER BY ended_at DESC, id DESC LIMIT $3 OFFSET $2";

const DELETE: &str = "DELETE FROM webhook_deliveries WHERE (tenant, id) IN \
    (SELECT value ->> 0, value ->> 1 FROM json_each($1))";

const DELETE_EVENTS: &str = "DELETE FROM webhook_events WHERE (tenant, id) IN \
    (SELECT value ->> 0, value ->> 1 FROM json_each($1)) \
    AND NOT EXISTS (SELECT 1 FROM webhook_deliveries d \
        WHERE d.tenant = webhook_events.tenant AND d.event = webhook_events.id)";

const UNUSED: &str = "DELETE FROM webhook_events WHERE tenant = $1 \
    AND NOT EXISTS (SELECT 1 FROM webhook_deliveries d WHERE d.tenant = $1 AND d.event = webhook_events.id)";
