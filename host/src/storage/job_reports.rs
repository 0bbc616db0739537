//! What people ask about a tenant's jobs: counts by kind, paused kinds, and schedules with their
//! last job.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{DbError, JobCounts, PausedJobs, ScheduleState};
use crate::domain::clock::Timestamp;
use crate::domain::id::{JobId, JobName, PluginName, TenantId};
use crate::domain::job::JobState;

/// The number of jobs of one kind in one state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobsOfKind {
    /// The plugin.
    pub plugin: PluginName,
    /// The kind of job.
    pub name: JobName,
    /// The state.
    pub state: JobState,
    /// The number.
    pub count: u64,
}

/// A schedule with the last job that it added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportedSchedule {
    /// Its state.
    pub state: ScheduleState,
    /// The last job that is still stored.
    pub last: Option<ScheduledRun>,
}

/// A job that a schedule added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScheduledRun {
    /// The job.
    pub job: JobId,
    /// When it was due.
    pub due: Timestamp,
    /// Its state.
    pub state: JobState,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// Reports about a tenant's jobs.
#[async_trait]
pub trait JobReports {
    /// The counts of one tenant. Reads counters and an index.
    async fn job_counts_of(&self, tenant: TenantId) -> Result<JobCounts, DbError>;

    /// The number of a tenant's jobs of each kind in each state. Reads all of the tenant's rows,
    /// without their payloads: call it once at a time for a tenant.
    async fn jobs_by_kind(&self, tenant: TenantId) -> Result<Vec<JobsOfKind>, DbError>;

    /// What is paused, by plugin. Plugins without paused jobs are absent.
    async fn paused_jobs(&self, tenant: TenantId) -> Result<BTreeMap<PluginName, PausedJobs>, DbError>;

    /// The schedules of a tenant that have a state, by plugin and name.
    async fn schedules_of(&self, tenant: TenantId) -> Result<Vec<ReportedSchedule>, DbError>;
}
