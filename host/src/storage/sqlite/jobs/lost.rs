//! Ends lost attempts, and finds those after which a plugin's job ends: the tenant's database may
//! know that they completed the job.

use sqlx::sqlite::SqliteRow;

use super::super::{SqliteRepository, row, unavailable};
use super::acknowledge::Finished;
use super::stored::{self, Live};
use crate::domain::clock::Timestamp;
use crate::domain::id::TenantId;
use crate::domain::job::{Job, JobState};
use crate::storage::{DbError, LostAttempt};

/// Whether the loss of a running attempt ends a job of a plugin.
macro_rules! is_last {
    () => {
        "plugin <> '-' AND (attempt >= max_attempts OR cancel_requested = 1)"
    };
}
pub(super) use is_last;

/// Why an attempt is lost whose lease is over, for the author of the job.
pub(super) fn lease_over(node: &str, attempt: u32) -> String {
    format!(
        "the node `{node}` did not report how attempt {attempt} ended before its lease was over: the node was \
         stopped or killed, or could not write to the control plane's database"
    )
}

/// Why an attempt is lost whose process has ended.
pub(super) fn node_ended(node: &str, attempt: u32) -> String {
    format!(
        "the node `{node}` ended before attempt {attempt} did: it was killed, or was not given time to stop"
    )
}

/// Adds a lost attempt to those that ended. Returns its job as it is stored then; `None` if the row
/// cannot be read as one.
pub(super) fn lose(
    finished: &mut Finished,
    row: &SqliteRow,
    job: Live,
    error: String,
    now: Timestamp,
) -> Option<Job> {
    let next = now.saturating_add(stored::wait_after_loss(row, job.attempt));
    let state = finished.lose(job, now, next, error.clone());
    match stored::live_job(row) {
        Ok(job) => Some(after(job, state, now, next, error)),
        Err(error) => {
            tracing::error!(%error, "a job whose attempt was lost cannot be read");
            None
        }
    }
}

/// A job whose attempt was lost, as it is stored now.
fn after(mut job: Job, state: JobState, now: Timestamp, next: Timestamp, error: String) -> Job {
    job.state = state;
    job.lease_until = None;
    job.cancel_requested = false;
    job.error = Some(error);
    match state.is_live() {
        true => job.new.run_at = next,
        false => job.ended_at = Some(now),
    }
    job
}

pub(super) async fn expire(
    repository: &SqliteRepository,
    node: &str,
    now: Timestamp,
) -> Result<u32, DbError> {
    let mut transaction = repository.begin().await?;
    let rows = sqlx::query(LAST_OF_NODE)
        .bind(node)
        .fetch_all(&mut *transaction)
        .await
        .map_err(unavailable)?;
    if rows.is_empty() {
        return Ok(0);
    }
    let mut expired = Vec::with_capacity(rows.len());
    for row in &rows {
        let attempt: u32 = row::number(row, "attempt")?;
        expired.push((row::integer(row, "seq")?, now.0, node_ended(node, attempt)));
    }
    sqlx::query(EXPIRE)
        .bind(row::to_json(&expired, "jobs.seq")?)
        .execute(&mut *transaction)
        .await
        .map_err(unavailable)?;
    transaction.commit().await.map_err(unavailable)?;
    Ok(u32::try_from(expired.len()).unwrap_or(u32::MAX))
}

pub(super) async fn last_attempts(
    repository: &SqliteRepository,
    now: Timestamp,
    except: &[TenantId],
    limit: u32,
) -> Result<Vec<LostAttempt>, DbError> {
    let rows = sqlx::query(LAST)
        .bind(now.0)
        .bind(row::to_json(&except, "jobs.tenant")?)
        .bind(i64::from(limit))
        .fetch_all(&repository.readers)
        .await
        .map_err(unavailable)?;
    let read = |row: &SqliteRow| {
        Ok(LostAttempt {
            tenant: row::parsed(row, "tenant")?,
            job: row::parsed(row, "id")?,
            claim: stored::claim(row)?,
        })
    };
    rows.iter().map(read).collect()
}

pub(super) async fn end(
    repository: &SqliteRepository,
    lost: &[LostAttempt],
    unknown: Option<&str>,
    now: Timestamp,
) -> Result<Vec<Job>, DbError> {
    if lost.is_empty() {
        return Ok(Vec::new());
    }
    let claims: Vec<_> = lost.iter().map(|lost| lost.claim.0).collect();
    let mut transaction = repository.begin().await?;
    let rows = sqlx::query(STILL_LOST)
        .bind(row::to_json(&claims, "jobs.claim")?)
        .bind(now.0)
        .fetch_all(&mut *transaction)
        .await
        .map_err(unavailable)?;
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let mut finished = Finished::default();
    let mut ended = Vec::with_capacity(rows.len());
    for row in &rows {
        let job = Live::read(row)?;
        let error = reason(row, &job, unknown)?;
        ended.extend(lose(&mut finished, row, job, error, now));
    }
    finished.write(&mut transaction).await?;
    transaction.commit().await.map_err(unavailable)?;
    Ok(ended)
}

/// Why an attempt is lost. [`expire`] has written it if the process ended.
fn reason(row: &SqliteRow, job: &Live, unknown: Option<&str>) -> Result<String, DbError> {
    let node = row::optional_text(row, "node")?.unwrap_or_default();
    let ended = node_ended(&node, job.attempt);
    let reason = match job.error.as_deref() == Some(ended.as_str()) {
        true => ended,
        false => lease_over(&node, job.attempt),
    };
    Ok(match unknown {
        None => reason,
        Some(unknown) => {
            format!("{reason}; whether the attempt completed the job is not known: {unknown}")
        }
    })
}

/// `$2` is a JSON array of tenants.
pub(super) const LAST: &str = concat!(
    "SELECT tenant, id, claim FROM jobs WHERE state = 'running' AND lease_until <= $1 AND ",
    is_last!(),
    " AND tenant NOT IN (SELECT value FROM json_each($2)) ORDER BY lease_until LIMIT $3"
);

pub(super) const LAST_OF_NODE: &str = concat!(
    "SELECT seq, attempt FROM jobs WHERE state = 'running' AND node = $1 AND ",
    is_last!()
);

/// The parameter is a JSON array of `[seq, lease_until, error]`.
pub(super) const EXPIRE: &str = "UPDATE jobs SET lease_until = lost.value ->> 1, error = lost.value ->> 2 \
    FROM json_each($1) AS lost WHERE jobs.seq = lost.value ->> 0";

/// `$1` is a JSON array of claims. The plus keeps SQLite from looking through all leases instead.
pub(super) const STILL_LOST: &str = "SELECT jobs.* FROM json_each($1) AS claims \
    CROSS JOIN jobs ON jobs.claim = claims.value WHERE jobs.state = 'running' \
    AND +jobs.lease_until <= $2";
