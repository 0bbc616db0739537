//! Reaps lost attempts whose jobs run again, releases held jobs, and makes dead letters of jobs
//! that cannot run any more.

use sqlx::sqlite::SqliteRow;

use super::super::{SqliteRepository, row, unavailable};
use super::acknowledge::Finished;
use super::effects::Effects;
use super::ending::{self, End};
use super::lost::{self, is_last};
use super::stored::{self, Live};
use crate::domain::clock::Timestamp;
use crate::domain::id::{ClaimId, JobId, PluginName, TenantId};
use crate::domain::job::Job;
use crate::storage::{DbError, HeldJobs};

/// Which attempts are lost.
#[derive(Clone, Copy, Debug)]
pub(super) enum Lost<'a> {
    /// Those whose lease is over.
    LeaseOver,
    /// Those of a node that has just started.
    Node(&'a str),
}

pub(super) async fn reap(
    repository: &SqliteRepository,
    lost: Lost<'_>,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<Job>, DbError> {
    let mut transaction = repository.begin().await?;
    let query = match lost {
        Lost::LeaseOver => sqlx::query(LOST).bind(now.0),
        Lost::Node(node) => sqlx::query(LOST_OF_NODE).bind(node),
    };
    let rows = query
        .bind(i64::from(limit))
        .fetch_all(&mut *transaction)
        .await
        .map_err(unavailable)?;
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let mut finished = Finished::default();
    let mut reaped = Vec::with_capacity(rows.len());
    for row in &rows {
        let job = Live::read(row)?;
        let node = row::optional_text(row, "node")?.unwrap_or_default();
        let error = match lost {
            Lost::LeaseOver => lost::lease_over(&node, job.attempt),
            Lost::Node(_) => lost::node_ended(&node, job.attempt),
        };
        reaped.extend(lost::lose(&mut finished, row, job, error, now));
    }
    finished.write(&mut transaction).await?;
    transaction.commit().await.map_err(unavailable)?;
    Ok(reaped)
}

pub(super) async fn cancel_requests(
    repository: &SqliteRepository,
    node: &str,
) -> Result<Vec<(JobId, ClaimId)>, DbError> {
    let rows = sqlx::query(TO_CANCEL)
        .bind(node)
        .fetch_all(&repository.readers)
        .await
        .map_err(unavailable)?;
    rows.iter()
        .map(|row| Ok((row::parsed(row, "id")?, stored::claim(row)?)))
        .collect()
}

pub(super) async fn held(repository: &SqliteRepository) -> Result<Vec<HeldJobs>, DbError> {
    let rows = sqlx::query(HELD)
        .fetch_all(&repository.readers)
        .await
        .map_err(unavailable)?;
    let read = |row: &SqliteRow| {
        Ok(HeldJobs {
            tenant: row::parsed(row, "tenant")?,
            plugin: stored::plugin(row)?,
            job: row::parsed(row, "name")?,
        })
    };
    rows.iter().map(read).collect()
}

pub(super) async fn release(
    repository: &SqliteRepository,
    held: &HeldJobs,
    limit: u32,
) -> Result<u32, DbError> {
    let mut transaction = repository.begin().await?;
    let bind = |statement: &'static str| {
        sqlx::query(statement)
            .bind(held.tenant.to_string())
            .bind(held.plugin.to_string())
            .bind(held.job.to_string())
    };
    let released = bind(RELEASE)
        .bind(i64::from(limit))
        .execute(&mut *transaction)
        .await
        .map_err(unavailable)?
        .rows_affected();
    bind(FORGET_HELD)
        .execute(&mut *transaction)
        .await
        .map_err(unavailable)?;
    transaction.commit().await.map_err(unavailable)?;
    Ok(u32::try_from(released).unwrap_or(u32::MAX))
}

pub(super) async fn bury(
    repository: &SqliteRepository,
    tenant: TenantId,
    plugin: &PluginName,
    why: &str,
    now: Timestamp,
    limit: u32,
) -> Result<u32, DbError> {
    let mut transaction = repository.begin().await?;
    let rows = sqlx::query(WAITING)
        .bind(tenant.to_string())
        .bind(plugin.as_str())
        .bind(i64::from(limit))
        .fetch_all(&mut *transaction)
        .await
        .map_err(unavailable)?;
    let mut ends = Vec::with_capacity(rows.len());
    for row in &rows {
        ends.push(End::dead(Live::read(row)?, why, now));
    }
    let mut effects = Effects::default();
    ending::end(&mut transaction, &ends, &mut effects).await?;
    effects.write(&mut transaction).await?;
    sqlx::query(FORGET_HELD_OF_PLUGIN)
        .bind(tenant.to_string())
        .bind(plugin.as_str())
        .execute(&mut *transaction)
        .await
        .map_err(unavailable)?;
    transaction.commit().await.map_err(unavailable)?;
    Ok(u32::try_from(ends.len()).unwrap_or(u32::MAX))
}

pub(super) const LOST_OF_NODE: &str = concat!(
    "SELECT * FROM jobs WHERE state = 'running' AND node = $1 AND NOT (",
    is_last!(),
    ") LIMIT $2"
);

pub(super) const LOST: &str = concat!(
    "SELECT * FROM jobs WHERE state = 'running' AND lease_until <= $1 AND NOT (",
    is_last!(),
    ") ORDER BY lease_until LIMIT $2"
);

pub(super) const TO_CANCEL: &str =
    "SELECT id, claim FROM jobs WHERE state = 'running' AND cancel_requested = 1 AND node = $1";

pub(super) const HELD: &str = "SELECT tenant, plugin, name FROM held_jobs \
    WHERE EXISTS (SELECT 1 FROM jobs WHERE jobs.state = 'held' AND jobs.tenant = held_jobs.tenant \
                  AND jobs.plugin = held_jobs.plugin AND jobs.name = held_jobs.name)";

pub(super) const RELEASE: &str = "UPDATE jobs SET state = 'ready' WHERE seq IN \
    (SELECT seq FROM jobs WHERE state = 'held' AND tenant = $1 AND plugin = $2 AND name = $3 \
     ORDER BY seq LIMIT $4)";

pub(super) const FORGET_HELD: &str = "DELETE FROM held_jobs \
    WHERE tenant = $1 AND plugin = $2 AND name = $3 \
    AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.state = 'held' AND jobs.tenant = $1 \
                    AND jobs.plugin = $2 AND jobs.name = $3)";

/// The newest first: jobs that are blocked are then buried before the one that they wait for.
pub(super) const WAITING: &str = "SELECT * FROM jobs WHERE tenant = $1 AND plugin = $2 AND state <> 'running' \
    ORDER BY id DESC LIMIT $3";

pub(super) const FORGET_HELD_OF_PLUGIN: &str = "DELETE FROM held_jobs WHERE tenant = $1 AND plugin = $2 \
    AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.state = 'held' AND jobs.tenant = $1 \
                    AND jobs.plugin = $2 AND jobs.name = held_jobs.name)";
