//! The versions of all tenants, for questions about their components.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{DbError, Page};
use crate::domain::clock::Timestamp;
use crate::domain::id::{PluginName, TenantId, TenantName, VersionDigest};

/// A place in the list of all versions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentPosition {
    /// Whose version.
    pub tenant: TenantId,
    /// Of which plugin.
    pub plugin: PluginName,
    /// Which version.
    pub digest: VersionDigest,
}

/// A version of some tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredComponent {
    /// Where it stands in the list.
    pub position: ComponentPosition,
    /// The tenant's name.
    pub tenant_name: TenantName,
    /// Whether it serves.
    pub is_active: bool,
}

/// Versions of all tenants.
#[async_trait]
pub trait Components {
    /// All versions, by tenant, plugin and digest.
    async fn components(&self, page: Page<ComponentPosition>) -> Result<Vec<StoredComponent>, DbError>;

    /// The digests of all active versions, those of deleted tenants and plugins left out. Those
    /// with the most invocations in the hours since `since` come first.
    async fn active_components(&self, since: Timestamp) -> Result<Vec<VersionDigest>, DbError>;
}
