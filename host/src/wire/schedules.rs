//! JSON of schedules.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::clock::Timestamp;
use crate::domain::id::{JobId, JobName, PluginName, ScheduleName};
use crate::domain::job::JobState;
use crate::domain::schedule::{CatchUp, Overlap};

/// A schedule of a plugin's active version.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ScheduleView {
    /// The plugin.
    pub plugin: PluginName,
    /// The name within the plugin.
    pub name: ScheduleName,
    /// The kind of job that it adds.
    pub job: JobName,
    /// The cron expression.
    pub cron: String,
    /// The time zone of the expression.
    pub zone: String,
    /// What happens to times that passed while no host ran.
    pub catch_up: CatchUp,
    /// What happens if the previous job is still live.
    pub overlap: Overlap,
    /// Why it adds no job now; absent if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold: Option<String>,
    /// The next times, at most 5. While `hold` is there, they pass without a job.
    pub next_runs: Vec<Timestamp>,
    /// The last time that was handled, or when the schedule began; absent until then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_due: Option<Timestamp>,
    /// The last job that it added and that is still stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_run: Option<ScheduledRunView>,
}

/// A job that a schedule added.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ScheduledRunView {
    /// The job.
    pub job_id: JobId,
    /// When it was due.
    pub due_at: Timestamp,
    /// Its state.
    pub state: JobState,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
}

/// The result of running a schedule now.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StartedView {
    /// The job.
    pub job_id: JobId,
    /// Whether the job is new. `false` if the previous job of the schedule is still live and the
    /// schedule skips times while it is.
    pub added: bool,
}
