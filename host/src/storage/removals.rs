//! What is left to do after a deletion: deleted tenants and plugins to purge, and files to remove.

use async_trait::async_trait;

use super::DbError;
use crate::domain::clock::Timestamp;
use crate::domain::id::{PluginName, TenantId, VersionDigest};

/// Files whose rows are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// The database of a purged tenant.
    Database(TenantId),
    /// A component and its compiled code, unless a version has the same digest again.
    Component(VersionDigest),
}

/// Deletions that are under way.
#[async_trait]
pub trait Removals {
    /// The ids of tenants that were deleted before `before`.
    async fn tenants_deleted_before(&self, before: Timestamp) -> Result<Vec<TenantId>, DbError>;

    /// The plugins that were deleted before `before`, with their tenants.
    async fn plugins_deleted_before(&self, before: Timestamp)
    -> Result<Vec<(TenantId, PluginName)>, DbError>;

    /// The files that are to be removed.
    async fn removals(&self) -> Result<Vec<Removal>, DbError>;

    /// A file is removed, or is needed again.
    async fn removal_done(&self, removal: Removal) -> Result<(), DbError>;

    /// Whether the tenant has a row, deleted or not.
    async fn has_tenant(&self, tenant: TenantId) -> Result<bool, DbError>;

    /// Every tenant that has rows, deleted or not.
    async fn all_tenant_ids(&self) -> Result<Vec<TenantId>, DbError>;

    /// Every digest that a version has, of deleted tenants and plugins as well.
    async fn all_digests(&self) -> Result<Vec<VersionDigest>, DbError>;
}
