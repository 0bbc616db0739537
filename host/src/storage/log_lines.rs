//! Storage of plugins' log lines. They are written together with their invocation.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{DbError, Page};
use crate::domain::clock::Timestamp;
use crate::domain::id::{InvocationId, PluginName, TenantId};
use crate::domain::log_line::{Level, LogLine};

/// A filter for log lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogFilter {
    /// The plugin.
    pub plugin: Option<PluginName>,
    /// This level or a more serious one.
    pub level: Option<Level>,
    /// The invocation.
    pub invocation: Option<InvocationId>,
    /// Lines logged at this time or later.
    pub since: Option<Timestamp>,
}

/// A position in a tenant's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPosition {
    /// Time of the line.
    pub at: Timestamp,
    /// The invocation that logged the line.
    pub invocation: InvocationId,
    /// Index of the line within the invocation.
    pub position: u32,
}

/// A log line with its position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredLogLine {
    /// Index of the line within the invocation.
    pub position: u32,
    /// Position in the write order of all tenants. It may differ from the order of `at`, since an
    /// invocation's lines are written when it has ended. `None` if the line was not read from the
    /// database.
    pub written: Option<i64>,
    /// The line.
    pub line: LogLine,
}

/// A position in the write order, from which reading continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrittenAfter {
    /// Only lines after this position.
    pub written: i64,
    /// Only lines with this `at` or a later one.
    pub at_least: Option<Timestamp>,
}

/// Lines in write order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinesWritten {
    /// The lines.
    pub lines: Vec<StoredLogLine>,
    /// The position up to which the log was read; `None` at its end.
    pub reached: Option<i64>,
}

/// Log lines in the database.
#[async_trait]
pub trait LogLines {
    /// Lists lines, the newest first.
    async fn log_lines(
        &self,
        tenant: TenantId,
        filter: &LogFilter,
        page: Page<LogPosition>,
    ) -> Result<Vec<StoredLogLine>, DbError>;

    /// The position of a line in the write order; `None` if the line is not stored.
    async fn log_line_written(&self, tenant: TenantId, position: LogPosition)
    -> Result<Option<i64>, DbError>;

    /// Lists lines in write order. At most `limit` lines are returned, and only those that the
    /// filter matches.
    async fn log_lines_written(
        &self,
        tenant: TenantId,
        filter: &LogFilter,
        after: WrittenAfter,
        limit: u32,
    ) -> Result<LinesWritten, DbError>;

    /// The number of invocations with matching lines after this position.
    async fn invocations_written(
        &self,
        tenant: TenantId,
        filter: &LogFilter,
        after: WrittenAfter,
    ) -> Result<u64, DbError>;
}

impl LogFilter {
    /// Whether the filter matches a line.
    pub fn accepts(&self, line: &LogLine) -> bool {
        self.plugin.as_ref().is_none_or(|plugin| *plugin == line.plugin)
            && self.level.is_none_or(|level| level <= line.level)
            && self.invocation.is_none_or(|id| id == line.invocation)
            && self.since.is_none_or(|since| since <= line.at)
    }
}

impl StoredLogLine {
    /// The position in the tenant's log.
    pub fn place(&self) -> LogPosition {
        LogPosition {
            at: self.line.at,
            invocation: self.line.invocation,
            position: self.position,
        }
    }
}
