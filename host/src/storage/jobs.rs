//! The job queue in the database.
//!
//! Live jobs are in a small table of their own; jobs that ended move to another one. Each claim has
//! a new random id, and every later statement about the job names it: a statement with an old claim
//! changes nothing.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{DbError, Page};
use crate::domain::audit::Change;
use crate::domain::clock::Timestamp;
use crate::domain::id::{ClaimId, JobId, JobName, PluginName, TenantId};
use crate::domain::job::{Acknowledgement, Attempt, ClaimedJob, Job, JobState, NewJob};
use crate::domain::outbox::OutboxMark;

/// The result of adding a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// It was added.
    New(JobId),
    /// A live job has the same unique key, or a job has the same id; nothing was added.
    Exists(JobId),
}

/// What decides which jobs a node claims.
pub trait ClaimPolicy: Send + Sync {
    /// How many jobs of the tenant this node claims before the next tenant has its turn, given how
    /// many of its jobs run on all nodes, and how many slots of this node are free. Zero if the
    /// tenant must not run more.
    fn quota(&self, tenant: TenantId, running: u32, free: u32) -> u32;

    /// Whether jobs of this kind can run now, and for how long: the lease of the claim. Jobs that
    /// cannot run become [`JobState::Held`].
    fn lease(&self, tenant: TenantId, plugin: &PluginName, job: &JobName) -> Option<Duration>;
}

/// One round of claims.
#[derive(Debug)]
pub struct ClaimRound {
    /// The claimed jobs, tenant by tenant.
    pub claimed: Vec<ClaimedJob>,
    /// The tenant after which the next round begins.
    pub cursor: Option<TenantId>,
    /// Whether ready jobs may be left that this round did not look at.
    pub more: bool,
}

/// Whether an acknowledgement was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acknowledged {
    /// The job has this state now.
    Applied(JobState),
    /// The claim is not the job's any more; nothing was written.
    Stale,
}

/// A lost attempt after which its job ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LostAttempt {
    /// The tenant.
    pub tenant: TenantId,
    /// The job.
    pub job: JobId,
    /// The claim of the attempt.
    pub claim: ClaimId,
}

/// A kind of job that has held jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldJobs {
    /// The tenant.
    pub tenant: TenantId,
    /// The plugin.
    pub plugin: PluginName,
    /// The kind of job.
    pub job: JobName,
}

/// Counts of a tenant's jobs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JobCounts {
    /// Live jobs: the backlog.
    pub live: u64,
    /// Of these, the running ones.
    pub running: u64,
    /// Done and cancelled jobs that are kept.
    pub done: u64,
    /// Dead letters.
    pub dead: u64,
    /// When the oldest ready job became due.
    pub oldest_ready: Option<Timestamp>,
}

/// A filter for lists of jobs and for changes of many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobFilter {
    /// Only of this plugin.
    pub plugin: Option<PluginName>,
    /// Only of this kind.
    pub name: Option<JobName>,
    /// Only in one of these states; empty for all.
    pub states: Vec<JobState>,
    /// Only added at this time or later.
    pub from: Option<Timestamp>,
    /// Only added before this time.
    pub to: Option<Timestamp>,
}

/// A place in a list of jobs: newest first by id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobPosition(pub JobId);

/// The result of cancelling a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// It was waiting and is cancelled.
    Now,
    /// It runs. The node that runs it finds the request and stops it.
    Requested,
    /// It had ended before.
    Ended(JobState),
}

/// The job queue.
#[async_trait]
pub trait Jobs {
    /// Adds jobs in one transaction, each unless a live job has its unique key or a job has its id:
    /// a call may be repeated. A job of a purged tenant is dropped, as if it had been added just
    /// before the purge.
    async fn add_jobs(&self, jobs: &[NewJob]) -> Result<Vec<Added>, DbError>;

    /// Adds a job that somebody asked for, unless a live job has its unique key.
    async fn add_job(&self, job: &NewJob, change: &Change) -> Result<Added, DbError>;

    /// Adds the jobs of outbox entries and moves the mark, in one transaction. `jobs` names the
    /// sequence of each job's entry. Entries up to the stored mark of the same epoch are skipped.
    /// `up_to` becomes the mark. The results are those of the jobs that were not skipped. Call it
    /// for one batch of a tenant at a time.
    async fn relay_jobs(
        &self,
        tenant: TenantId,
        up_to: &OutboxMark,
        jobs: &[(i64, NewJob)],
    ) -> Result<Vec<Added>, DbError>;

    /// The mark of a tenant; `None` if nothing was relayed.
    async fn outbox_mark(&self, tenant: TenantId) -> Result<Option<OutboxMark>, DbError>;

    /// Records the epoch of a tenant's database before its first entry is written, so that the next
    /// start looks into its outbox.
    async fn set_outbox_epoch(&self, tenant: TenantId, epoch: &str) -> Result<(), DbError>;

    /// All tenants whose databases may have outbox entries.
    async fn tenants_with_outbox(&self) -> Result<Vec<TenantId>, DbError>;

    /// Claims up to `slots` jobs, going round the tenants that have ready jobs, beginning after
    /// `cursor`, until the slots are used or no tenant takes another job. A tenant's jobs are
    /// claimed by priority, then by the time at which they are due. One transaction.
    async fn claim_jobs(
        &self,
        node: &str,
        cursor: Option<TenantId>,
        slots: u32,
        now: Timestamp,
        policy: &dyn ClaimPolicy,
    ) -> Result<ClaimRound, DbError>;

    /// Lengthens a lease. `false` if the claim is stale.
    async fn extend_lease(&self, job: JobId, claim: ClaimId, until: Timestamp) -> Result<bool, DbError>;

    /// Writes how attempts ended, in one transaction. The results are in the order of `ended`.
    async fn acknowledge_jobs(&self, ended: &[Acknowledgement]) -> Result<Vec<Acknowledged>, DbError>;

    /// Makes up to `limit` due jobs ready, or blocked if their concurrency key is full. Tenants get
    /// equal shares of the limit. Returns how many; fewer than `limit` if no more are due.
    async fn promote_jobs(&self, now: Timestamp, limit: u32) -> Result<u32, DbError>;

    /// Ends up to `limit` attempts whose lease is over: the jobs run again after their back-off.
    /// Attempts after which a plugin's job would end are left to [`Self::lost_last_attempts`]. A
    /// job of the host is a dead letter after its last attempt, or cancelled if that was requested.
    /// Returns the jobs, without their payloads.
    async fn reap_jobs(&self, now: Timestamp, limit: u32) -> Result<Vec<Job>, DbError>;

    /// Ends up to `limit` attempts of a node that has just started, as [`Self::reap_jobs`] does:
    /// the process that ran them has ended. Returns the jobs.
    async fn reap_node(&self, node: &str, now: Timestamp, limit: u32) -> Result<Vec<Job>, DbError>;

    /// Ends the leases of the attempts of a node that has just started, if [`Self::reap_node`]
    /// leaves them. [`Self::lost_last_attempts`] returns them from now on. Returns how many.
    async fn expire_leases(&self, node: &str, now: Timestamp) -> Result<u32, DbError>;

    /// Up to `limit` attempts of plugins' jobs whose lease is over and after which the jobs end,
    /// because they were the last ones or cancellation was requested. Those of the tenants in
    /// `except` are left out.
    async fn lost_last_attempts(
        &self,
        now: Timestamp,
        except: &[TenantId],
        limit: u32,
    ) -> Result<Vec<LostAttempt>, DbError>;

    /// Ends lost attempts: the jobs are dead letters, or cancelled if that was requested.
    /// `unknown`, if given, says why it is not known whether the attempts completed their jobs, and
    /// becomes part of the error. Attempts that have ended, or whose lease was extended, stay as
    /// they are. Returns the ended jobs, without their payloads.
    async fn end_lost_attempts(
        &self,
        lost: &[LostAttempt],
        unknown: Option<&str>,
        now: Timestamp,
    ) -> Result<Vec<Job>, DbError>;

    /// The running jobs of a node whose cancellation was requested.
    async fn cancel_requests(&self, node: &str) -> Result<Vec<(JobId, ClaimId)>, DbError>;

    /// The kinds of jobs that have held jobs.
    async fn held_jobs(&self) -> Result<Vec<HeldJobs>, DbError>;

    /// Makes up to `limit` held jobs of a kind ready. Returns how many.
    async fn release_held(&self, held: &HeldJobs, limit: u32) -> Result<u32, DbError>;

    /// Makes up to `limit` jobs of a plugin that do not run dead letters, for example because the
    /// plugin was deleted. Returns how many.
    async fn bury_jobs(
        &self,
        tenant: TenantId,
        plugin: &PluginName,
        why: &str,
        now: Timestamp,
        limit: u32,
    ) -> Result<u32, DbError>;

    /// Up to `limit` jobs of the host with their payloads that are dead letters or were cancelled,
    /// and whose handlers have not been told.
    async fn given_up_host_jobs(&self, limit: u32) -> Result<Vec<Job>, DbError>;

    /// Records that the handlers of these ended jobs have been told.
    async fn told_host_jobs(&self, jobs: &[(TenantId, JobId)]) -> Result<(), DbError>;

    /// Which of these jobs are there and not done: they are live, or can be retried because they
    /// are dead letters or were cancelled.
    async fn unfinished_jobs(&self, tenant: TenantId, ids: &[JobId]) -> Result<Vec<JobId>, DbError>;

    /// Deletes up to `limit` jobs that were done or cancelled before `done`, and dead letters from
    /// before `dead`, with their attempts, and up to `limit` old ticks. Returns how many jobs or
    /// ticks, whichever are more: fewer than `limit` if nothing is left.
    async fn prune_jobs(&self, done: Timestamp, dead: Timestamp, limit: u32) -> Result<u32, DbError>;

    /// Deletes up to `limit` of a tenant's oldest ended jobs above `done` done or cancelled ones
    /// and `dead` dead letters. Returns how many.
    async fn trim_jobs(&self, tenant: TenantId, done: u64, dead: u64, limit: u32) -> Result<u32, DbError>;

    /// The counts of all tenants that have or had jobs. Reads counters and indexes, not the
    /// backlog.
    async fn job_counts(&self) -> Result<Vec<(TenantId, JobCounts)>, DbError>;

    /// A page of a tenant's jobs, newest first. Payloads may be large, so they are left empty.
    async fn jobs(
        &self,
        tenant: TenantId,
        filter: &JobFilter,
        page: Page<JobPosition>,
    ) -> Result<Vec<Job>, DbError>;

    /// A job with its payload and its last 100 attempts.
    async fn job(&self, tenant: TenantId, id: JobId) -> Result<Option<(Job, Vec<Attempt>)>, DbError>;

    /// Runs an ended job again, or a scheduled one now. An ended job gets as many attempts as when
    /// it was added. A job in another state stays as it is. `None` if there is no such job;
    /// otherwise its state. [`DbError::UniqueKeyTaken`] if a live job has the unique key of an
    /// ended one.
    async fn retry_job(
        &self,
        tenant: TenantId,
        id: JobId,
        now: Timestamp,
        change: &Change,
    ) -> Result<Option<JobState>, DbError>;

    /// Runs up to `limit` ended jobs again that match, except those whose unique key a live job
    /// has. Returns how many.
    async fn retry_jobs(
        &self,
        tenant: TenantId,
        filter: &JobFilter,
        now: Timestamp,
        limit: u32,
        change: &Change,
    ) -> Result<u32, DbError>;

    /// Cancels a job. A running one is cancelled when its attempt ends without success. `None` if
    /// there is no such job.
    async fn cancel_job(
        &self,
        tenant: TenantId,
        id: JobId,
        now: Timestamp,
        change: &Change,
    ) -> Result<Option<Cancelled>, DbError>;

    /// Deletes up to `limit` jobs that match and do not run, with their attempts. Returns how many.
    async fn purge_jobs(
        &self,
        tenant: TenantId,
        filter: &JobFilter,
        limit: u32,
        change: &Change,
    ) -> Result<u32, DbError>;

    /// Pauses a kind of job, or all of a plugin, or resumes it. The tenant's generation is raised:
    /// `RoutedPlugin::paused` has what is paused. `false` if nothing changed.
    async fn pause_jobs(
        &self,
        tenant: TenantId,
        plugin: &PluginName,
        job: Option<&JobName>,
        paused: bool,
        change: &Change,
    ) -> Result<bool, DbError>;
}
