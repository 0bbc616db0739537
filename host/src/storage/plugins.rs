//! Plugins, their versions, and which version is active.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{DbError, Page};
use crate::domain::audit::Change;
use crate::domain::clock::Timestamp;
use crate::domain::id::{PluginName, TenantId, VersionDigest};
use crate::domain::plugin::{Activation, Plugin, RollbackTarget, Version};

/// A place in the list of versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionPosition {
    /// When the version was made.
    pub created_at: Timestamp,
    /// Which it is.
    pub digest: VersionDigest,
}

/// Plugins, versions and activations.
#[async_trait]
pub trait Plugins {
    /// The plugin of this name.
    async fn plugin(&self, tenant: TenantId, name: &PluginName) -> Result<Option<Plugin>, DbError>;

    /// The tenant's plugins by name.
    async fn plugins(&self, tenant: TenantId, page: Page<PluginName>) -> Result<Vec<Plugin>, DbError>;

    /// Switches a plugin off or on. `false` where it is not there.
    async fn set_plugin_disabled(
        &self,
        tenant: TenantId,
        name: &PluginName,
        disabled: bool,
        change: &Change,
    ) -> Result<bool, DbError>;

    /// Marks a plugin as deleted. From now on these methods find neither it nor its versions, unless they say
    /// so.
    /// `false` if it is not there, or deleted already.
    async fn delete_plugin(
        &self,
        tenant: TenantId,
        name: &PluginName,
        change: &Change,
    ) -> Result<bool, DbError>;

    /// The tenant's deleted plugins by name.
    async fn deleted_plugins(&self, tenant: TenantId, page: Page<PluginName>)
    -> Result<Vec<Plugin>, DbError>;

    /// Makes a deleted plugin what it was. `false` if there is no such deleted plugin.
    async fn restore_plugin(
        &self,
        tenant: TenantId,
        name: &PluginName,
        change: &Change,
    ) -> Result<bool, DbError>;

    /// Removes a plugin, deleted or not, with its versions, grants and settings, and records which files are
    /// to be removed. `false` if it is not there.
    async fn purge_plugin(
        &self,
        tenant: TenantId,
        name: &PluginName,
        change: &Change,
    ) -> Result<bool, DbError>;

    /// Records a version, and the plugin with its first one. `false` if this digest is there already.
    /// [`DbError::Missing`] if the tenant is not there, [`DbError::Reserved`] if the plugin was deleted.
    async fn add_version(
        &self,
        tenant: TenantId,
        plugin: &PluginName,
        version: &Version,
        change: &Change,
    ) -> Result<bool, DbError>;

    /// One version.
    async fn version(
        &self,
        tenant: TenantId,
        plugin: &PluginName,
        digest: VersionDigest,
    ) -> Result<Option<Version>, DbError>;

    /// Versions, the newest first.
    async fn versions(
        &self,
        tenant: TenantId,
        plugin: &PluginName,
        page: Page<VersionPosition>,
    ) -> Result<Vec<Version>, DbError>;

    /// Deletes a version and records that its files are to be removed. [`DbError::InUse`] if it is active;
    /// `false` if it is not there.
    async fn delete_version(
        &self,
        tenant: TenantId,
        plugin: &PluginName,
        digest: VersionDigest,
        change: &Change,
    ) -> Result<bool, DbError>;

    /// The versions to give up so that `keep` are left: the oldest ones that are not active, the oldest first.
    async fn versions_beyond(
        &self,
        tenant: TenantId,
        plugin: &PluginName,
        keep: u32,
    ) -> Result<Vec<VersionDigest>, DbError>;

    /// Whether any tenant has a version of this digest, so that its bytes must stay.
    async fn is_digest_used(&self, digest: VersionDigest) -> Result<bool, DbError>;

    /// Makes a version the active one and records the activation. A rollback says which activation
    /// it goes back to. What differs in the change is the active version, which is read in the same
    /// transaction. [`DbError::Missing`] if the version is not there.
    async fn activate(
        &self,
        tenant: TenantId,
        plugin: &PluginName,
        digest: VersionDigest,
        rolled_back_to: Option<i64>,
        change: &Change,
    ) -> Result<Activation, DbError>;

    /// Activations, the newest first. The position is their sequence.
    async fn activations(
        &self,
        tenant: TenantId,
        plugin: &PluginName,
        page: Page<i64>,
    ) -> Result<Vec<Activation>, DbError>;

    /// The newest version that was active before the active one, still exists and was not itself rolled back
    /// from since the last explicit activation.
    async fn rollback_target(
        &self,
        tenant: TenantId,
        plugin: &PluginName,
    ) -> Result<Option<RollbackTarget>, DbError>;
}
