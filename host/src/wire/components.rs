//! Components that fall under a rule of the shield.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

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
