//! JSON of effective limits, each with the layer that set it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::effective::{LimitValue, Source};
use crate::domain::id::VersionDigest;
use crate::domain::limits::{LimitOverrides, Owner};
use crate::domain::tenant::Plan;

/// An effective limit.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct LimitView {
    /// The effective value: a number, or a size or time span as text.
    pub value: LimitValue,
    /// The layer that set the value.
    pub source: Source,
    /// The highest value that can be set on this host.
    pub ceiling: LimitValue,
    /// The lowest value that can be set.
    pub floor: LimitValue,
    /// What the limit bounds: one invocation, or all of the tenant's plugins together. Manifests
    /// can only lower limits of an invocation.
    pub bounds: Owner,
    /// Set if a stored value has no effect or is too low to run with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// The limits of a tenant.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct TenantLimits {
    /// The tenant's plan, with its changes to the host's defaults.
    pub plan: Plan,
    /// Changes to the plan for this tenant alone.
    pub overrides: LimitOverrides,
    /// Effective limits by name.
    pub limits: BTreeMap<String, LimitView>,
}

/// The limits of a plugin.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct PluginLimits {
    /// The version whose manifest is included; absent if the plugin has none.
    pub version: Option<VersionDigest>,
    /// Effective limits by name.
    pub limits: BTreeMap<String, LimitView>,
    /// The limits that the manifest lowers further for single functions, by function and name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub functions: BTreeMap<String, BTreeMap<String, LimitView>>,
}
