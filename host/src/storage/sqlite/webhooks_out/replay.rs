//! Deliveries that are sent again.

use sqlx::SqliteConnection;

use super::super::{SqliteRepository, jobs, unavailable};
use super::read;
use crate::domain::audit::Change;
use crate::domain::clock::Timestamp;
use crate::domain::id::{DeliveryId, TenantId};
use crate::domain::job::NewJob;
use crate::domain::webhook_out::{Delivery, DeliveryState, job};
use crate::storage::{Added, DbError, DeliveryFilter, Replayed};

pub(super) async fn one(
    repository: &SqliteRepository,
    tenant: TenantId,
    id: DeliveryId,
    change: &Change,
) -> Result<Option<Replayed>, DbError> {
    let mut transaction = repository.begin().await?;
    let mut query = read::select(tenant, &DeliveryFilter::default());
    query.push(" AND d.id = ").push_bind(id.to_string());
    let row = query
        .build()
        .persistent(false)
        .fetch_optional(&mut *transaction)
        .await
        .map_err(unavailable)?;
    let Some(delivery) = row.as_ref().map(read::read).transpose()? else {
        return Ok(None);
    };
    // The job may have been purged.
    let live = sqlx::query("SELECT 1 FROM jobs WHERE tenant = $1 AND id = $2")
        .bind(tenant.to_string())
        .bind(delivery.job.to_string())
        .fetch_optional(&mut *transaction)
        .await
        .map_err(unavailable)?;
    if delivery.state == DeliveryState::Waiting && live.is_some() {
        return Ok(Some(Replayed::Waits(delivery.job)));
    }
    let added = again(&mut transaction, tenant, &[delivery], change.at).await?;
    repository
        .commit_without_generation(transaction, Some(tenant), change)
        .await?;
    Ok(added.first().map(|added| Replayed::Added(*added)))
}

pub(super) async fn many(
    repository: &SqliteRepository,
    tenant: TenantId,
    filter: &DeliveryFilter,
    limit: u32,
    change: &Change,
) -> Result<Vec<Added>, DbError> {
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
    let deliveries: Vec<Delivery> = rows.iter().map(read::read).collect::<Result<_, _>>()?;
    if deliveries.is_empty() {
        return Ok(Vec::new());
    }
    let added = again(&mut transaction, tenant, &deliveries, change.at).await?;
    repository
        .commit_without_generation(transaction, Some(tenant), change)
        .await?;
    Ok(added)
}

/// Adds a new job for each of the deliveries.
async fn again(
    connection: &mut SqliteConnection,
    tenant: TenantId,
    deliveries: &[Delivery],
    now: Timestamp,
) -> Result<Vec<Added>, DbError> {
    let new: Vec<NewJob> = deliveries
        .iter()
        .map(|delivery| {
            job(
                tenant,
                delivery.id,
                delivery.endpoint,
                delivery.event.clone(),
                now,
            )
        })
        .collect();
    let added = jobs::insert_in(&mut *connection, &new.iter().collect::<Vec<_>>()).await?;
    for (delivery, job) in deliveries.iter().zip(&new) {
        sqlx::query(AGAIN)
            .bind(tenant.to_string())
            .bind(delivery.id.to_string())
            .bind(job.id.to_string())
            .bind(now.0)
            .execute(&mut *connection)
            .await
            .map_err(unavailable)?;
    }
    Ok(added)
}

const AGAIN: &str = "UPDATE webhook_deliveries SET state = 'waiting', job = $3, attempts_before = attempts, \
    error = NULL, next_at = $4, ended_at = NULL WHERE tenant = $1 AND id = $2";
