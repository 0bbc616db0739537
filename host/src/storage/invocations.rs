//! Invocations, and what they consumed.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::str::FromStr;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{DbError, Page, Totals};
use crate::domain::clock::Timestamp;
use crate::domain::id::{FunctionName, InvocationId, PluginName, TenantId};
use crate::domain::invocation::{InvocationRecord, Trigger, UsageSum};
use crate::domain::log_line::LogLine;
use crate::domain::principal::PrincipalId;

/// An invocation that has ended, with what it logged.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What ran, how it ended, and what it consumed.
    pub record: InvocationRecord,
    /// Its log lines in order.
    pub log_lines: Vec<LogLine>,
}

/// Which invocations are wanted. What is `None` excludes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InvocationFilter {
    /// Of one plugin.
    pub plugin: Option<PluginName>,
    /// Of the route with this pattern.
    pub route: Option<String>,
    /// With such a status.
    pub status: Option<StatusFilter>,
    /// By this caller.
    pub principal: Option<PrincipalId>,
    /// Begun at this moment or later.
    pub since: Option<Timestamp>,
    /// Begun before this moment.
    pub until: Option<Timestamp>,
    /// Only those that failed: see [`InvocationRecord::has_failed`].
    pub failed: bool,
    /// Of one trigger.
    pub trigger: Option<Trigger>,
    /// Of one function.
    pub function: Option<FunctionName>,
}

/// Which statuses are wanted: `404`, or all that begin with a digit, `4xx`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusFilter {
    /// This one.
    Exactly(u16),
    /// Those of a class, which is the first digit.
    Class(u16),
}

/// Text that names no statuses.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is neither a status such as 404 nor a class of them such as 4xx")]
pub struct InvalidStatusFilter(String);

/// What the database keeps of a tenant's invocations, or what it may keep at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Kept {
    /// Records of invocations.
    pub records: u64,
    /// Bytes of log lines, with what is stored around each.
    pub log_bytes: u64,
}

/// Invocations and usage.
#[async_trait]
pub trait Invocations {
    /// Records invocations with their log lines and adds them to the totals, in one transaction. A
    /// batch that is there already, because it is tried again, is left out and not counted again;
    /// so is what is of a tenant that was deleted. Gives back what is kept now of each tenant that
    /// something was added of.
    async fn record(&self, entries: &[Entry]) -> Result<BTreeMap<TenantId, Kept>, DbError>;

    /// Adds to the totals invocations that are not recorded. What is of tenants that were deleted
    /// is left out.
    async fn add_totals(&self, totals: &Totals) -> Result<(), DbError>;

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

impl InvocationFilter {
    /// Whether an invocation is wanted.
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
        for text in ["", "xx", "4x", "6xx", "0xx", "99", "600", "40 4", "-1", "0200", "+404", "04xx", "+4xx"] {
            assert!(text.parse::<StatusFilter>().is_err(), "{text}");
        }
        let class = StatusFilter::Class(4);
        assert!(class.accepts(400) && class.accepts(499) && !class.accepts(500) && !class.accepts(399));
    }
}
