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

/// What one invocation consumed, beside each limit that bounds it. A time in microseconds ends in `_us`. Unless it says
/// that it is the most of something or how something stood, a number is the sum over the invocation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct Usage {
    /// Waiting for a turn and for an instance.
    pub queued_us: u64,
    /// How many requests of the tenant ran and waited when this one was let in, itself included. It is at most the
    /// tenant's `concurrency` and `queue` together.
    pub place: u32,
    /// How much of the tenant's `request_burst` was taken when this one came, itself included.
    pub burst_taken: u32,
    /// Bytes of the tenant's responses that its callers had not taken yet when this one began.
    pub backlog_bytes: u64,
    /// Busy time.
    pub cpu_us: u64,
    /// Wall-clock time, waiting for a turn excluded.
    pub wall_us: u64,
    /// The most bytes that linear memories and tables had together.
    pub memory_bytes: u64,
    /// Invocations that the instance had served before this one; zero in a fresh one.
    pub instance_reuses: u32,
    /// Instances of the tenant that waited for their next request when this one began.
    pub instances_kept: u64,
    /// Host calls of every capability together.
    pub host_calls: u32,
    /// The most bytes that one host call handed over.
    pub host_call_bytes: u64,
    /// The most transactions, cursors and outbound requests that were held at once.
    pub handles: u32,
    /// SQL statements.
    pub sql_statements: u32,
    /// Time of SQL statements.
    pub sql_us: u64,
    /// The longest time of one SQL statement.
    pub sql_statement_us: u64,
    /// Rows that SQL gave back.
    pub sql_rows: u64,
    /// The most rows of one SQL result.
    pub sql_result_rows: u64,
    /// Bytes that SQL gave back.
    pub sql_bytes: u64,
    /// The most bytes of one SQL result.
    pub sql_result_bytes: u64,
    /// How large the tenant's database was after the last statement; zero where there was none.
    pub database_bytes: u64,
    /// Cache calls.
    pub cache_calls: u32,
    /// The most bytes of one cache entry that was stored, its key included.
    pub cache_value_bytes: u64,
    /// How large the tenant's cache was after the last cache call; zero where there was none.
    pub cache_bytes: u64,
    /// Outbound requests, retries included.
    pub http_requests: u32,
    /// Bytes of outbound request and response bodies.
    pub http_bytes: u64,
    /// Time of outbound requests; those at once count each.
    pub http_us: u64,
    /// The most outbound requests at once.
    pub http_at_once: u32,
    /// The longest time of one outbound request, its retries included.
    pub http_request_us: u64,
    /// The longest time to connect.
    pub http_connect_us: u64,
    /// The longest time until the head of an outbound response had come.
    pub http_first_byte_us: u64,
    /// The most bytes of one outbound response's body.
    pub http_response_bytes: u64,
    /// Log lines kept.
    pub log_lines: u32,
    /// Log lines dropped because a budget was spent.
    pub log_lines_dropped: u32,
    /// Bytes of the log lines kept.
    pub log_bytes: u64,
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
