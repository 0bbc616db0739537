//! Lines of the logs of plugins.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::clock::Timestamp;
use crate::domain::id::{FunctionName, InvocationId, PluginName};
use crate::domain::log_line::Level;

/// A line of a plugin's log.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct LogLineView {
    /// Which plugin wrote it.
    pub plugin: PluginName,
    /// During which invocation.
    pub invocation: InvocationId,
    /// When.
    pub at: Timestamp,
    /// How serious it is.
    pub level: Level,
    /// The text.
    pub message: String,
    /// Further values, name and value.
    pub fields: Vec<(String, String)>,
    /// The method of the invocation's request; absent if its record is not kept any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The route that matched; absent if the invocation's record is not kept any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// The function that was called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function: Option<FunctionName>,
    /// How many lines of this invocation were dropped because a limit was reached (`log_lines`,
    /// `log_bytes`, or the tenant's rate). It stands on one line: the newest of the invocation that
    /// the query finds on any page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropped: Option<u32>,
}
