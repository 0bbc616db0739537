//! JSON of invocation records and of usage sums.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::clock::Timestamp;
use crate::domain::function::FunctionOutcome;
use crate::domain::id::{FunctionName, InvocationId, JobId, JobName, PluginName, VersionDigest};
use crate::domain::invocation::{Blame, Trigger, Usage, UsageSum};
use crate::domain::job::JobOutcome;
use crate::storage::{Counts, Kept};

/// An invocation.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct InvocationView {
    /// Id of the invocation, which is the `x-request-id` of its response.
    pub id: InvocationId,
    /// The plugin that ran.
    pub plugin: PluginName,
    /// The version that ran.
    pub version: VersionDigest,
    /// The kind of trigger.
    pub trigger: Trigger,
    /// The method of the request, if a request triggered it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The route that matched, if a request triggered it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// The function, if a call of one triggered it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function: Option<FunctionName>,
    /// The kind of job, if a job triggered it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<JobName>,
    /// The job, if one triggered it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_id: Option<JobId>,
    /// The number of the attempt to run the job, 1 for the first one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// How the function or the job ended by what the plugin said; absent if it said nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<OutcomeView>,
    /// Status of the response. A job has none: it is 200 if the plugin reported success, and 500 if
    /// it reported a failure.
    pub status: u16,
    /// Code of the problem, if the host answered in the plugin's place or ended the job.
    pub code: Option<String>,
    /// Who caused the problem.
    pub blame: Option<Blame>,
    /// The caller, `api-key:…`, if it is known.
    pub principal: Option<String>,
    /// Time at which it began.
    pub started_at: Timestamp,
    /// What the invocation consumed.
    pub usage: Usage,
}

/// How a function or a job ended by what the plugin said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OutcomeView {
    /// The function returned an output.
    Answered,
    /// The function rejected its input.
    InvalidInput,
    /// The function reported a failure.
    Failed,
    /// The job is done.
    Done,
    /// The attempt failed, and the job wants to run again.
    Retry,
    /// The attempt failed, and the job must not run again.
    Discard,
}

impl From<FunctionOutcome> for OutcomeView {
    fn from(outcome: FunctionOutcome) -> Self {
        match outcome {
            FunctionOutcome::Answered => Self::Answered,
            FunctionOutcome::InvalidInput => Self::InvalidInput,
            FunctionOutcome::Failed => Self::Failed,
        }
    }
}

impl From<JobOutcome> for OutcomeView {
    fn from(outcome: JobOutcome) -> Self {
        match outcome {
            JobOutcome::Done => Self::Done,
            JobOutcome::Retry => Self::Retry,
            JobOutcome::Discard => Self::Discard,
        }
    }
}

/// What a tenant's plugins consumed.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct UsageView {
    /// Start of the period.
    pub from: Timestamp,
    /// End of the period, exclusive.
    pub to: Timestamp,
    /// Sums per plugin. A plugin that did not run is absent.
    pub plugins: Vec<UsageSum>,
    /// Stored invocation records and log lines of the tenant.
    pub kept: Kept,
    /// Current numbers of the things that the tenant's plan limits.
    pub counts: Counts,
}
