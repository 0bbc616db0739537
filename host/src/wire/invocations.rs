//! Records of invocations, and what they sum up to.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::clock::Timestamp;
use crate::domain::function::FunctionOutcome;
use crate::domain::id::{FunctionName, InvocationId, PluginName, VersionDigest};
use crate::domain::invocation::{Blame, Trigger, Usage, UsageSum};
use crate::storage::{Counts, Kept};

/// One run of a plugin.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct InvocationView {
    /// Its id, the `x-request-id` of its response.
    pub id: InvocationId,
    /// Which plugin ran.
    pub plugin: PluginName,
    /// Which version of it.
    pub version: VersionDigest,
    /// Why it ran.
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
    /// The problem's code where the host answered in the plugin's place.
    pub code: Option<String>,
    /// Whose fault that was.
    pub blame: Option<Blame>,
    /// The caller, `api-key:…`, if it is known.
    pub principal: Option<String>,
    /// When it began.
    pub started_at: Timestamp,
    /// What it consumed.
    pub usage: Usage,
}

/// What the plugins of a tenant consumed.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct UsageView {
    /// The first moment.
    pub from: Timestamp,
    /// The first moment that no longer counts.
    pub to: Timestamp,
    /// Sums by plugin; one that did not run is absent.
    pub plugins: Vec<UsageSum>,
    /// What is kept of the tenant's invocations now.
    pub kept: Kept,
    /// What the tenant has now of the things that its plan bounds.
    pub counts: Counts,
}
