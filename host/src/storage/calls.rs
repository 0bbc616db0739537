//! How often each route was called by whom, day by day. It outlives the records of invocations.

use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::totals::Calls;
use super::{DbError, Page};
use crate::domain::clock::Timestamp;
use crate::domain::id::{PluginName, TenantId};
use crate::domain::principal::{InvalidPrincipalId, PrincipalId};

/// Days that calls are kept.
pub const CALL_DAYS_KEPT: u32 = 35;

/// Callers of routes that are told apart of one tenant on one day. Calls by further callers of a
/// route are counted together, as calls by [`Caller::Others`].
pub const CALLERS_A_DAY: u64 = 10_000;

/// Who called, as far as it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Somebody without a credential.
    Anyone,
    /// This principal.
    Principal(PrincipalId),
    /// Callers beyond [`CALLERS_A_DAY`].
    Others,
}

/// Which calls are wanted.
#[derive(Clone, Debug)]
pub struct CallFilter {
    /// Of this plugin.
    pub plugin: PluginName,
    /// Of this route.
    pub route: Option<String>,
    /// On days that begin at this moment or later.
    pub from: Timestamp,
    /// On days that begin before this moment.
    pub to: Timestamp,
}

/// Calls of a route by one caller on one day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CountedCalls {
    /// The beginning of the day.
    pub day: Timestamp,
    /// The method of the requests.
    pub method: String,
    /// The route that matched.
    pub route: String,
    /// Who called.
    pub caller: Caller,
    /// How often.
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

    /// Deletes the calls of days that began before `before`, a bounded number at a time. Gives back
    /// how many rows went; zero when there is nothing left to delete.
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
