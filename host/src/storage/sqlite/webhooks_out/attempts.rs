//! What becomes of deliveries: attempts, and deliveries that are given up.

use std::time::Duration;

use super::super::{SqliteRepository, row, unavailable};
use crate::domain::clock::Timestamp;
use crate::domain::id::{DeliveryId, JobId, TenantId};
use crate::domain::webhook_out::{DeliveryState, NotedAttempt};
use crate::storage::DbError;

/// The most attempts of a delivery that are kept.
const KEPT: u32 = 50;

pub(super) async fn note(
    repository: &SqliteRepository,
    tenant: TenantId,
    id: DeliveryId,
    noted: &NotedAttempt,
) -> Result<Option<Timestamp>, DbError> {
    let NotedAttempt {
        attempt,
        state,
        attempts_before,
        ended_at,
        next_at,
    } = noted;
    let (tenant, id) = (tenant.to_string(), id.to_string());
    let is_over = *state != DeliveryState::Waiting;
    let mut transaction = repository.begin().await?;
    let row = sqlx::query(UPDATE)
        .bind(tenant.as_str())
        .bind(id.as_str())
        .bind(state.as_str())
        .bind(i64::from(attempt.number))
        .bind(i64::from(*attempts_before))
        .bind(attempt.status.map(i64::from))
        .bind(attempt.error.as_deref())
        .bind(next_at.map(|at| at.0))
        .bind(is_over.then_some(ended_at.0))
        .fetch_optional(&mut *transaction)
        .await
        .map_err(unavailable)?;
    let Some(row) = row else {
        return Ok(None);
    };
    let endpoint = row::text(&row, "endpoint")?;
    sqlx::query(INSERT)
        .bind(tenant.as_str())
        .bind(id.as_str())
        .bind(i64::from(attempt.number))
        .bind(attempt.at.0)
        .bind(milliseconds(attempt.took))
        .bind(attempt.status.map(i64::from))
        .bind(attempt.error.as_deref())
        .bind(attempt.answer.as_deref())
        .execute(&mut *transaction)
        .await
        .map_err(unavailable)?;
    if attempt.number > KEPT {
        sqlx::query("DELETE FROM webhook_attempts WHERE tenant = $1 AND delivery = $2 AND number <= $3")
            .bind(tenant.as_str())
            .bind(id.as_str())
            .bind(i64::from(attempt.number - KEPT))
            .execute(&mut *transaction)
            .await
            .map_err(unavailable)?;
    }
    let row = sqlx::query(FAILING_SINCE)
        .bind(tenant.as_str())
        .bind(endpoint)
        .bind(i64::from(*state == DeliveryState::Delivered))
        .bind(attempt.at.0)
        .fetch_optional(&mut *transaction)
        .await
        .map_err(unavailable)?;
    let failing_since = match &row {
        Some(row) => row::optional_timestamp(row, "failing_since")?,
        None => None,
    };
    transaction.commit().await.map_err(unavailable)?;
    Ok(failing_since)
}

pub(super) async fn give_up(
    repository: &SqliteRepository,
    tenant: TenantId,
    id: DeliveryId,
    job: JobId,
    state: DeliveryState,
    because: Option<&str>,
    at: Timestamp,
) -> Result<(), DbError> {
    sqlx::query(GIVE_UP)
        .bind(tenant.to_string())
        .bind(id.to_string())
        .bind(job.to_string())
        .bind(state.as_str())
        .bind(because)
        .bind(at.0)
        .execute(&repository.writer)
        .await
        .map_err(unavailable)?;
    Ok(())
}

fn milliseconds(took: Duration) -> i64 {
    i64::try_from(took.as_millis()).unwrap_or(i64::MAX)
}

const UPDATE: &str = "UPDATE webhook_deliveries SET state = $3, attempts = $4, attempts_before = $5, \
    status = $6, error = $7, next_at = $8, ended_at = $9 WHERE tenant = $1 AND id = $2 RETURNING endpoint";

/// The same number is written twice if an earlier attempt of the job was lost right after it.
const INSERT: &str = "INSERT INTO webhook_attempts (tenant, delivery, number, at, took_ms, status, error, answer) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (tenant, delivery, number) DO UPDATE SET \
    at = excluded.at, took_ms = excluded.took_ms, status = excluded.status, error = excluded.error, \
    answer = excluded.answer";

const FAILING_SINCE: &str = "UPDATE webhook_endpoints SET \
    failing_since = CASE WHEN $3 = 1 THEN NULL ELSE COALESCE(failing_since, $4) END \
    WHERE tenant = $1 AND id = $2 RETURNING failing_since";

/// A delivery that was replayed meanwhile has another job.
const GIVE_UP: &str = "UPDATE webhook_deliveries SET state = $4, error = COALESCE($5, error), next_at = NULL, \
    ended_at = $6 WHERE tenant = $1 AND id = $2 AND job = $3 AND state = 'waiting'";
