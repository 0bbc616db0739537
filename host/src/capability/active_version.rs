//! The active version of a plugin: what all its invocations share.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::grant::Grants;
use crate::domain::id::{JobName, PluginName, TenantId, TenantName, VersionDigest};
use crate::domain::job::JobSpec;
use crate::domain::limits::Limits;
use crate::domain::mail_address::Address;
use crate::domain::template::Templates;
use crate::storage::vault::Sealed;

/// The active version of a plugin, with its grants, settings and secrets. It is built when one of
/// these changes, never during a request.
#[derive(Clone, Debug)]
pub struct ActiveVersion {
    /// The tenant's snapshot that it belongs to. A later snapshot has a larger number.
    pub snapshot: u64,
    /// The tenant that runs the plugin.
    pub tenant: TenantId,
    /// The tenant's name.
    pub tenant_name: TenantName,
    /// The plugin's name.
    pub plugin: PluginName,
    /// The digest of the component.
    pub digest: VersionDigest,
    /// The author's name for the version, such as `1.2.0`.
    pub version: String,
    /// The limits of one invocation.
    pub limits: Arc<Limits>,
    /// What the manifest requests and the tenant grants.
    pub grants: Arc<Grants>,
    /// The plugin's settings.
    pub config: Arc<BTreeMap<String, String>>,
    /// The tenant's secrets, encrypted.
    pub secrets: Arc<BTreeMap<String, Sealed>>,
    /// The kinds of jobs that the version declares.
    pub jobs: Arc<BTreeMap<JobName, JobSpec>>,
    /// The sender of a mail that names none: the first address of the manifest that is granted.
    pub mail_from: Option<Address>,
    /// The mail templates of the version.
    pub templates: Arc<Templates>,
}
