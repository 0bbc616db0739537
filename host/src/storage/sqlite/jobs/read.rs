//! Reads jobs, their attempts and the counts of tenants.

use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use super::super::{SqliteRepository, row, unavailable};
use super::filter::{self, Table};
use super::stored;
use crate::domain::id::{JobId, TenantId};
use crate::domain::job::{Attempt, Job};
use crate::domain::units::as_u64;
use crate::storage::{DbError, JobCounts, JobFilter, JobPosition, Page};

pub(super) async fn jobs(
    repository: &SqliteRepository,
    tenant: TenantId,
    filter: &JobFilter,
    page: Page<JobPosition>,
) -> Result<Vec<Job>, DbError> {
    // One transaction: a job that ends meanwhile is neither missing nor listed twice.
    let mut reading = repository.readers.begin().await.map_err(unavailable)?;
    let mut found = Vec::new();
    for table in Table::BOTH {
        found.extend(of_table(&mut reading, table, tenant, filter, &page).await?);
    }
    found.sort_by_key(|job| std::cmp::Reverse(job.new.id));
    found.truncate(usize::try_from(page.limit).unwrap_or(usize::MAX));
    Ok(found)
}

/// The first jobs of the page in a table. A row that cannot be read is logged and skipped, so that
/// it does not hide the others.
async fn of_table(
    connection: &mut SqliteConnection,
    table: Table,
    tenant: TenantId,
    filter: &JobFilter,
    page: &Page<JobPosition>,
) -> Result<Vec<Job>, DbError> {
    let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
    let mut after = page.after.map(|JobPosition(id)| id.to_string());
    let mut found = Vec::new();
    loop {
        let Some(mut query) = filter::select(table, tenant, filter) else {
            return Ok(found);
        };
        if let Some(after) = &after {
            query.push(" AND id < ").push_bind(after.as_str());
        }
        let wanted = limit - found.len();
        query
            .push(" ORDER BY id DESC LIMIT ")
            .push_bind(row::to_integer(as_u64(wanted)));
        let query = query.build().persistent(false);
        let rows = query.fetch_all(&mut *connection).await.map_err(unavailable)?;
        let read = |row: &SqliteRow| match table {
            Table::Live => stored::live_job(row),
            Table::Past => stored::ended_job(row),
        };
        let unreadable = |error: &DbError| {
            tracing::error!(%tenant, %error, "a job cannot be read; it is left out of the list");
        };
        found.extend(
            rows.iter()
                .filter_map(|row| read(row).inspect_err(unreadable).ok()),
        );
        match rows.last() {
            Some(last) if rows.len() == wanted && found.len() < limit => after = Some(row::text(last, "id")?),
            _ => return Ok(found),
        }
    }
}

pub(super) async fn job(
    repository: &SqliteRepository,
    tenant: TenantId,
    id: JobId,
) -> Result<Option<(Job, Vec<Attempt>)>, DbError> {
    let mut reading = repository.readers.begin().await.map_err(unavailable)?;
    let live = row_of(&mut reading, LIVE, tenant, id).await?;
    let (row, mut job) = match live {
        Some(row) => {
            let job = stored::live_job(&row)?;
            (row, job)
        }
        None => match row_of(&mut reading, ENDED, tenant, id).await? {
            Some(row) => {
                let job = stored::ended_job(&row)?;
                (row, job)
            }
            None => return Ok(None),
        },
    };
    let seq = row::integer(&row, "seq")?;
    let payload = stored::payloads(&mut reading, &[seq]).await?.remove(&seq);
    let payload = payload.ok_or_else(|| DbError::corrupt("job_payloads.seq", "the payload is missing"))?;
    job.new.payload = payload.into();
    let attempts = sqlx::query(ATTEMPTS)
        .bind(seq)
        .fetch_all(&mut *reading)
        .await
        .map_err(unavailable)?;
    let attempts = attempts.iter().map(stored::attempt).collect::<Result<_, _>>()?;
    Ok(Some((job, attempts)))
}

/// The row of a job in a table.
pub(super) async fn row_of(
    connection: &mut SqliteConnection,
    statement: &'static str,
    tenant: TenantId,
    id: JobId,
) -> Result<Option<SqliteRow>, DbError> {
    sqlx::query(statement)
        .bind(tenant.to_string())
        .bind(id.to_string())
        .fetch_optional(connection)
        .await
        .map_err(unavailable)
}

pub(super) async fn counts(repository: &SqliteRepository) -> Result<Vec<(TenantId, JobCounts)>, DbError> {
    let rows = sqlx::query(COUNTS)
        .fetch_all(&repository.readers)
        .await
        .map_err(unavailable)?;
    let read = |row: &SqliteRow| {
        let counts = JobCounts {
            live: row::number(row, "live")?,
            running: row::number(row, "running")?,
            done: row::number(row, "done")?,
            dead: row::number(row, "dead")?,
            oldest_ready: row::optional_timestamp(row, "oldest_ready")?,
        };
        Ok((row::parsed(row, "tenant")?, counts))
    };
    rows.iter().map(read).collect()
}

pub(super) async fn unfinished_among(
    repository: &SqliteRepository,
    tenant: TenantId,
    ids: &[JobId],
) -> Result<Vec<JobId>, DbError> {
    let rows = sqlx::query(UNFINISHED_AMONG)
        .bind(tenant.to_string())
        .bind(row::to_json(&ids, "jobs.id")?)
        .fetch_all(&repository.readers)
        .await
        .map_err(unavailable)?;
    rows.iter().map(|row| row::parsed(row, "id")).collect()
}

pub(super) const LIVE: &str = "SELECT * FROM jobs WHERE tenant = $1 AND id = $2";

pub(super) const ENDED: &str = "SELECT * FROM jobs_ended WHERE tenant = $1 AND id = $2";

pub(super) const ATTEMPTS: &str = "SELECT * FROM job_attempts WHERE seq = $1 ORDER BY number";

pub(super) const COUNTS: &str = "SELECT tenant, live, done, dead, \
    CASE WHEN live > 0 THEN (SELECT COUNT(*) FROM jobs \
         WHERE jobs.state = 'running' AND jobs.tenant = job_counts.tenant) ELSE 0 END AS running, \
    CASE WHEN live > 0 THEN (SELECT run_at FROM jobs \
         WHERE jobs.state = 'ready' AND jobs.tenant = job_counts.tenant ORDER BY run_at LIMIT 1) END AS oldest_ready \
    FROM job_counts";

pub(super) const UNFINISHED_AMONG: &str = "SELECT asked.value AS id FROM json_each($2) AS asked \
    WHERE EXISTS (SELECT 1 FROM jobs WHERE jobs.tenant = $1 AND jobs.id = asked.value) \
       OR EXISTS (SELECT 1 FROM jobs_ended AS ended WHERE ended.tenant = $1 AND ended.id = asked.value \
                  AND ended.state <> 'done')";
