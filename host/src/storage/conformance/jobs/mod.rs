//! Conformance tests of the job queue and of schedules.

mod acknowledging;
mod adding;
mod changing;
mod claiming;
mod concurrency;
mod ending;
mod fairness;
mod holding;
mod lost;
mod purging;
mod random_walk;
mod reading;
mod relaying;
mod schedules;

pub use acknowledging::*;
pub use adding::*;
pub use changing::*;
pub use claiming::*;
pub use concurrency::*;
pub use ending::*;
pub use fairness::*;
pub use holding::*;
pub use lost::*;
pub use purging::*;
pub use random_walk::*;
pub use reading::*;
pub use relaying::*;
pub use schedules::*;

use std::time::Duration;

use super::name;
use crate::domain::clock::Timestamp;
use crate::domain::id::{JobId, JobName, PluginName, TenantId};
use crate::domain::job::{
    Acknowledgement, Attempt, Backoff, ClaimedJob, Concurrency, ConcurrencyKey, Ending, Job, JobOrigin,
    JobState, NewJob,
};
use crate::domain::units::Span;
use crate::storage::{
    Acknowledged, Added, ClaimPolicy, ClaimRound, DbError, DueTime, JobCounts, JobFilter, Page, Repository,
    ScheduleState, Ticked,
};

/// The lease of a claim in these tests.
pub const LEASE: Duration = Duration::from_secs(60);

/// When most jobs are added.
pub const NOW: Timestamp = Timestamp(1_000_000);

/// `seconds` after [`NOW`].
pub fn later(seconds: u64) -> Timestamp {
    NOW.saturating_add(Duration::from_secs(seconds))
}

/// Handles one time of a schedule.
pub async fn tick(
    repository: &dyn Repository,
    due: &ScheduleState,
    job: Option<&NewJob>,
) -> Result<Ticked, DbError> {
    let due = DueTime {
        state: due.clone(),
        job: job.cloned(),
    };
    let handled = repository.handle_times(std::slice::from_ref(&due)).await?;
    Ok(handled.first().copied().unwrap_or(Ticked::Before))
}

/// A policy of claims.
pub struct Policy {
    /// How many jobs of a tenant run at most.
    pub running: u32,
    /// How many jobs of a tenant are claimed before the next tenant has its turn.
    pub share: u32,
    /// Slots for tenants that run no job.
    pub reserved: u32,
    /// Kinds of jobs that cannot run, by their names.
    pub stopped: Vec<JobName>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            running: u32::MAX,
            share: u32::MAX,
            reserved: 0,
            stopped: Vec::new(),
        }
    }
}

impl ClaimPolicy for Policy {
    fn quota(&self, _: TenantId, running: u32, free: u32) -> u32 {
        let unreserved = free.saturating_sub(self.reserved);
        let available = if running == 0 {
            unreserved.max(1)
        } else {
            unreserved
        };
        let wanted = self.share.min(self.running.saturating_sub(running));
        wanted.min(available)
    }

    fn lease(&self, _: TenantId, _: &PluginName, job: &JobName) -> Option<Duration> {
        (!self.stopped.contains(job)).then_some(LEASE)
    }
}

/// A job that is due at once.
pub fn new_job(tenant: TenantId, job: &str) -> NewJob {
    NewJob {
        id: JobId::generate(),
        tenant,
        plugin: name("orders"),
        name: name(job),
        payload: "{}".into(),
        origin: JobOrigin::Enqueued,
        priority: 0,
        run_at: NOW,
        max_attempts: 3,
        backoff: Backoff {
            initial: Span::s(1),
            max: Span::s(10),
        },
        unique_key: None,
        concurrency: None,
        depth: 0,
        traceparent: None,
        created_at: NOW,
    }
}

/// A job with a concurrency key.
pub fn keyed(tenant: TenantId, key: &str, limit: u32, ordered: bool) -> NewJob {
    NewJob {
        concurrency: Some(ConcurrencyKey {
            key: key.to_owned(),
            bound: Concurrency {
                limit: limit.try_into().unwrap(),
                ordered,
            },
        }),
        ..new_job(tenant, "sync")
    }
}

/// Adds a job.
pub async fn add(repository: &dyn Repository, job: NewJob) -> JobId {
    let added = repository.add_jobs(std::slice::from_ref(&job)).await.unwrap();
    assert_eq!(added, [Added::New(job.id)]);
    job.id
}

/// Adds some jobs of a kind that are due at once.
pub async fn add_some(repository: &dyn Repository, tenant: TenantId, job: &str, count: usize) -> Vec<JobId> {
    let jobs: Vec<NewJob> = (0..count).map(|_| new_job(tenant, job)).collect();
    let added = repository.add_jobs(&jobs).await.unwrap();
    assert!(added.iter().all(|added| matches!(added, Added::New(_))));
    jobs.into_iter().map(|job| job.id).collect()
}

/// One round of claims from the first tenant on.
pub async fn round(repository: &dyn Repository, slots: u32, now: Timestamp, policy: &Policy) -> ClaimRound {
    repository
        .claim_jobs("node-1", None, slots, now, policy)
        .await
        .unwrap()
}

/// Claims up to `slots` jobs.
pub async fn claim(repository: &dyn Repository, slots: u32, now: Timestamp) -> Vec<ClaimedJob> {
    round(repository, slots, now, &Policy::default()).await.claimed
}

/// Claims the only ready job.
pub async fn claim_one(repository: &dyn Repository, now: Timestamp) -> ClaimedJob {
    let mut claimed = claim(repository, 9, now).await;
    assert_eq!(claimed.len(), 1, "{claimed:?}");
    claimed.remove(0)
}

/// Ends all attempts whose lease is over. None of them completed its job.
pub async fn reap(repository: &dyn Repository, now: Timestamp, limit: u32) -> Vec<Job> {
    let mut reaped = repository.reap_jobs(now, limit).await.unwrap();
    let last = repository.lost_last_attempts(now, &[], limit).await.unwrap();
    let ended = repository.end_lost_attempts(&last, None, now).await.unwrap();
    reaped.extend(ended);
    reaped
}

/// The end of a claimed attempt.
pub fn end_of(claimed: &ClaimedJob, ending: Ending, at: Timestamp) -> Acknowledgement {
    Acknowledgement {
        job: claimed.job.new.id,
        claim: claimed.claim,
        ending,
        ended_at: at,
        invocation: None,
    }
}

/// An attempt that failed and is to be repeated.
pub fn retry_at(at: Timestamp) -> Ending {
    Ending::Retry {
        at,
        error: "it failed".to_owned(),
    }
}

/// An attempt that failed for good.
pub fn discarded() -> Ending {
    Ending::Dead {
        error: "it is discarded".to_owned(),
    }
}

/// Acknowledges an attempt.
pub async fn acknowledge(
    repository: &dyn Repository,
    claimed: &ClaimedJob,
    ending: Ending,
    at: Timestamp,
) -> Acknowledged {
    let ended = [end_of(claimed, ending, at)];
    let acknowledged = repository.acknowledge_jobs(&ended).await.unwrap();
    assert_eq!(acknowledged.len(), 1);
    acknowledged[0]
}

/// A stored job with its attempts.
pub async fn stored(repository: &dyn Repository, tenant: TenantId, id: JobId) -> (Job, Vec<Attempt>) {
    repository.job(tenant, id).await.unwrap().unwrap()
}

/// The state of a job.
pub async fn state(repository: &dyn Repository, tenant: TenantId, id: JobId) -> JobState {
    stored(repository, tenant, id).await.0.state
}

/// The states of some jobs.
pub async fn states(repository: &dyn Repository, tenant: TenantId, ids: &[JobId]) -> Vec<JobState> {
    let mut states = Vec::new();
    for id in ids {
        states.push(state(repository, tenant, *id).await);
    }
    states
}

/// The counts of a tenant.
pub async fn counts(repository: &dyn Repository, tenant: TenantId) -> JobCounts {
    let all = repository.job_counts().await.unwrap();
    let found = all.into_iter().find(|(counted, _)| *counted == tenant);
    found.map(|(_, counts)| counts).unwrap_or_default()
}

/// Up to 1,000 jobs of a tenant that match, the newest first.
pub async fn listed(repository: &dyn Repository, tenant: TenantId, filter: &JobFilter) -> Vec<Job> {
    repository.jobs(tenant, filter, Page::first(1_000)).await.unwrap()
}

/// A filter for one state.
pub fn in_state(state: JobState) -> JobFilter {
    JobFilter {
        states: vec![state],
        ..JobFilter::default()
    }
}
