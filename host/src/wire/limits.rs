//! Limits that hold, and where each comes from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::effective::{LimitValue, Source};
use crate::domain::id::VersionDigest;
use crate::domain::limits::{LimitOverrides, Owner};
use crate::domain::tenant::Plan;

/// A limit that holds.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct LimitView {
    /// The value that holds: a number, or a size or a span of time as text.
    pub value: LimitValue,
    /// What set it.
    pub source: Source,
    /// The highest value that can be set on this host.
    pub ceiling: LimitValue,
    /// The lowest value that can be set.
    pub floor: LimitValue,
    /// What it bounds: one invocation, or all of the tenant's plugins together. Manifests lower
    /// only the former.
    pub bounds: Owner,
    /// Set if a stored value is not in effect or is too low to run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// The limits of a tenant.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct TenantLimits {
    /// The plan that the tenant is on, with its changes to the host's defaults.
    pub plan: Plan,
    /// Changes to the plan for this tenant alone.
    pub overrides: LimitOverrides,
    /// What holds, by name.
    pub limits: BTreeMap<String, LimitView>,
}

/// The limits of a plugin.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct PluginLimits {
    /// The version whose manifest is counted in; absent if the plugin has none.
    pub version: Option<VersionDigest>,
    /// What holds, by name.
    pub limits: BTreeMap<String, LimitView>,
    /// The limits that the manifest lowers further for single functions, by function and name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub functions: BTreeMap<String, BTreeMap<String, LimitView>>,
}
