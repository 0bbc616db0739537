//! The job queue in a data folder whose host does not run: it is filled before a measurement and
//! read after it.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use mortise::domain::clock::{Clock as _, SystemClock, Timestamp};
use mortise::domain::id::{InvocationId, JobId, TenantId};
use mortise::domain::job::{Backoff, Job, JobOrigin, JobState, NewJob};
use mortise::storage::sqlite::SqliteRepository;
use mortise::storage::{JobFilter, JobPosition, Jobs as _, Page, Repository as _};
use tokio::runtime::Runtime;

use super::PLUGIN;
use crate::subject::ORDER;

/// The jobs that one transaction adds.
const BLOCK: usize = 5_000;

/// The jobs that one query reads.
const PAGE: u32 = 1_000;

/// An open queue.
pub struct Queue {
    pub runtime: Arc<Runtime>,
    pub db: Arc<SqliteRepository>,
}

impl Queue {
    /// Opens the queue of a data folder.
    pub fn open(data: &Path, runtime: Arc<Runtime>) -> Result<Self> {
        let db = runtime.block_on(SqliteRepository::open(data))?;
        Ok(Self {
            runtime,
            db: Arc::new(db),
        })
    }

    /// Adds jobs that are due now.
    pub fn fill(&self, tenant: TenantId, kind: &str, payload: &str, count: usize) -> Result<()> {
        let mut left = count;
        while left > 0 {
            let jobs: Vec<NewJob> = (0..left.min(BLOCK))
                .map(|_| job(tenant, kind, payload))
                .collect::<Result<_>>()?;
            left -= jobs.len();
            self.runtime.block_on(self.db.add_jobs(&jobs))?;
        }
        Ok(())
    }

    /// When the jobs of a tenant that were added since a time and are done ended, the first one
    /// first.
    pub fn ended(&self, tenant: TenantId, since: Timestamp) -> Result<Vec<Timestamp>> {
        let jobs = self.done(tenant, since)?;
        let mut ended: Vec<Timestamp> = jobs.iter().filter_map(|job| job.ended_at).collect();
        ended.sort_unstable();
        Ok(ended)
    }

    /// The milliseconds from adding a job until its plugin started.
    pub fn start_delay(&self, tenant: TenantId, id: JobId) -> Result<f64> {
        let found = self.runtime.block_on(self.db.job(tenant, id))?;
        let (job, attempts) = found.with_context(|| format!("the job {id}"))?;
        let first = attempts.first().and_then(|attempt| attempt.invocation);
        let started = began(first.with_context(|| format!("the job {id} did not start"))?)?;
        #[expect(clippy::cast_precision_loss, reason = "some milliseconds")]
        let delay = (started.0 - job.new.created_at.0) as f64;
        Ok(delay)
    }

    /// The jobs of a tenant that were added since a time and are done.
    fn done(&self, tenant: TenantId, since: Timestamp) -> Result<Vec<Job>> {
        let filter = JobFilter {
            states: vec![JobState::Done],
            from: Some(since),
            ..JobFilter::default()
        };
        let mut all: Vec<Job> = Vec::new();
        loop {
            let page = Page {
                after: all.last().map(|job| JobPosition(job.new.id)),
                limit: PAGE,
            };
            let found = self.runtime.block_on(self.db.jobs(tenant, &filter, page))?;
            let is_last = found.is_empty();
            all.extend(found);
            if is_last {
                return Ok(all);
            }
        }
    }

    /// Closes it, so that a host can open it.
    pub fn close(self) {
        self.runtime.block_on(self.db.close());
    }
}

/// A job that is due now.
fn job(tenant: TenantId, kind: &str, payload: &str) -> Result<NewJob> {
    let now = SystemClock.now();
    Ok(NewJob {
        id: JobId::generate(),
        tenant,
        plugin: PLUGIN.parse()?,
        name: kind.parse()?,
        payload: payload.into(),
        origin: JobOrigin::Enqueued,
        priority: 0,
        run_at: now,
        max_attempts: 8,
        backoff: Backoff::default(),
        unique_key: None,
        concurrency: None,
        depth: 0,
        traceparent: None,
        created_at: now,
    })
}

/// When an invocation began: its id says so.
fn began(id: InvocationId) -> Result<Timestamp> {
    let (seconds, nanoseconds) = id.0.get_timestamp().context("an id with a time")?.to_unix();
    Ok(Timestamp(
        i64::try_from(seconds)? * 1_000 + i64::from(nanoseconds) / 1_000_000,
    ))
}

/// The payload of the jobs: the order of the other measurements.
pub const PAYLOAD: &str = ORDER;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invocation_says_when_it_began() {
        let before = SystemClock.now();
        let began = began(InvocationId::generate()).unwrap();
        assert!(before <= began && began <= SystemClock.now());
    }
}
