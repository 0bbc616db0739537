//! Deliveries as the admin API reads them.

use std::time::Duration;

use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Sqlite};

use super::super::{SqliteRepository, row, unavailable};
use crate::domain::event::Event;
use crate::domain::id::{DeliveryId, TenantId};
use crate::domain::webhook_out::{Delivery, DeliveryAttempt};
use crate::storage::{DbError, DeliveryFilter, DeliveryPosition, Page};

pub(super) async fn one(
    repository: &SqliteRepository,
    tenant: TenantId,
    id: DeliveryId,
) -> Result<Option<Delivery>, DbError> {
    let row = sqlx::query(ONE)
        .bind(tenant.to_string())
        .bind(id.to_string())
        .fetch_optional(&repository.readers)
        .await
        .map_err(unavailable)?;
    row.as_ref().map(read).transpose()
}

pub(super) async fn body(
    repository: &SqliteRepository,
    tenant: TenantId,
    id: DeliveryId,
) -> Result<Option<String>, DbError> {
    let row = sqlx::query(BODY)
        .bind(tenant.to_string())
        .bind(id.to_string())
        .fetch_optional(&repository.readers)
        .await
        .map_err(unavailable)?;
    row.map(|row| row::text(&row, "body")).transpose()
}

pub(super) async fn attempts(
    repository: &SqliteRepository,
    tenant: TenantId,
    id: DeliveryId,
) -> Result<Vec<DeliveryAttempt>, DbError> {
    let rows = sqlx::query(ATTEMPTS)
        .bind(tenant.to_string())
        .bind(id.to_string())
        .fetch_all(&repository.readers)
        .await
        .map_err(unavailable)?;
    rows.iter().map(read_attempt).collect()
}

pub(super) async fn list(
    repository: &SqliteRepository,
    tenant: TenantId,
    filter: &DeliveryFilter,
    page: Page<DeliveryPosition>,
) -> Result<Vec<Delivery>, DbError> {
    let mut query = select(tenant, filter);
    if let Some(DeliveryPosition(before)) = page.after {
        query.push(" AND d.id < ").push_bind(before.to_string());
    }
    query
        .push(" ORDER BY d.id DESC LIMIT ")
        .push_bind(i64::from(page.limit));
    let rows = query
        .build()
        .persistent(false)
        .fetch_all(&repository.readers)
        .await
        .map_err(unavailable)?;
    rows.iter().map(read).collect()
}

/// Begins a statement for the deliveries that match. More conditions and the order may be added.
pub(super) fn select(tenant: TenantId, filter: &DeliveryFilter) -> QueryBuilder<Sqlite> {
    let mut query = QueryBuilder::new(DELIVERIES);
    query.push(" WHERE d.tenant = ").push_bind(tenant.to_string());
    if let Some(endpoint) = filter.endpoint {
        query.push(" AND d.endpoint = ").push_bind(endpoint.to_string());
    }
    if let Some(topic) = &filter.topic {
        query.push(" AND e.topic = ").push_bind(topic.to_string());
    }
    if let Some(from) = filter.from {
        query.push(" AND d.created_at >= ").push_bind(from.0);
    }
    if let Some(to) = filter.to {
        query.push(" AND d.created_at < ").push_bind(to.0);
    }
    if !filter.states.is_empty() {
        query.push(" AND d.state IN (");
        let mut list = query.separated(", ");
        for state in &filter.states {
            list.push_bind(state.as_str());
        }
        query.push(")");
    }
    query
}

pub(super) fn read(row: &SqliteRow) -> Result<Delivery, DbError> {
    Ok(Delivery {
        id: row::parsed(row, "id")?,
        endpoint: row::parsed(row, "endpoint")?,
        event: Event {
            id: row::parsed(row, "event")?,
            source: row::parsed(row, "source")?,
            topic: row::parsed(row, "topic")?,
            time: row::timestamp(row, "time")?,
        },
        job: row::parsed(row, "job")?,
        state: row::parsed(row, "state")?,
        attempts: row::number(row, "attempts")?,
        attempts_before: row::number(row, "attempts_before")?,
        status: status(row)?,
        error: row::optional_text(row, "error")?,
        created_at: row::timestamp(row, "created_at")?,
        next_at: row::optional_timestamp(row, "next_at")?,
        ended_at: row::optional_timestamp(row, "ended_at")?,
    })
}

fn read_attempt(row: &SqliteRow) -> Result<DeliveryAttempt, DbError> {
    Ok(DeliveryAttempt {
        number: row::number(row, "number")?,
        at: row::timestamp(row, "at")?,
        took: Duration::from_millis(row::number(row, "took_ms")?),
        status: status(row)?,
        error: row::optional_text(row, "error")?,
        answer: row::optional_text(row, "answer")?,
    })
}

fn status(row: &SqliteRow) -> Result<Option<u16>, DbError> {
    let status = row::optional_integer(row, "status")?;
    let narrow =
        |status: i64| u16::try_from(status).map_err(|_| DbError::corrupt("status", "it is no status"));
    status.map(narrow).transpose()
}

/// Deliveries that no live job sends: they ended, or somebody purged their job.
pub(super) const WITHOUT_JOB: &str = " AND (d.ended_at IS NOT NULL OR NOT EXISTS \
    (SELECT 1 FROM jobs j WHERE j.tenant = d.tenant AND j.id = d.job))";

const DELIVERIES: &str = "SELECT d.*, e.source, e.topic, e.time FROM webhook_deliveries d \
    JOIN webhook_events e ON e.tenant = d.tenant AND e.id = d.event";

const ONE: &str = "SELECT d.*, e.source, e.topic, e.time FROM webhook_deliveries d \
    JOIN webhook_events e ON e.tenant = d.tenant AND e.id = d.event WHERE d.tenant = $1 AND d.id = $2";

const BODY: &str = "SELECT e.body FROM webhook_deliveries d \
    JOIN webhook_events e ON e.tenant = d.tenant AND e.id = d.event WHERE d.tenant = $1 AND d.id = $2";

const ATTEMPTS: &str = "SELECT * FROM webhook_attempts WHERE tenant = $1 AND delivery = $2 ORDER BY number";
