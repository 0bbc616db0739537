//! Storage queries about the components of all tenants.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{DbError, Page};
use crate::domain::clock::Timestamp;
use crate::domain::id::{PluginName, TenantId, TenantName, VersionDigest};

/// A position in the list of all versions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentPosition {
    /// The tenant.
    pub tenant: TenantId,
    /// The plugin.
    pub plugin: PluginName,
    /// The version.
    pub digest: VersionDigest,
}

/// A version of any tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredComponent {
    /// The position in the list.
    pub position: ComponentPosition,
    /// The tenant's name.
    pub tenant_name: TenantName,
    /// Whether the version is active.
    pub is_active: bool,
}

/// Versions of all tenants.
#[async_trait]
pub trait Components {
    /// Lists all versions by tenant, plugin and digest.
    async fn components(&self, page: Page<ComponentPosition>) -> Result<Vec<StoredComponent>, DbError>;

    /// The digests of all active versions, without those of deleted tenants and plugins. Those with
    /// the most invocations since `since` come first.
    async fn active_components(&self, since: Timestamp) -> Result<Vec<VersionDigest>, DbError>;
}
