//! Storage of invocation records and of usage.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::str::FromStr;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{DbError, Page, Totals};
use crate::domain::clock::Timestamp;
use crate::domain::id::{FunctionName, InvocationId, JobName, PluginName, TenantId};
use crate::domain::invocation::{InvocationRecord, Trigger, UsageSum};
use crate::domain::log_line::LogLine;
use crate::domain::principal::PrincipalId;

/// A finished invocation with its log lines.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The record of the invocation.
    pub record: InvocationRecord,
    /// The log lines in order.
    pub log_lines: Vec<LogLine>,
}

/// A filter for invocations. `None` matches all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InvocationFilter {
    /// The plugin.
    pub plugin: Option<PluginName>,
    /// The pattern of the route.
    pub route: Option<String>,
    /// The status.
    pub status: Option<StatusFilter>,
    /// The caller.
    pub principal: Option<PrincipalId>,
    /// Invocations that began at this time or later.
    pub since: Option<Timestamp>,
    /// Invocations that began before this time.
    pub until: Option<Timestamp>,
    /// Only failed invocations: see [`InvocationRecord::has_failed`].
    pub failed: bool,
    /// The kind of trigger.
    pub trigger: Option<Trigger>,
    /// The function.
    pub function: Option<FunctionName>,
    /// Attempts to run jobs of this kind.
    pub job: Option<JobName>,
}

/// A filter for statuses: `404`, or a class such as `4xx`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusFilter {
    /// A single status.
    Exactly(u16),
    /// All statuses with this first digit.
    Class(u16),
}

/// Text that is neither a status nor a class.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is neither a status such as 404 nor a class of them such as 4xx")]
pub struct InvalidStatusFilter(String);

/// Amounts of stored data of a tenant, or limits for them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Kept {
    /// Number of invocation records.
    pub records: u64,
    /// Bytes of log lines, with a fixed overhead for each.
    pub log_bytes: u64,
}

/// Invocations and usage in the database.
#[async_trait]
pub trait Invocations {
    /// Records invocations with their log lines and adds them to the totals, in one transaction.
    /// Entries that are already stored (because the batch is repeated) or belong to a purged
    /// tenant are skipped. Returns the stored amounts of each tenant with new entries.
    async fn record(&self, entries: &[Entry]) -> Result<BTreeMap<TenantId, Kept>, DbError>;

    /// Adds invocations without records to the totals. Those of purged tenants are skipped.
    async fn add_totals(&self, totals: &Totals) -> Result<(), DbError>;

    /// The stored amounts of a tenant.
    async fn kept(&self, tenant: TenantId) -> Result<Kept, DbError>;

    /// A single invocation.
    async fn invocation(
        &self,
        tenant: TenantId,
        id: InvocationId,
    ) -> Result<Option<InvocationRecord>, DbError>;

    /// Lists invocations, the newest first.
    async fn invocations(
        &self,
        tenant: TenantId,
        filter: &InvocationFilter,
        page: Page<InvocationId>,
    ) -> Result<Vec<InvocationRecord>, DbError>;

    /// The usage of each plugin in the hours that begin in `from..to`.
    async fn usage(&self, tenant: TenantId, from: Timestamp, to: Timestamp)
    -> Result<Vec<UsageSum>, DbError>;

    /// Deletes invocations and log lines from before `before`, a limited number per call. Records
    /// that were written in one block are deleted together. Returns the number of deleted rows;
    /// zero if none are left. The usage is kept.
    async fn prune_before(&self, before: Timestamp) -> Result<u64, DbError>;

    /// Deletes a tenant's oldest records and log lines above `most`, a limited number per call. A
    /// block of records is deleted only as a whole and only if all of it is above `most`. Returns
    /// the stored amounts afterwards. The usage is kept.
    async fn prune_beyond(&self, tenant: TenantId, most: Kept) -> Result<Kept, DbError>;
}

impl Kept {
    /// Whether any amount is above `most`.
    pub fn exceeds(self, most: Kept) -> bool {
        self.records > most.records || self.log_bytes > most.log_bytes
    }
}

impl InvocationFilter {
    /// Whether the filter matches a record.
    pub fn accepts(&self, record: &InvocationRecord) -> bool {
        self.plugin.as_ref().is_none_or(|plugin| *plugin == record.plugin)
            && self
                .route
                .as_deref()
                .is_none_or(|route| Some(route) == record.triggered.route())
            && self.status.is_none_or(|status| status.accepts(record.status))
            && self
                .principal
                .is_none_or(|principal| Some(principal) == record.principal)
            && self.since.is_none_or(|since| record.started_at >= since)
            && self.until.is_none_or(|until| record.started_at < until)
            && (!self.failed || record.has_failed())
            && self
                .trigger
                .is_none_or(|trigger| record.triggered.trigger() == trigger)
            && (self.function.is_none() || record.triggered.function() == self.function.as_ref())
            && (self.job.is_none() || record.triggered.job() == self.job.as_ref())
    }
}

impl StatusFilter {
    fn accepts(self, status: u16) -> bool {
        match self {
            Self::Exactly(wanted) => status == wanted,
            Self::Class(wanted) => status / 100 == wanted,
        }
    }
}

impl FromStr for StatusFilter {
    type Err = InvalidStatusFilter;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |text: &str, range: RangeInclusive<u16>| {
            let number = text.parse().ok();
            // `parse` takes `+404` and `0404` too.
            number.filter(|number| range.contains(number) && number.to_string() == text)
        };
        let found = match text.strip_suffix("xx") {
            Some(class) => number(class, 1..=5).map(Self::Class),
            None => number(text, 100..=599).map(Self::Exactly),
        };
        found.ok_or_else(|| InvalidStatusFilter(text.chars().take(80).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_named_one_by_one_or_by_their_class() {
        assert_eq!("404".parse(), Ok(StatusFilter::Exactly(404)));
        assert_eq!("5xx".parse(), Ok(StatusFilter::Class(5)));
        for text in [
            "", "xx", "4x", "6xx", "0xx", "99", "600", "40 4", "-1", "0200", "+404", "04xx", "+4xx",
        ] {
            assert!(text.parse::<StatusFilter>().is_err(), "{text}");
        }
        let class = StatusFilter::Class(4);
        assert!(class.accepts(400) && class.accepts(499) && !class.accepts(500) && !class.accepts(399));
    }
}
