//! Jobs of the host that ended without success, until their handlers have been told.
//!
//! The row says whether a handler was told, so a host that is killed in between tells it after the
//! next start. A job that runs again is told again when it ends.

use std::collections::HashMap;

use super::super::{SqliteRepository, row, unavailable};
use super::stored;
use crate::domain::id::{JobId, TenantId};
use crate::domain::job::Job;
use crate::storage::DbError;

pub(super) async fn untold(repository: &SqliteRepository, limit: u32) -> Result<Vec<Job>, DbError> {
    let mut reader = repository.readers.acquire().await.map_err(unavailable)?;
    let rows = sqlx::query(UNTOLD)
        .bind(i64::from(limit))
        .fetch_all(&mut *reader)
        .await
        .map_err(unavailable)?;
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let mut seqs = Vec::with_capacity(rows.len());
    for row in &rows {
        seqs.push(row::integer(row, "seq")?);
    }
    let mut payloads: HashMap<i64, String> = stored::payloads(&mut reader, &seqs).await?;
    let mut jobs = Vec::with_capacity(rows.len());
    for (row, seq) in rows.iter().zip(seqs) {
        let mut job = stored::ended_job(row)?;
        job.new.payload = payloads.remove(&seq).unwrap_or_default().into();
        jobs.push(job);
    }
    Ok(jobs)
}

pub(super) async fn told(repository: &SqliteRepository, jobs: &[(TenantId, JobId)]) -> Result<(), DbError> {
    if jobs.is_empty() {
        return Ok(());
    }
    sqlx::query(TOLD)
        .bind(row::to_json(&jobs, "jobs.id")?)
        .execute(&repository.writer)
        .await
        .map_err(unavailable)?;
    Ok(())
}

/// The index has only these jobs.
pub(super) const UNTOLD: &str = "SELECT * FROM jobs_ended \
    WHERE plugin = '-' AND state <> 'done' AND told = 0 ORDER BY seq LIMIT $1";

/// The parameter is a JSON array of `[tenant, id]`.
pub(super) const TOLD: &str = "UPDATE jobs_ended SET told = 1 WHERE seq IN \
    (SELECT e.seq FROM json_each($1) AS job \
     CROSS JOIN jobs_ended AS e ON e.tenant = job.value ->> 0 AND e.id = job.value ->> 1)";
