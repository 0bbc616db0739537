//! JSON of stored components, and of the rules that they match.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::clock::Timestamp;
use crate::domain::id::{PluginName, TenantName, VersionDigest};

/// A version that matches a rule.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct AuditedVersion {
    /// The tenant.
    pub tenant: TenantName,
    /// The plugin.
    pub plugin: PluginName,
    /// The version.
    pub version: VersionDigest,
    /// Whether the version is active.
    pub active: bool,
    /// The rules that the version matches.
    pub rules: Vec<String>,
    /// Why the rules could not be checked, if the component cannot be read.
    pub unknown: Option<String>,
}

/// A component in the component store, which all nodes share.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct StoredComponentView {
    /// The version, which is the digest of the component.
    pub version: VersionDigest,
    /// Size in bytes.
    pub size: u64,
    /// Time at which it was last stored.
    pub stored_at: Timestamp,
    /// Whether any tenant uses the version. An unused component is removed soon.
    pub used: bool,
    /// Whether this node has compiled code of it. If not, the component is compiled when it is
    /// needed.
    pub compiled: bool,
}
