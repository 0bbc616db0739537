//! Invocations, and what they consumed.

use async_trait::async_trait;
use serde::Serialize;

use super::{DbError, Page};
use crate::domain::clock::Timestamp;
use crate::domain::id::{InvocationId, PluginName, TenantId};
use crate::domain::invocation::InvocationRecord;
use crate::domain::log_line::LogLine;

/// An invocation that has ended, with what it logged.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What ran, how it ended, and what it consumed.
    pub record: InvocationRecord,
    /// Its log lines in order.
    pub log_lines: Vec<LogLine>,
}

/// Which invocations are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InvocationFilter {
    /// Of one plugin.
    pub plugin: Option<PluginName>,
    /// Begun at this moment or later.
    pub since: Option<Timestamp>,
    /// Only those that the host answered with a problem.
    pub failed: bool,
}

/// What a plugin consumed within some time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct UsageSum {
    /// Which plugin.
    pub plugin: PluginName,
    /// How often it ran.
    pub invocations: u64,
    /// How often the host answered with a problem in its place.
    pub failures: u64,
    /// Busy time in microseconds.
    pub cpu_us: u64,
    /// Wall-clock time in microseconds.
    pub wall_us: u64,
    /// Host calls.
    pub host_calls: u64,
    /// SQL statements.
    pub sql_statements: u64,
    /// Rows that SQL gave back.
    pub sql_rows: u64,
    /// Cache calls.
    pub cache_calls: u64,
    /// Outbound requests.
    pub http_requests: u64,
    /// Bytes of outbound bodies.
    pub http_bytes: u64,
    /// Log lines kept.
    pub log_lines: u64,
    /// Bytes of request bodies.
    pub request_bytes: u64,
    /// Bytes of response bodies.
    pub response_bytes: u64,
}

/// Invocations and usage.
#[async_trait]
pub trait Invocations {
    /// Records invocations with their log lines and adds them to the usage, in one transaction. An invocation that
    /// is there already is left out and not counted again; so is one whose tenant was deleted.
    async fn record(&self, entries: &[Entry]) -> Result<(), DbError>;

    /// One invocation.
    async fn invocation(
        &self,
        tenant: TenantId,
        id: InvocationId,
    ) -> Result<Option<InvocationRecord>, DbError>;

    /// Invocations, the newest first.
    async fn invocations(
        &self,
        tenant: TenantId,
        filter: &InvocationFilter,
        page: Page<InvocationId>,
    ) -> Result<Vec<InvocationRecord>, DbError>;

    /// What each plugin consumed in the hours that begin in `from..to`.
    async fn usage(&self, tenant: TenantId, from: Timestamp, to: Timestamp)
    -> Result<Vec<UsageSum>, DbError>;

    /// Deletes invocations that began before `before`, and log lines of before then, a bounded number at a time.
    /// Gives back how many rows went; zero when there is nothing left to delete. The usage stays.
    async fn prune_before(&self, before: Timestamp) -> Result<u64, DbError>;
}

impl UsageSum {
    /// Nothing consumed yet.
    pub fn none(plugin: PluginName) -> Self {
        Self {
            plugin,
            invocations: 0,
            failures: 0,
            cpu_us: 0,
            wall_us: 0,
            host_calls: 0,
            sql_statements: 0,
            sql_rows: 0,
            cache_calls: 0,
            http_requests: 0,
            http_bytes: 0,
            log_lines: 0,
            request_bytes: 0,
            response_bytes: 0,
        }
    }

    /// Adds one invocation.
    pub fn add(&mut self, record: &InvocationRecord) {
        let usage = &record.usage;
        self.invocations += 1;
        self.failures += u64::from(record.code.is_some());
        self.cpu_us += usage.cpu_us;
        self.wall_us += usage.wall_us;
        self.host_calls += u64::from(usage.host_calls);
        self.sql_statements += u64::from(usage.sql_statements);
        self.sql_rows += usage.sql_rows;
        self.cache_calls += u64::from(usage.cache_calls);
        self.http_requests += u64::from(usage.http_requests);
        self.http_bytes += usage.http_bytes;
        self.log_lines += u64::from(usage.log_lines);
        self.request_bytes += usage.request_bytes;
        self.response_bytes += usage.response_bytes;
    }
}
