//! What all invocations of a plugin's active version share.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::grant::Grants;
use crate::domain::id::{PluginName, TenantId, TenantName, VersionDigest};
use crate::domain::limits::Limits;
use crate::storage::vault::Sealed;

/// The active version of a plugin, with what the tenant allows and has set for it. Built when something changes,
/// never on the way of a request.
#[derive(Clone, Debug)]
pub struct ActiveVersion {
    /// Which snapshot of its tenant it belongs to; one that was built later has a larger number.
    pub snapshot: u64,
    /// Whose it is.
    pub tenant: TenantId,
    /// The tenant's name.
    pub tenant_name: TenantName,
    /// The plugin's name.
    pub plugin: PluginName,
    /// The component.
    pub digest: VersionDigest,
    /// The author's name for the version, such as `1.2.0`.
    pub version: String,
    /// The limits of one invocation.
    pub limits: Arc<Limits>,
    /// What is both asked for and granted.
    pub grants: Arc<Grants>,
    /// The plugin's settings.
    pub config: Arc<BTreeMap<String, String>>,
    /// The tenant's secrets, sealed.
    pub secrets: Arc<BTreeMap<String, Sealed>>,
}
