//! JSON of jobs, their attempts, and changes of many jobs.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::events::CloudEvent;
use crate::domain::clock::Timestamp;
use crate::domain::id::{InvocationId, JobId, JobName, PluginName, ScheduleName, runs_job};
use crate::domain::job::{AttemptOutcome, JobState};

/// A job. Payload, keys and error texts come from the plugin, so viewers do not see them.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct JobView {
    /// Id of the job.
    pub id: JobId,
    /// The plugin that runs it.
    #[serde(deserialize_with = "runs_job")]
    pub plugin: PluginName,
    /// The kind of job.
    pub job: JobName,
    /// The state.
    pub state: JobState,
    /// What the job waits for; absent if it runs or has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<WaitView>,
    /// Why the job exists.
    pub origin: OriginView,
    /// Number of attempts that have begun.
    pub attempt: u32,
    /// The most attempts.
    pub max_attempts: u32,
    /// Jobs with a lower number run first.
    pub priority: i32,
    /// How many jobs led to this one: 0 if a request or a schedule added it.
    pub depth: u32,
    /// When it was added.
    pub created_at: Timestamp,
    /// When its next attempt is due; absent if it runs or has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Timestamp>,
    /// When the running attempt counts as lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease_until: Option<Timestamp>,
    /// Whether somebody asked to cancel the running attempt.
    pub cancel_requested: bool,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// While a job with this key is live, no other one of its plugin and kind is added.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unique_key: Option<String>,
    /// The bound of jobs with the same concurrency key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<ConcurrencyView>,
    /// Why the last attempt failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What a job waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WaitView {
    /// The kind of reason.
    pub kind: WaitKind,
    /// The reason as a sentence for people.
    pub detail: String,
}

/// The kinds of reasons why a job waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WaitKind {
    /// It is not due yet.
    Time,
    /// It is due and waits for a free slot.
    Slot,
    /// It is due and waits for jobs with the same concurrency key.
    Key,
    /// It is due and cannot run: its kind is paused, or the plugin or its handler is missing.
    Hold,
}

/// Why a job exists.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum OriginView {
    /// A plugin added it.
    Enqueued,
    /// A schedule was due.
    Schedule {
        /// The schedule.
        name: ScheduleName,
        /// When it was due.
        due_at: Timestamp,
    },
    /// The plugin subscribes to this event. The payload of the job is the data of the event.
    Event {
        /// The event, with its data where the payload of the job is shown.
        event: CloudEvent,
    },
}

/// The bound of jobs with the same concurrency key.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ConcurrencyView {
    /// The key; empty for jobs that named none. Absent for viewers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// How many run at once.
    pub limit: u32,
    /// Whether they run in the order in which they were added.
    pub ordered: bool,
}

/// A job with its payload and its attempts.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct JobDetail {
    #[serde(flatten)]
    pub job: JobView,
    /// What the plugin gets, exactly as it was added: JSON by convention. Absent for viewers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
    /// The trace of the invocation that added it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// The attempts, the first one first.
    pub attempts: Vec<AttemptView>,
    /// Whether payload, keys and error texts are left out, because the caller is a viewer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub content_hidden: bool,
}

/// One attempt to run a job.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct AttemptView {
    /// 1 for the first one.
    pub number: u32,
    /// The node that ran it.
    pub node: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended; absent while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// How it ended; absent while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<AttemptOutcome>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The invocation, which has the log lines; absent if the plugin did not start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invocation: Option<InvocationId>,
}

/// The jobs of a tenant in numbers.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct JobSummaryView {
    /// Live jobs, which the limit `job_backlog` bounds.
    pub live: u64,
    /// Running jobs, which the limit `jobs_running` bounds.
    pub running: u64,
    /// Dead letters, which the limit `dead_jobs_kept` bounds.
    pub dead: u64,
    /// When the ready job that waits longest became due; absent if none is ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest_ready: Option<Timestamp>,
    /// The kinds of jobs that have jobs or are paused, by plugin and name.
    pub kinds: Vec<JobKindView>,
}

/// The jobs of one kind in numbers.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct JobKindView {
    /// The plugin.
    #[serde(deserialize_with = "runs_job")]
    pub plugin: PluginName,
    /// The kind of job.
    pub job: JobName,
    /// Why jobs of this kind cannot run now; absent if they can.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold: Option<String>,
    /// The number of its jobs in each state.
    pub states: StateCounts,
}

/// The number of jobs in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StateCounts {
    /// They wait until they are due.
    pub scheduled: u64,
    /// They are due and wait for a free slot.
    pub ready: u64,
    /// They are due and wait for jobs with the same concurrency key.
    pub blocked: u64,
    /// They are due and cannot run now.
    pub held: u64,
    /// They run.
    pub running: u64,
    /// They succeeded.
    pub done: u64,
    /// They failed for good.
    pub dead: u64,
    /// Somebody cancelled them.
    pub cancelled: u64,
}

/// The result of retrying many dead letters.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RetriedView {
    /// Number of jobs that run again.
    pub retried: u64,
}

/// The result of deleting many jobs.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PurgedView {
    /// Number of deleted jobs.
    pub purged: u64,
    /// Number of matching jobs that run and were therefore not deleted. Cancel them first.
    pub running: u64,
}

/// Which jobs of a plugin are paused.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PausedView {
    /// The plugin.
    pub plugin: PluginName,
    /// Whether all of its jobs are paused.
    pub all: bool,
    /// Kinds of jobs that are paused on their own.
    pub jobs: Vec<JobName>,
    /// Whether this request changed anything.
    pub changed: bool,
}

impl StateCounts {
    /// The number of jobs in a state.
    pub fn of(&mut self, state: JobState) -> &mut u64 {
        match state {
            JobState::Scheduled => &mut self.scheduled,
            JobState::Ready => &mut self.ready,
            JobState::Blocked => &mut self.blocked,
            JobState::Held => &mut self.held,
            JobState::Running => &mut self.running,
            JobState::Done => &mut self.done,
            JobState::Dead => &mut self.dead,
            JobState::Cancelled => &mut self.cancelled,
        }
    }
}
