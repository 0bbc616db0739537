//! Components that fall under a rule of the shield.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::clock::Timestamp;
use crate::domain::id::{PluginName, TenantName, VersionDigest};

/// A version that falls under a rule.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct AuditedVersion {
    /// Whose it is.
    pub tenant: TenantName,
    /// Of which plugin.
    pub plugin: PluginName,
    /// Which version.
    pub version: VersionDigest,
    /// Whether it is the active one.
    pub active: bool,
    /// The rules that it falls under.
    pub rules: Vec<String>,
    /// Why this is not known, if its component cannot be read.
    pub unknown: Option<String>,
}

/// A component in the store of components, which all nodes share.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct StoredComponentView {
    /// The version that it is.
    pub version: VersionDigest,
    /// Bytes.
    pub size: u64,
    /// When it was stored last.
    pub stored_at: Timestamp,
    /// Whether any tenant has the version. If none has, the component is removed soon.
    pub used: bool,
    /// Whether this node keeps compiled code of it. If it does not, the code is compiled when it is
    /// needed.
    pub compiled: bool,
}
