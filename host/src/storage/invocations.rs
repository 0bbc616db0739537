//! Invocations, and what they consumed.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Place;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{DbError, Page};
use crate::domain::clock::Timestamp;
use crate::domain::id::{FunctionName, InvocationId, PluginName, TenantId};
use crate::domain::invocation::{InvocationRecord, Trigger};
use crate::domain::log_line::LogLine;

const HOUR_MS: i64 = 3_600_000;

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
    /// Only those that failed: see [`InvocationRecord::has_failed`].
    pub failed: bool,
    /// Of one trigger.
    pub trigger: Option<Trigger>,
    /// Of one function.
    pub function: Option<FunctionName>,
}

/// What the database keeps of a tenant's invocations, or what it may keep at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Kept {
    /// Records of invocations.
    pub records: u64,
    /// Bytes of log lines, with what is stored around each.
    pub log_bytes: u64,
}

/// What a plugin consumed within some time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct UsageSum {
    /// Which plugin.
    pub plugin: PluginName,
    /// How often it ran.
    pub invocations: u64,
    /// How often it failed: the host answered with a problem in its place, or it answered 5xx.
    pub failures: u64,
    /// Waiting for a turn and for an instance, in microseconds.
    pub queued_us: u64,
    /// Busy time in microseconds.
    pub cpu_us: u64,
    /// Wall-clock time in microseconds.
    pub wall_us: u64,
    /// Host calls.
    pub host_calls: u64,
    /// SQL statements.
    pub sql_statements: u64,
    /// Time of SQL statements in microseconds.
    pub sql_us: u64,
    /// Rows that SQL gave back.
    pub sql_rows: u64,
    /// Bytes that SQL gave back.
    pub sql_bytes: u64,
    /// Cache calls.
    pub cache_calls: u64,
    /// Outbound requests.
    pub http_requests: u64,
    /// Bytes of outbound bodies.
    pub http_bytes: u64,
    /// Time of outbound requests in microseconds.
    pub http_us: u64,
    /// Log lines kept.
    pub log_lines: u64,
    /// Log lines dropped because a budget was spent.
    pub log_lines_dropped: u64,
    /// Bytes of the log lines kept.
    pub log_bytes: u64,
    /// Bytes of request bodies.
    pub request_bytes: u64,
    /// Bytes of response bodies.
    pub response_bytes: u64,
}

/// What the plugins of all tenants consumed, hour by hour.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HourlyUsage(BTreeMap<(TenantId, Timestamp, PluginName), UsageSum>);

impl HourlyUsage {
    /// Adds one invocation to the hour in which it began.
    pub fn add(&mut self, record: &InvocationRecord) {
        let hour = Timestamp(record.started_at.0.div_euclid(HOUR_MS) * HOUR_MS);
        let sum = || UsageSum::none(record.plugin.clone());
        self.0
            .entry((record.tenant, hour, record.plugin.clone()))
            .or_insert_with(sum)
            .add(record);
    }

    /// Adds all of another one to this.
    pub fn merge(&mut self, other: Self) {
        for (key, sum) in other.0 {
            match self.0.entry(key) {
                Place::Vacant(vacant) => drop(vacant.insert(sum)),
                Place::Occupied(mut known) => known.get_mut().merge(&sum),
            }
        }
    }

    /// Each tenant's sum of each plugin and hour, which is given by its beginning.
    pub fn sums(&self) -> impl Iterator<Item = (TenantId, Timestamp, &UsageSum)> {
        self.0
            .iter()
            .map(|((tenant, hour, _), sum)| (*tenant, *hour, sum))
    }

    /// Whether nothing was consumed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Invocations and usage.
#[async_trait]
pub trait Invocations {
    /// Records invocations with their log lines and adds them to the usage, in one transaction. A batch that is there
    /// already, because it is tried again, is left out and not counted again; so is what is of a tenant that was deleted.
    /// Gives back what is kept now of each tenant that something was added of.
    async fn record(&self, entries: &[Entry]) -> Result<BTreeMap<TenantId, Kept>, DbError>;

    /// Adds to the usage what invocations consumed that are not recorded. What is of tenants that were deleted is left
    /// out.
    async fn add_usage(&self, usage: &HourlyUsage) -> Result<(), DbError>;

    /// What is kept of a tenant.
    async fn kept(&self, tenant: TenantId) -> Result<Kept, DbError>;

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

    /// Deletes invocations that began before `before`, and log lines of before then, a bounded number at a time. What was
    /// recorded together may stay together. Gives back how many went; zero when there is nothing left to delete. The
    /// usage stays.
    async fn prune_before(&self, before: Timestamp) -> Result<u64, DbError>;

    /// Deletes the oldest records and the oldest log lines of a tenant that has more than `most`, a bounded number at
    /// a time. Records go only together with those that they were recorded with, and no more go than are beyond `most`.
    /// Gives back what is kept then. The usage stays.
    async fn prune_beyond(&self, tenant: TenantId, most: Kept) -> Result<Kept, DbError>;
}

impl Kept {
    /// Whether this is more than `most`.
    pub fn exceeds(self, most: Kept) -> bool {
        self.records > most.records || self.log_bytes > most.log_bytes
    }
}

impl UsageSum {
    /// Nothing consumed yet.
    pub fn none(plugin: PluginName) -> Self {
        Self {
            plugin,
            invocations: 0,
            failures: 0,
            queued_us: 0,
            cpu_us: 0,
            wall_us: 0,
            host_calls: 0,
            sql_statements: 0,
            sql_us: 0,
            sql_rows: 0,
            sql_bytes: 0,
            cache_calls: 0,
            http_requests: 0,
            http_bytes: 0,
            http_us: 0,
            log_lines: 0,
            log_lines_dropped: 0,
            log_bytes: 0,
            request_bytes: 0,
            response_bytes: 0,
        }
    }

    /// Adds another sum of the same plugin.
    pub fn merge(&mut self, other: &Self) {
        self.invocations += other.invocations;
        self.failures += other.failures;
        self.queued_us += other.queued_us;
        self.cpu_us += other.cpu_us;
        self.wall_us += other.wall_us;
        self.host_calls += other.host_calls;
        self.sql_statements += other.sql_statements;
        self.sql_us += other.sql_us;
        self.sql_rows += other.sql_rows;
        self.sql_bytes += other.sql_bytes;
        self.cache_calls += other.cache_calls;
        self.http_requests += other.http_requests;
        self.http_bytes += other.http_bytes;
        self.http_us += other.http_us;
        self.log_lines += other.log_lines;
        self.log_lines_dropped += other.log_lines_dropped;
        self.log_bytes += other.log_bytes;
        self.request_bytes += other.request_bytes;
        self.response_bytes += other.response_bytes;
    }

    /// Adds one invocation.
    pub fn add(&mut self, record: &InvocationRecord) {
        let usage = &record.usage;
        self.invocations += 1;
        self.failures += u64::from(record.has_failed());
        self.queued_us += usage.queued_us;
        self.cpu_us += usage.cpu_us;
        self.wall_us += usage.wall_us;
        self.host_calls += u64::from(usage.host_calls);
        self.sql_statements += u64::from(usage.sql_statements);
        self.sql_us += usage.sql_us;
        self.sql_rows += usage.sql_rows;
        self.sql_bytes += usage.sql_bytes;
        self.cache_calls += u64::from(usage.cache_calls);
        self.http_requests += u64::from(usage.http_requests);
        self.http_bytes += usage.http_bytes;
        self.http_us += usage.http_us;
        self.log_lines += u64::from(usage.log_lines);
        self.log_lines_dropped += u64::from(usage.log_lines_dropped);
        self.log_bytes += usage.log_bytes;
        self.request_bytes += usage.request_bytes;
        self.response_bytes += usage.response_bytes;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::domain::invocation::Usage;
    use crate::storage::conformance::entry;

    #[test]
    fn sums_that_are_merged_have_everything_twice() {
        let Ok(Value::Object(mut used)) = serde_json::to_value(Usage::default()) else {
            panic!("usage is an object");
        };
        used.values_mut().for_each(|figure| *figure = 3.into());
        let mut record = entry(TenantId::generate(), "orders", 1, &[]).record;
        record.usage = serde_json::from_value(used.into()).unwrap();
        record.code = Some("plugin-trapped".into());
        let mut once = HourlyUsage::default();
        once.add(&record);
        let mut twice = once.clone();
        twice.merge(once.clone());
        let figures = |usage: &HourlyUsage| -> Vec<u64> {
            let (.., sum) = usage.sums().next().unwrap();
            let sum = serde_json::to_value(sum).unwrap();
            sum.as_object()
                .unwrap()
                .values()
                .filter_map(Value::as_u64)
                .collect()
        };
        let doubled: Vec<u64> = figures(&once).iter().map(|figure| 2 * figure).collect();
        assert_eq!(figures(&twice), doubled);
        assert!(doubled.iter().all(|figure| *figure > 0), "{doubled:?}");
    }
}
