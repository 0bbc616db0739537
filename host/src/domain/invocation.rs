//! The record of one invocation: what ran, how it ended, whose fault it was, and what it consumed.

use serde::{Deserialize, Serialize};

use super::clock::Timestamp;
use super::id::{InvocationId, PluginName, TenantId, VersionDigest};

/// Why a plugin ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Trigger {
    /// A request to one of its routes.
    Http,
}

/// Whose doing an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Blame {
    /// The caller sent something wrong.
    Client,
    /// The plugin failed.
    Guest,
    /// A limit was reached.
    Limit,
    /// The host failed.
    Host,
}

/// Stands in place of a problem's code where the caller went away before there was an answer.
pub const ABANDONED: &str = "abandoned";

/// What one invocation consumed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct Usage {
    /// Busy time in microseconds.
    pub cpu_us: u64,
    /// Wall-clock time in microseconds, waiting for a turn excluded.
    pub wall_us: u64,
    /// The most bytes that linear memories and tables had together.
    pub memory_bytes: u64,
    /// Host calls of every capability together.
    pub host_calls: u32,
    /// SQL statements.
    pub sql_statements: u32,
    /// Rows that SQL gave back.
    pub sql_rows: u64,
    /// Cache calls.
    pub cache_calls: u32,
    /// Outbound requests, retries included.
    pub http_requests: u32,
    /// Bytes of outbound request and response bodies.
    pub http_bytes: u64,
    /// Log lines kept.
    pub log_lines: u32,
    /// Log lines dropped because the budget was spent.
    pub log_lines_dropped: u32,
    /// Bytes of the request body.
    pub request_bytes: u64,
    /// Bytes of the response body.
    pub response_bytes: u64,
}

/// One run of one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvocationRecord {
    /// Its id.
    pub id: InvocationId,
    /// Whose it was.
    pub tenant: TenantId,
    /// Which plugin ran.
    pub plugin: PluginName,
    /// Which version of it.
    pub version: VersionDigest,
    /// Why it ran.
    pub trigger: Trigger,
    /// The method of the request.
    pub method: String,
    /// The route that matched.
    pub route: String,
    /// Status of the response.
    pub status: u16,
    /// The problem code where the host answered in the plugin's place, or [`ABANDONED`].
    pub code: Option<&'static str>,
    /// Whose fault that was.
    pub blame: Option<Blame>,
    /// Kind and id of the caller, `api-key:…`, if any.
    pub principal: Option<String>,
    /// When it began.
    pub started_at: Timestamp,
    /// What it consumed.
    pub usage: Usage,
}
