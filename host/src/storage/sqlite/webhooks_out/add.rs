//! Adds deliveries in the transaction that adds their jobs.

use sqlx::SqliteConnection;

use super::super::{SqliteRepository, jobs, unavailable};
use crate::domain::audit::Change;
use crate::domain::id::TenantId;
use crate::domain::job::NewJob;
use crate::domain::webhook_out::{DeliveryState, FanOut, OutgoingEvent};
use crate::storage::{Added, DbError};

pub(super) async fn fan_out(
    repository: &SqliteRepository,
    tenant: TenantId,
    fan_out: &FanOut,
) -> Result<Vec<Added>, DbError> {
    let mut transaction = repository.begin().await?;
    let added = insert_all(&mut transaction, tenant, fan_out).await?;
    transaction.commit().await.map_err(unavailable)?;
    Ok(added)
}

pub(super) async fn fan_out_with_change(
    repository: &SqliteRepository,
    tenant: TenantId,
    fan_out: &FanOut,
    change: &Change,
) -> Result<Vec<Added>, DbError> {
    let mut transaction = repository.begin().await?;
    let added = insert_all(&mut transaction, tenant, fan_out).await?;
    repository
        .commit_without_generation(transaction, Some(tenant), change)
        .await?;
    Ok(added)
}

/// Adds the jobs and the deliveries of an event.
pub(super) async fn insert_all(
    connection: &mut SqliteConnection,
    tenant: TenantId,
    fan_out: &FanOut,
) -> Result<Vec<Added>, DbError> {
    let new: Vec<&NewJob> = fan_out.jobs.iter().collect();
    let added = jobs::insert_in(&mut *connection, &new).await?;
    if let Some(event) = &fan_out.outgoing {
        insert(&mut *connection, tenant, event).await?;
    }
    Ok(added)
}

/// Adds an event and its deliveries, whose jobs were added in the same transaction. A delivery is
/// left out if its endpoint was deleted meanwhile, or if its job was dropped because the tenant was
/// purged.
pub(in super::super) async fn insert(
    connection: &mut SqliteConnection,
    tenant: TenantId,
    outgoing: &OutgoingEvent,
) -> Result<(), DbError> {
    let tenant = tenant.to_string();
    for delivery in &outgoing.deliveries {
        sqlx::query(EVENT)
            .bind(tenant.as_str())
            .bind(outgoing.event.id.to_string())
            .bind(outgoing.event.source.as_str())
            .bind(outgoing.event.topic.as_str())
            .bind(outgoing.event.time.0)
            .bind(outgoing.body.as_str())
            .bind(delivery.endpoint.to_string())
            .execute(&mut *connection)
            .await
            .map_err(unavailable)?;
        sqlx::query(DELIVERY)
            .bind(tenant.as_str())
            .bind(delivery.id.to_string())
            .bind(delivery.endpoint.to_string())
            .bind(outgoing.event.id.to_string())
            .bind(delivery.job.to_string())
            .bind(DeliveryState::Waiting.as_str())
            .bind(delivery.created_at.0)
            .execute(&mut *connection)
            .await
            .map_err(unavailable)?;
    }
    Ok(())
}

const EVENT: &str = "INSERT INTO webhook_events (tenant, id, source, topic, time, body) \
    SELECT $1, $2, $3, $4, $5, $6 \
    WHERE EXISTS (SELECT 1 FROM webhook_endpoints WHERE tenant = $1 AND id = $7) \
    ON CONFLICT DO NOTHING";

const DELIVERY: &str = "INSERT INTO webhook_deliveries \
    (tenant, id, endpoint, event, job, state, attempts, attempts_before, created_at, next_at) \
    SELECT $1, $2, $3, $4, $5, $6, 0, 0, $7, $7 \
    WHERE EXISTS (SELECT 1 FROM webhook_endpoints WHERE tenant = $1 AND id = $3) \
    AND EXISTS (SELECT 1 FROM jobs WHERE tenant = $1 AND id = $5) \
    ON CONFLICT DO NOTHING";
