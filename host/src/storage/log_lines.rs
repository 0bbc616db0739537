//! Log lines of plugins. They are written together with their invocation.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{DbError, Page};
use crate::domain::clock::Timestamp;
use crate::domain::id::{InvocationId, PluginName, TenantId};
use crate::domain::log_line::{Level, LogLine};

/// Which log lines are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogFilter {
    /// Of one plugin.
    pub plugin: Option<PluginName>,
    /// This level and more serious ones.
    pub level: Option<Level>,
    /// Of one invocation.
    pub invocation: Option<InvocationId>,
    /// Written at this moment or later.
    pub since: Option<Timestamp>,
}

/// A place in the log of a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPosition {
    /// When the line was written.
    pub at: Timestamp,
    /// By which invocation.
    pub invocation: InvocationId,
    /// As which of its lines, from zero.
    pub position: u32,
}

/// A log line and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredLogLine {
    /// As which of the invocation's lines, from zero.
    pub position: u32,
    /// Its place in the order in which the lines of all tenants were written. A line can be written
    /// after one with a later `at`, since the lines of an invocation are written when it has ended.
    /// `None` if it was not read back.
    pub written: Option<i64>,
    /// The line.
    pub line: LogLine,
}

/// A place in the order in which lines are written, to go on from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrittenAfter {
    /// Lines after this one in that order.
    pub written: i64,
    /// Without lines that have an earlier `at`.
    pub at_least: Option<Timestamp>,
}

/// Lines in the order in which they were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinesWritten {
    /// The lines.
    pub lines: Vec<StoredLogLine>,
    /// The place up to which the log was read, to read on from; `None` at the end of the log.
    pub reached: Option<i64>,
}

/// Log lines.
#[async_trait]
pub trait LogLines {
    /// Lines, the newest first.
    async fn log_lines(
        &self,
        tenant: TenantId,
        filter: &LogFilter,
        page: Page<LogPosition>,
    ) -> Result<Vec<StoredLogLine>, DbError>;

    /// Where the line at `position` is in the order in which lines are written; `None` if it is not there.
    async fn log_line_written(&self, tenant: TenantId, position: LogPosition)
    -> Result<Option<i64>, DbError>;

    /// Lines in the order in which they were written. Of the tenant's log at most `limit` lines are
    /// read, and those of them are given back that the filter accepts.
    async fn log_lines_written(
        &self,
        tenant: TenantId,
        filter: &LogFilter,
        after: WrittenAfter,
        limit: u32,
    ) -> Result<LinesWritten, DbError>;

    /// How many invocations wrote lines after this place that the filter accepts.
    async fn invocations_written(
        &self,
        tenant: TenantId,
        filter: &LogFilter,
        after: WrittenAfter,
    ) -> Result<u64, DbError>;
}

impl LogFilter {
    /// Whether a line is wanted.
    pub fn accepts(&self, line: &LogLine) -> bool {
        self.plugin.as_ref().is_none_or(|plugin| *plugin == line.plugin)
            && self.level.is_none_or(|level| level <= line.level)
            && self.invocation.is_none_or(|id| id == line.invocation)
            && self.since.is_none_or(|since| since <= line.at)
    }
}

impl StoredLogLine {
    /// Its place in the log of its tenant.
    pub fn place(&self) -> LogPosition {
        LogPosition {
            at: self.line.at,
            invocation: self.line.invocation,
            position: self.position,
        }
    }
}
