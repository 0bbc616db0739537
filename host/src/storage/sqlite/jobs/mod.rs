//! The job queue in SQLite.
//!
//! A job begins as *scheduled* if it has a delay, and is due otherwise. A due job is *ready*, or
//! *blocked* if its concurrency key is full. A claim makes a ready job *running*, or *held* if jobs
//! of its kind cannot run now. A failed job is scheduled again. All other ends move the job from
//! `jobs` to `jobs_ended`.
//!
//! | file | statements for |
//! | --- | --- |
//! | `add`, `relay` | new jobs, of callers and of outboxes |
//! | `claim`, `acknowledge`, `attempts` | the begin and the end of an attempt |
//! | `promote`, `maintain`, `prune` | due, lost, held and old jobs |
//! | `lost` | lost attempts that were the last ones of their jobs |
//! | `given_up` | jobs of the host that ended without success |
//! | `read`, `filter`, `change`, `pause` | the admin API |
//! | `schedules` | ticks |
//! | `stored`, `effects`, `keys`, `ending` | parts of the others: rows, counters, keys, moves |
//!
//! Every statement in the lifecycle of a job uses an index that contains only the jobs that the
//! statement looks for, so its cost does not depend on the number of waiting jobs. `tests` checks
//! the query plans.

mod acknowledge;
mod add;
mod attempts;
mod change;
mod claim;
mod effects;
mod ending;
mod filter;
mod given_up;
mod keys;
mod lost;
mod maintain;
mod pause;
mod promote;
mod prune;
mod read;
mod relay;
mod schedules;
mod stored;
#[cfg(test)]
mod tests;

use async_trait::async_trait;

use super::{SqliteRepository, unavailable};
use crate::domain::audit::Change;
use crate::domain::clock::Timestamp;
use crate::domain::id::{ClaimId, JobId, JobName, PluginName, TenantId};
use crate::domain::job::{Acknowledgement, Attempt, Job, JobState, NewJob};
use crate::domain::outbox::OutboxMark;
use crate::storage::{
    Acknowledged, Added, Cancelled, ClaimPolicy, ClaimRound, DbError, HeldJobs, JobCounts, JobFilter,
    JobPosition, Jobs, LostAttempt, Page,
};

pub(super) use add::insert_in;
pub(super) use change::delete_rest;
use maintain::Lost;
pub(super) use pause::{PAUSED, by_plugin as paused_by_plugin};
pub(super) use relay::relay;
pub(super) use stored::plugin;

#[async_trait]
impl Jobs for SqliteRepository {
    async fn add_jobs(&self, jobs: &[NewJob]) -> Result<Vec<Added>, DbError> {
        if jobs.is_empty() {
            return Ok(Vec::new());
        }
        let mut transaction = self.begin().await?;
        let mut effects = effects::Effects::default();
        let jobs: Vec<&NewJob> = jobs.iter().collect();
        let added = add::insert(&mut transaction, &jobs, &mut effects).await?;
        effects.write(&mut transaction).await?;
        transaction.commit().await.map_err(unavailable)?;
        Ok(added)
    }

    async fn add_job(&self, job: &NewJob, change: &Change) -> Result<Added, DbError> {
        add::add_with_change(self, job, change).await
    }

    async fn relay_jobs(
        &self,
        tenant: TenantId,
        up_to: &OutboxMark,
        jobs: &[(i64, NewJob)],
    ) -> Result<Vec<Added>, DbError> {
        relay::relay(self, tenant, up_to, jobs, &[]).await
    }

    async fn outbox_mark(&self, tenant: TenantId) -> Result<Option<OutboxMark>, DbError> {
        let mut reader = self.readers.acquire().await.map_err(unavailable)?;
        relay::mark(&mut reader, tenant).await
    }

    async fn set_outbox_epoch(&self, tenant: TenantId, epoch: &str) -> Result<(), DbError> {
        relay::set_epoch(self, tenant, epoch).await
    }

    async fn tenants_with_outbox(&self) -> Result<Vec<TenantId>, DbError> {
        relay::tenants_with_outbox(self).await
    }

    async fn claim_jobs(
        &self,
        node: &str,
        cursor: Option<TenantId>,
        slots: u32,
        now: Timestamp,
        policy: &dyn ClaimPolicy,
    ) -> Result<ClaimRound, DbError> {
        claim::claim(self, node, cursor, slots, now, policy).await
    }

    async fn extend_lease(&self, job: JobId, claim: ClaimId, until: Timestamp) -> Result<bool, DbError> {
        acknowledge::extend_lease(self, job, claim, until).await
    }

    async fn acknowledge_jobs(&self, ended: &[Acknowledgement]) -> Result<Vec<Acknowledged>, DbError> {
        acknowledge::acknowledge(self, ended).await
    }

    async fn promote_jobs(&self, now: Timestamp, limit: u32) -> Result<u32, DbError> {
        promote::promote(self, now, limit).await
    }

    async fn reap_jobs(&self, now: Timestamp, limit: u32) -> Result<Vec<Job>, DbError> {
        maintain::reap(self, Lost::LeaseOver, now, limit).await
    }

    async fn reap_node(&self, node: &str, now: Timestamp, limit: u32) -> Result<Vec<Job>, DbError> {
        maintain::reap(self, Lost::Node(node), now, limit).await
    }

    async fn expire_leases(&self, node: &str, now: Timestamp) -> Result<u32, DbError> {
        lost::expire(self, node, now).await
    }

    async fn lost_last_attempts(
        &self,
        now: Timestamp,
        except: &[TenantId],
        limit: u32,
    ) -> Result<Vec<LostAttempt>, DbError> {
        lost::last_attempts(self, now, except, limit).await
    }

    async fn end_lost_attempts(
        &self,
        lost: &[LostAttempt],
        unknown: Option<&str>,
        now: Timestamp,
    ) -> Result<Vec<Job>, DbError> {
        lost::end(self, lost, unknown, now).await
    }

    async fn cancel_requests(&self, node: &str) -> Result<Vec<(JobId, ClaimId)>, DbError> {
        maintain::cancel_requests(self, node).await
    }

    async fn held_jobs(&self) -> Result<Vec<HeldJobs>, DbError> {
        maintain::held(self).await
    }

    async fn release_held(&self, held: &HeldJobs, limit: u32) -> Result<u32, DbError> {
        maintain::release(self, held, limit).await
    }

    async fn bury_jobs(
        &self,
        tenant: TenantId,
        plugin: &PluginName,
        why: &str,
        now: Timestamp,
        limit: u32,
    ) -> Result<u32, DbError> {
        maintain::bury(self, tenant, plugin, why, now, limit).await
    }

    async fn given_up_host_jobs(&self, limit: u32) -> Result<Vec<Job>, DbError> {
        given_up::untold(self, limit).await
    }

    async fn told_host_jobs(&self, jobs: &[(TenantId, JobId)]) -> Result<(), DbError> {
        given_up::told(self, jobs).await
    }

    async fn unfinished_jobs(&self, tenant: TenantId, ids: &[JobId]) -> Result<Vec<JobId>, DbError> {
        read::unfinished_among(self, tenant, ids).await
    }

    async fn prune_jobs(&self, done: Timestamp, dead: Timestamp, limit: u32) -> Result<u32, DbError> {
        prune::prune(self, done, dead, limit).await
    }

    async fn trim_jobs(&self, tenant: TenantId, done: u64, dead: u64, limit: u32) -> Result<u32, DbError> {
        prune::trim(self, tenant, done, dead, limit).await
    }

    async fn job_counts(&self) -> Result<Vec<(TenantId, JobCounts)>, DbError> {
        read::counts(self).await
    }

    async fn jobs(
        &self,
        tenant: TenantId,
        filter: &JobFilter,
        page: Page<JobPosition>,
    ) -> Result<Vec<Job>, DbError> {
        read::jobs(self, tenant, filter, page).await
    }

    async fn job(&self, tenant: TenantId, id: JobId) -> Result<Option<(Job, Vec<Attempt>)>, DbError> {
        read::job(self, tenant, id).await
    }

    async fn retry_job(
        &self,
        tenant: TenantId,
        id: JobId,
        now: Timestamp,
        change: &Change,
    ) -> Result<Option<JobState>, DbError> {
        change::retry(self, tenant, id, now, change).await
    }

    async fn retry_jobs(
        &self,
        tenant: TenantId,
        filter: &JobFilter,
        now: Timestamp,
        limit: u32,
        change: &Change,
    ) -> Result<u32, DbError> {
        change::retry_all(self, tenant, filter, now, limit, change).await
    }

    async fn cancel_job(
        &self,
        tenant: TenantId,
        id: JobId,
        now: Timestamp,
        change: &Change,
    ) -> Result<Option<Cancelled>, DbError> {
        change::cancel(self, tenant, id, now, change).await
    }

    async fn purge_jobs(
        &self,
        tenant: TenantId,
        filter: &JobFilter,
        limit: u32,
        change: &Change,
    ) -> Result<u32, DbError> {
        change::purge(self, tenant, filter, limit, change).await
    }

    async fn pause_jobs(
        &self,
        tenant: TenantId,
        plugin: &PluginName,
        job: Option<&JobName>,
        paused: bool,
        change: &Change,
    ) -> Result<bool, DbError> {
        pause::pause(self, tenant, plugin, job, paused, change).await
    }
}
