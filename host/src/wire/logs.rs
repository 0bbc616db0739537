//! JSON of plugins' log lines.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::clock::Timestamp;
use crate::domain::id::{FunctionName, InvocationId, JobName, PluginName};
use crate::domain::log_line::Level;

/// A line of a plugin's log.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct LogLineView {
    /// The plugin that wrote the line.
    pub plugin: PluginName,
    /// The invocation during which the line was written.
    pub invocation: InvocationId,
    /// Time of the line.
    pub at: Timestamp,
    /// How serious the line is.
    pub level: Level,
    /// The text.
    pub message: String,
    /// Structured fields: name and value.
    pub fields: Vec<(String, String)>,
    /// Method of the invocation's request; absent if the invocation's record was deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The route that matched; absent if the invocation's record was deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// The function that was called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function: Option<FunctionName>,
    /// The kind of job that ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<JobName>,
    /// The number of the attempt to run the job, 1 for the first one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// Dropped lines of this invocation, because a limit was reached (`log_lines`, `log_bytes`, or
    /// the tenant's rate). Only the newest line of the invocation that the query finds has this
    /// number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropped: Option<u32>,
}
