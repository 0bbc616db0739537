//! How often routes and functions were called.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::clock::Timestamp;

/// Calls of a route or a function by one caller on one day.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct CallsView {
    /// The beginning of the day (UTC).
    pub day: Timestamp,
    /// The method of the requests.
    pub method: String,
    /// The pattern of the route, such as `/orders/{id}`, or the address of the function, such as
    /// `/-/functions/price.adjust`.
    pub route: String,
    /// The caller, `api-key:…`; `*` for all callers beyond the 10000 of a day that are counted
    /// one by one; null for callers without a credential.
    pub caller: Option<String>,
    /// The number of calls.
    pub invocations: u64,
    /// How many of them failed: the host answered with a problem in the plugin's place, or the
    /// plugin answered 5xx.
    pub failures: u64,
}
