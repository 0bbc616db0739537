//! Jobs: background work of plugins that the host stores and runs at least once.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::clock::Timestamp;
use super::event::Event;
use super::id::{
    ClaimId, InvocationId, JobId, JobName, PluginName, ReceivedId, ScheduleName, TenantId, WebhookName,
};
use super::trigger_limits::TriggerLimits;
use super::units::Span;

/// The path under which records of a kind of job are found. No request has such a path.
pub fn path(name: &JobName) -> String {
    format!("/-/jobs/{name}")
}

/// A kind of job that a plugin declares in its manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobSpec {
    /// The name within the plugin.
    pub name: JobName,
    /// How often the job is run at most, the first run included.
    #[serde(default = "default_attempts")]
    pub attempts: NonZeroU32,
    /// How long a failed job waits.
    #[serde(default)]
    pub backoff: Backoff,
    /// How many jobs with the same concurrency key run at once; without it, any number.
    pub concurrency: Option<Concurrency>,
    /// Limits of the job's invocations, lower than those of the plugin's jobs.
    #[serde(default)]
    pub limits: TriggerLimits,
}

/// The wait before a failed job runs again. It doubles with each attempt, and a random part of up
/// to half of it is taken off, so that jobs that failed together do not return together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Backoff {
    /// The wait after the first attempt.
    pub initial: Span,
    /// The longest wait.
    pub max: Span,
}

/// A bound of jobs with the same concurrency key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Concurrency {
    /// How many run at once.
    pub limit: NonZeroU32,
    /// Whether they run in the order in which they were added. A job that waits for its next
    /// attempt then holds back the later ones.
    #[serde(default)]
    pub ordered: bool,
}

/// A job that is to be added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewJob {
    /// Its id.
    pub id: JobId,
    /// The tenant.
    pub tenant: TenantId,
    /// The plugin that runs it.
    pub plugin: PluginName,
    /// The kind of job.
    pub name: JobName,
    /// What the plugin gets, JSON by convention. The jobs of an event share it in memory.
    #[serde(with = "shared_text")]
    pub payload: Arc<str>,
    /// Why it exists.
    pub origin: JobOrigin,
    /// Jobs with a lower number run first.
    pub priority: i32,
    /// When it is due.
    pub run_at: Timestamp,
    /// How often it is run at most.
    pub max_attempts: u32,
    /// How long it waits after a failure.
    pub backoff: Backoff,
    /// While a job of this plugin and name with this key is live, no other one is added.
    pub unique_key: Option<String>,
    /// The bound of jobs with the same key.
    pub concurrency: Option<ConcurrencyKey>,
    /// How many jobs led to this one: 0 if a request added it.
    pub depth: u32,
    /// The trace of the invocation that added it.
    pub traceparent: Option<String>,
    /// When it was added.
    pub created_at: Timestamp,
}

/// The concurrency key of a job, with the bound that holds for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConcurrencyKey {
    /// The key; empty for jobs that named none.
    pub key: String,
    /// The bound.
    pub bound: Concurrency,
}

/// Why a job exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum JobOrigin {
    /// A plugin added it.
    Enqueued,
    /// A schedule was due.
    Schedule {
        /// The schedule.
        #[schema(value_type = String)]
        name: ScheduleName,
        /// When it was due.
        due_at: Timestamp,
    },
    /// The plugin subscribes to this event. The payload of the job is the data of the event.
    Event {
        /// The event, without its data.
        event: Event,
    },
    /// A webhook of the manifest was received. The payload of the job is the id of the received
    /// webhook; the plugin gets the body in its place.
    Webhook {
        /// The webhook.
        #[schema(value_type = String)]
        name: WebhookName,
        /// The received webhook, with its headers and its body.
        received: ReceivedId,
    },
}

/// The state of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum JobState {
    /// It waits until it is due: it has a delay, or failed and waits for its next attempt.
    Scheduled,
    /// It is due and waits for a free slot.
    Ready,
    /// It is due and waits for jobs with the same concurrency key.
    Blocked,
    /// It is due and cannot run now: it is paused, or the plugin or the handler is missing.
    Held,
    /// It runs.
    Running,
    /// It succeeded.
    Done,
    /// It failed for good: a dead letter.
    Dead,
    /// Somebody cancelled it.
    Cancelled,
}

/// A stored job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// What was added.
    pub new: NewJob,
    /// Its state.
    pub state: JobState,
    /// How many attempts have begun.
    pub attempt: u32,
    /// When the running attempt counts as lost.
    pub lease_until: Option<Timestamp>,
    /// Whether somebody asked to cancel the running attempt.
    pub cancel_requested: bool,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Why the last attempt failed.
    pub error: Option<String>,
}

/// One attempt to run a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// 1 for the first one.
    pub number: u32,
    /// The node that ran it.
    pub node: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended; `None` while it runs.
    pub ended_at: Option<Timestamp>,
    /// How it ended.
    pub outcome: Option<AttemptOutcome>,
    /// Why it failed.
    pub error: Option<String>,
    /// The invocation, whose record has the log lines. `None` if the plugin did not start.
    pub invocation: Option<InvocationId>,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AttemptOutcome {
    /// The job is done.
    Done,
    /// It failed and runs again.
    Retry,
    /// It failed and was the last attempt, or the plugin discarded the job.
    Dead,
    /// Somebody cancelled the job.
    Cancelled,
    /// The node never said how it ended: it was stopped or lost its connection.
    Lost,
}

/// A job that this node may run now, until its lease ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedJob {
    /// The job, with the attempt that begins now already counted.
    pub job: Job,
    /// Proves to the queue that the job is this node's.
    pub claim: ClaimId,
}

/// The end of an attempt, to be written to the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledgement {
    /// The job.
    pub job: JobId,
    /// The claim under which it ran. If the job has another one by now, nothing is written.
    pub claim: ClaimId,
    /// What becomes of the job.
    pub ending: Ending,
    /// When the attempt ended.
    pub ended_at: Timestamp,
    /// The invocation, if the plugin started.
    pub invocation: Option<InvocationId>,
}

/// How the plugin said that an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum JobOutcome {
    /// The job is done.
    Done,
    /// It failed and wants to run again.
    Retry,
    /// It failed and must not run again.
    Discard,
}

/// What becomes of a job after an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It is done.
    Done,
    /// It failed. It runs again at this time if it has attempts left, and is a dead letter
    /// otherwise.
    Retry {
        /// When it is due again.
        at: Timestamp,
        /// Why it failed.
        error: String,
    },
    /// The host ended the attempt for a reason of its own. The job runs again at once, also if this
    /// was its last attempt: it gets one more.
    Interrupted {
        /// Why.
        error: String,
    },
    /// It failed and must not run again: a dead letter.
    Dead {
        /// Why.
        error: String,
    },
    /// Somebody cancelled it.
    Cancelled,
}

/// Writes and reads a shared text as a text.
mod shared_text {
    use std::sync::Arc;

    use serde::{Deserialize as _, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(text)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<str>, D::Error> {
        String::deserialize(deserializer).map(Arc::from)
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            initial: Span::s(1),
            max: Span::s(5 * 60),
        }
    }
}

fn default_attempts() -> NonZeroU32 {
    const { NonZeroU32::new(8).expect("8 is not zero") }
}

impl Backoff {
    /// The wait after the attempt with this number. `random` is between 0 and 1.
    pub fn wait(&self, attempt: u32, random: f64) -> Duration {
        let doublings = attempt.saturating_sub(1).min(31);
        let whole = self.initial.0.saturating_mul(1 << doublings).min(self.max.0);
        whole.mul_f64(1.0 - random.clamp(0.0, 1.0) / 2.0)
    }
}

impl JobOutcome {
    /// The outcome as it is written in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Retry => "retry",
            Self::Discard => "discard",
        }
    }
}

impl JobState {
    /// All states.
    pub const ALL: [Self; 8] = [
        Self::Scheduled,
        Self::Ready,
        Self::Blocked,
        Self::Held,
        Self::Running,
        Self::Done,
        Self::Dead,
        Self::Cancelled,
    ];

    /// The state as it is stored and written in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Ready => "ready",
            Self::Blocked => "blocked",
            Self::Held => "held",
            Self::Running => "running",
            Self::Done => "done",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether the job is still to be run or runs.
    pub fn is_live(self) -> bool {
        !matches!(self, Self::Done | Self::Dead | Self::Cancelled)
    }
}
