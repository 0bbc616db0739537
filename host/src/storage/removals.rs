//! Storage of pending deletions: tenants and plugins to purge, and files to remove.

use async_trait::async_trait;

use super::DbError;
use crate::domain::clock::Timestamp;
use crate::domain::id::{PluginName, TenantId, VersionDigest};

/// A file to remove, whose rows were deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// The database of a purged tenant.
    Database(TenantId),
    /// A component and its compiled code, unless a version has the digest again.
    Component(VersionDigest),
}

/// Pending deletions in the database.
#[async_trait]
pub trait Removals {
    /// The ids of tenants that were deleted before `before`.
    async fn tenants_deleted_before(&self, before: Timestamp) -> Result<Vec<TenantId>, DbError>;

    /// The plugins that were deleted before `before`, with their tenants.
    async fn plugins_deleted_before(&self, before: Timestamp)
    -> Result<Vec<(TenantId, PluginName)>, DbError>;

    /// The files that are marked for removal.
    async fn removals(&self) -> Result<Vec<Removal>, DbError>;

    /// Records that a file was removed, or that it is used again.
    async fn removal_done(&self, removal: Removal) -> Result<(), DbError>;

    /// Whether the tenant has a row, deleted or not.
    async fn has_tenant(&self, tenant: TenantId) -> Result<bool, DbError>;

    /// The ids of all tenants, deleted ones included.
    async fn all_tenant_ids(&self) -> Result<Vec<TenantId>, DbError>;

    /// The digests of all versions, those of deleted tenants and plugins included.
    async fn all_digests(&self) -> Result<Vec<VersionDigest>, DbError>;
}
