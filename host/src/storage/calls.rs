//! Daily counts of the calls of each route and caller. They are kept longer than invocation
//! records.

use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::totals::Calls;
use super::{DbError, Page};
use crate::domain::clock::Timestamp;
use crate::domain::id::{PluginName, TenantId};
use crate::domain::principal::{InvalidPrincipalId, PrincipalId};

/// Days for which counts are kept.
pub const CALL_DAYS_KEPT: u32 = 35;

/// The most combinations of route and caller that are counted separately per tenant and day.
/// Further callers of a route are counted together, as [`Caller::Others`].
pub const CALLERS_A_DAY: u64 = 10_000;

/// The caller of counted calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Callers without a credential.
    Anyone,
    /// This principal.
    Principal(PrincipalId),
    /// All callers above [`CALLERS_A_DAY`].
    Others,
}

/// A filter for counts.
#[derive(Clone, Debug)]
pub struct CallFilter {
    /// The plugin.
    pub plugin: PluginName,
    /// The route, if only one.
    pub route: Option<String>,
    /// Days that begin at this time or later.
    pub from: Timestamp,
    /// Days that begin before this time.
    pub to: Timestamp,
}

/// Counts of one route, caller and day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CountedCalls {
    /// The beginning of the day.
    pub day: Timestamp,
    /// The method of the requests.
    pub method: String,
    /// The route that matched.
    pub route: String,
    /// The caller.
    pub caller: Caller,
    /// The counts.
    pub calls: Calls,
}

/// A place in the list of counted calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallPosition {
    /// The beginning of the day.
    pub day: Timestamp,
    /// The method of the requests.
    pub method: String,
    /// The route that matched.
    pub route: String,
    /// Who called, as it is stored.
    pub caller: String,
}

impl CountedCalls {
    /// Its place in the list.
    pub fn position(&self) -> CallPosition {
        CallPosition {
            day: self.day,
            method: self.method.clone(),
            route: self.route.clone(),
            caller: self.caller.to_string(),
        }
    }
}

/// Counted calls of routes.
#[async_trait]
pub trait CallCounts {
    /// A page of calls, by day, method, route and caller.
    async fn calls(
        &self,
        tenant: TenantId,
        filter: &CallFilter,
        page: Page<CallPosition>,
    ) -> Result<Vec<CountedCalls>, DbError>;

    /// Deletes the counts of days before `before`, a limited number per call. Returns the number of
    /// deleted rows; zero if none are left.
    async fn forget_calls_before(&self, before: Timestamp) -> Result<u64, DbError>;
}

const OTHERS: &str = "*";

impl From<Option<PrincipalId>> for Caller {
    fn from(principal: Option<PrincipalId>) -> Self {
        principal.map_or(Self::Anyone, Self::Principal)
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anyone => Ok(()),
            Self::Principal(principal) => principal.fmt(f),
            Self::Others => f.write_str(OTHERS),
        }
    }
}

impl FromStr for Caller {
    type Err = InvalidPrincipalId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "" => Ok(Self::Anyone),
            OTHERS => Ok(Self::Others),
            principal => principal.parse().map(Self::Principal),
        }
    }
}
