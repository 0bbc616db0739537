//! Maintains the job queue: makes due jobs ready, ends lost attempts, releases held jobs, and
//! deletes old jobs.
//!
//! Each kind of work runs on its own, and each of its queries has a time limit. A query that stalls
//! therefore stops no other work.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::counters::Counters;
use super::host_jobs::HostJobs;
use super::logged_errors::{LoggedErrors, WorkError, in_time};
use super::queue::Queue;
use super::wake::Wake;
use crate::capability::database::DatabaseEngine;
use crate::domain::clock::{SharedClock, Timestamp};
use crate::domain::id::{JobId, PluginName, TenantId};
use crate::domain::job::{Job, JobState};
use crate::domain::units::as_u64;
use crate::storage::{ClaimPolicy, HeldJobs, Repository};
use crate::tenants::Routing;

/// The most rows of one transaction, so that other writers run in between.
pub(super) const BLOCK: u32 = 500;

/// The same as a count.
pub(super) const BLOCK_ROWS: usize = 500;

/// How often jobs are promoted, reaped and released.
const OFTEN: Duration = Duration::from_secs(1);

/// How often the ended jobs of a tenant are cut to its limits.
const TRIM: Duration = Duration::from_secs(60);

/// How often the traces of jobs that are done or deleted are removed from tenants' databases.
const TRACES: Duration = Duration::from_secs(10 * 60);

/// How often ended jobs are deleted after their retention time.
const PRUNE: Duration = Duration::from_secs(60 * 60);

/// How long ended jobs are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobRetention {
    /// Jobs that are done or cancelled.
    pub done: Duration,
    /// Dead letters.
    pub dead: Duration,
    /// Received webhooks.
    pub webhooks: Duration,
}

/// Maintains the job queue.
pub struct Maintenance {
    pub(super) db: Arc<dyn Repository>,
    pub(super) databases: Arc<dyn DatabaseEngine>,
    pub(super) routing: Arc<Routing>,
    pub(super) queue: Arc<Queue>,
    pub(super) policy: Arc<dyn ClaimPolicy>,
    pub(super) wake: Arc<Wake>,
    pub(super) counters: Arc<Counters>,
    pub(super) clock: SharedClock,
    pub(super) retention: JobRetention,
    pub(super) host_jobs: HostJobs,
    /// Since when tenants' databases have not said whether lost attempts completed their jobs.
    pub(super) unanswered: Mutex<HashMap<TenantId, Timestamp>>,
    pub(super) logged_errors: LoggedErrors<&'static str>,
}

impl Maintenance {
    /// Maintains until `stop` is cancelled.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let work = async {
            tokio::join!(
                every(OFTEN, || self.promote_or_later()),
                every(OFTEN, || self.reap_or_later()),
                every(OFTEN, || self.end_lost_or_later()),
                every(OFTEN, || self.release_or_later()),
                every(OFTEN, || self.tell_or_later()),
                every(OFTEN, || self.count_or_later()),
                every(TRIM, || self.trim_or_later()),
                every(TRACES, || self.forget_or_later()),
                every(PRUNE, || self.prune_or_later()),
            );
        };
        tokio::select! {
            // Each transaction is written as a whole or not at all.
            () = stop.cancelled() => {}
            () = work => {}
        }
    }

    /// Does all the work once.
    pub async fn pass(&self) {
        self.reap_or_later().await;
        self.end_lost_or_later().await;
        self.promote_or_later().await;
        self.release_or_later().await;
        self.tell_or_later().await;
        self.count_or_later().await;
        self.trim_or_later().await;
        self.forget_or_later().await;
        self.prune_or_later().await;
    }

    async fn promote_or_later(&self) {
        self.note("due jobs cannot be started", self.promote().await);
    }

    async fn reap_or_later(&self) {
        self.note("lost attempts of jobs cannot be ended", self.reap().await);
    }

    async fn end_lost_or_later(&self) {
        self.note(
            "lost last attempts of jobs cannot be ended",
            self.end_lost().await,
        );
    }

    async fn release_or_later(&self) {
        self.note("held jobs cannot be released", self.release().await);
    }

    async fn tell_or_later(&self) {
        self.note(
            "the ends of the host's own jobs cannot be recorded",
            self.tell().await,
        );
    }

    async fn count_or_later(&self) {
        self.note("jobs cannot be counted", self.queue.read_counts().await);
    }

    async fn trim_or_later(&self) {
        self.note("ended jobs above the limits cannot be deleted", self.trim().await);
    }

    async fn forget_or_later(&self) {
        self.note(
            "traces of jobs in tenants' databases cannot be removed",
            self.forget().await,
        );
    }

    async fn prune_or_later(&self) {
        self.note("old jobs cannot be deleted", self.prune().await);
    }

    fn note(&self, failure: &'static str, result: Result<(), WorkError>) {
        if let Some(error) = self.logged_errors.news(&failure, &result) {
            tracing::error!(error, "{failure}; the host tries again");
        }
    }

    /// Makes the jobs ready that are due.
    async fn promote(&self) -> Result<(), WorkError> {
        let now = self.clock.now();
        loop {
            let promoted = in_time(self.db.promote_jobs(now, BLOCK)).await?;
            if promoted > 0 {
                self.wake.jobs_added();
            }
            if promoted < BLOCK {
                return Ok(());
            }
        }
    }

    /// Ends the attempts whose lease is over, except those that [`Self::end_lost`] ends.
    async fn reap(&self) -> Result<(), WorkError> {
        let now = self.clock.now();
        loop {
            let lost = in_time(self.db.reap_jobs(now, BLOCK)).await?;
            if !lost.is_empty() {
                let dead = lost.iter().filter(|job| job.state == JobState::Dead).count();
                tracing::warn!(
                    attempts = lost.len(),
                    dead,
                    example = lost.first().map(example),
                    "attempts were lost, because no result came before their leases ended; their jobs run \
                     again, or are dead letters after their last attempt"
                );
                self.counters.lost(as_u64(lost.len()));
                self.wake.jobs_added();
            }
            if lost.len() < BLOCK_ROWS {
                return Ok(());
            }
        }
    }

    /// Releases held jobs that can run now, and makes those of deleted plugins dead letters.
    async fn release(&self) -> Result<(), WorkError> {
        let now = self.clock.now();
        for held in in_time(self.db.held_jobs()).await? {
            if self.policy.lease(held.tenant, &held.plugin, &held.job).is_some() {
                let release = || self.db.release_held(&held, BLOCK);
                if in_blocks(release).await? > 0 {
                    self.wake.jobs_added();
                }
            } else if self.is_deleted(&held).await? {
                let why = no_plugin(&held.plugin);
                let bury = || self.db.bury_jobs(held.tenant, &held.plugin, &why, now, BLOCK);
                let buried = in_blocks(bury).await?;
                tracing::info!(
                    tenant = %held.tenant,
                    plugin = %held.plugin,
                    jobs = buried,
                    "the jobs of a deleted plugin are dead letters"
                );
            }
        }
        Ok(())
    }

    /// Tells the handlers of the host's jobs which of them ended without success. A handler that
    /// fails is asked again, and does not keep the others waiting.
    async fn tell(&self) -> Result<(), WorkError> {
        let ended = in_time(self.db.given_up_host_jobs(BLOCK)).await?;
        let (mut told, mut result) = (Vec::with_capacity(ended.len()), Ok(()));
        for job in &ended {
            if let Some(handler) = self.host_jobs.handler(job)
                && let Err(error) = in_time(handler.gave_up(job)).await
            {
                result = Err(error);
                continue;
            }
            told.push((job.new.tenant, job.new.id));
        }
        in_time(self.db.told_host_jobs(&told)).await?;
        result
    }

    /// Whether the plugin of held jobs was deleted, while its tenant was not.
    async fn is_deleted(&self, held: &HeldJobs) -> Result<bool, WorkError> {
        if held.plugin.is_host() {
            return Ok(false);
        }
        let Some(routes) = self.routing.tenant_by_id(held.tenant) else {
            // The jobs of a deleted tenant wait until it is restored or purged.
            return Ok(false);
        };
        let is_served = routes.problem.is_some()
            || routes.plugins.contains_key(&held.plugin)
            || routes.unavailable.contains_key(&held.plugin);
        if is_served {
            return Ok(false);
        }
        // A plugin without an active version is there, and its jobs wait for one.
        let stored = in_time(self.db.plugin(held.tenant, &held.plugin)).await?;
        Ok(stored.is_none())
    }

    /// Deletes the oldest ended jobs of tenants that have more than their limits.
    async fn trim(&self) -> Result<(), WorkError> {
        for (tenant, _) in in_time(self.db.job_counts()).await? {
            // The jobs of a deleted tenant stay until it is restored or purged.
            let Some(routes) = self.routing.tenant_by_id(tenant) else {
                continue;
            };
            let limits = &routes.limits;
            let (done, dead) = (u64::from(limits.jobs_kept), u64::from(limits.dead_jobs_kept));
            in_blocks(|| self.db.trim_jobs(tenant, done, dead, BLOCK)).await?;
        }
        Ok(())
    }

    /// Deletes ended jobs and received webhooks whose retention time is over.
    async fn prune(&self) -> Result<(), WorkError> {
        let now = self.clock.now();
        let done = now.saturating_sub(self.retention.done);
        let dead = now.saturating_sub(self.retention.dead);
        let rows = in_blocks(|| self.db.prune_jobs(done, dead, BLOCK)).await?;
        if rows > 0 {
            tracing::info!(rows, "old jobs and old times of schedules were deleted");
        }
        let before = now.saturating_sub(self.retention.webhooks);
        let rows = in_blocks(|| self.db.prune_received(before, BLOCK)).await?;
        if rows > 0 {
            tracing::info!(rows, "old received webhooks were deleted");
        }
        Ok(())
    }

    /// Removes what jobs left in tenants' databases that are done or were deleted. Dead letters and
    /// cancelled jobs keep their traces like live jobs, because they can be retried. A database
    /// that fails keeps its traces, and the others are still looked at.
    async fn forget(&self) -> Result<(), WorkError> {
        let mut result = Ok(());
        for (tenant, _) in in_time(self.db.job_counts()).await? {
            if let Err(error) = self.forget_in(tenant).await {
                result = Err(error);
            }
        }
        result
    }

    async fn forget_in(&self, tenant: TenantId) -> Result<(), WorkError> {
        let mut after = None;
        loop {
            let left = in_time(self.databases.job_traces(tenant, after, BLOCK)).await?;
            let unfinished = in_time(self.db.unfinished_jobs(tenant, &left)).await?;
            let unfinished: HashSet<JobId> = unfinished.into_iter().collect();
            let over: Vec<JobId> = left
                .iter()
                .filter(|job| !unfinished.contains(job))
                .copied()
                .collect();
            if !over.is_empty() {
                in_time(self.databases.forget_jobs(tenant, &over)).await?;
            }
            match left.last() {
                Some(last) if left.len() >= BLOCK_ROWS => after = Some(*last),
                _ => return Ok(()),
            }
        }
    }
}

/// Does work at intervals, for ever. The next interval begins when the work is done.
async fn every<Work: Future<Output = ()>>(interval_: Duration, work: impl Fn() -> Work) {
    let mut ticks = interval(interval_);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        work().await;
    }
}

/// Repeats a change of up to [`BLOCK`] rows until there is less to change. Returns how many rows.
async fn in_blocks<Change, Error>(change: impl Fn() -> Change) -> Result<u64, WorkError>
where
    Change: Future<Output = Result<u32, Error>>,
    WorkError: From<Error>,
{
    let mut all = 0;
    loop {
        let rows = in_time(change()).await?;
        all += u64::from(rows);
        if rows < BLOCK {
            return Ok(all);
        }
    }
}

/// Why the jobs of a deleted plugin are dead letters.
fn no_plugin(plugin: &PluginName) -> String {
    format!("the tenant has no plugin `{plugin}`; restore the plugin and retry the job, or purge the job")
}

/// A job for a log line.
pub(super) fn example(job: &Job) -> String {
    let new = &job.new;
    format!(
        "job {} (`{}` of `{}`, tenant {})",
        new.id, new.name, new.plugin, new.tenant
    )
}
