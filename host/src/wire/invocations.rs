//! JSON of invocation records and of usage sums.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::clock::Timestamp;
use crate::domain::function::FunctionOutcome;
use crate::domain::id::{FunctionName, InvocationId, PluginName, VersionDigest};
use crate::domain::invocation::{Blame, Trigger, Usage, UsageSum};
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
    /// How the function ended, unless the host answered in its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<FunctionOutcome>,
    /// Status of the response.
    pub status: u16,
    /// Code of the problem, if the host answered in the plugin's place.
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
