//! Storage of plugins, their versions and activations.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{DbError, Page};
use crate::domain::audit::Change;
use crate::domain::clock::Timestamp;
use crate::domain::id::{PluginName, TenantId, VersionDigest};
use crate::domain::plugin::{Activation, Plugin, RollbackTarget, Version};

/// A position in the list of versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionPosition {
    /// Time of the first upload.
    pub created_at: Timestamp,
    /// The version.
    pub digest: VersionDigest,
}

/// Plugins, versions and activations in the database.
#[async_trait]
pub trait Plugins {
    /// A plugin by name.
    async fn plugin(&self, tenant: TenantId, name: &PluginName) -> Result<Option<Plugin>, DbError>;

    /// Lists a tenant's plugins by name.
    async fn plugins(&self, tenant: TenantId, page: Page<PluginName>) -> Result<Vec<Plugin>, DbError>;

    /// Disables or enables a plugin. `false` if there is no such plugin.
    async fn set_plugin_disabled(
        &self,
        tenant: TenantId,
        name: &PluginName,
        disabled: bool,
        change: &Change,
    ) -> Result<bool, DbError>;

    /// Marks a plugin as deleted. Other methods then no longer find it or its versions, unless they
    /// say so. `false` if there is no such plugin, or it is deleted already.
    async fn delete_plugin(
        &self,
        tenant: TenantId,
        name: &PluginName,
        change: &Change,
    ) -> Result<bool, DbError>;

    /// Lists a tenant's deleted plugins by name.
    async fn deleted_plugins(&self, tenant: TenantId, page: Page<PluginName>)
    -> Result<Vec<Plugin>, DbError>;

    /// The active version of a deleted plugin, which serves again if the plugin is restored.
    async fn deleted_active_version(
        &self,
        tenant: TenantId,
        name: &PluginName,
    ) -> Result<Option<Version>, DbError>;

    /// Restores a deleted plugin. `false` if there is no such deleted plugin.
    async fn restore_plugin(
        &self,
        tenant: TenantId,
        name: &PluginName,
        change: &Change,
    ) -> Result<bool, DbError>;

    /// Purges a plugin, deleted or not, with its versions, grants and settings, and marks its files
    /// for removal. `false` if there is no such plugin.
    async fn purge_plugin(
        &self,
        tenant: TenantId,
        name: &PluginName,
        change: &Change,
    ) -> Result<bool, DbError>;

    /// Adds a version, and the plugin with its first one. `false` if the digest exists already.
    /// [`DbError::Missing`] if there is no such tenant, [`DbError::Reserved`] if the plugin was
    /// deleted.
    async fn add_version(
        &self,
        tenant: TenantId,
        plugin: &PluginName,
        version: &Version,
        change: &Change,
    ) -> Result<bool, DbError>;

    /// A version by digest.
    async fn version(
        &self,
        tenant: TenantId,
        plugin: &PluginName,
        digest: VersionDigest,
    ) -> Result<Option<Version>, DbError>;

    /// Lists versions, the newest first.
    async fn versions(
        &self,
        tenant: TenantId,
        plugin: &PluginName,
        page: Page<VersionPosition>,
    ) -> Result<Vec<Version>, DbError>;

    /// Deletes a version and marks its files for removal. [`DbError::InUse`] if it is active;
    /// `false` if there is no such version.
    async fn delete_version(
        &self,
        tenant: TenantId,
        plugin: &PluginName,
        digest: VersionDigest,
        change: &Change,
    ) -> Result<bool, DbError>;

    /// The versions to delete so that `keep` remain: the oldest inactive ones, the oldest first.
    async fn versions_beyond(
        &self,
        tenant: TenantId,
        plugin: &PluginName,
        keep: u32,
    ) -> Result<Vec<VersionDigest>, DbError>;

    /// Whether any tenant has a version with this digest.
    async fn is_digest_used(&self, digest: VersionDigest) -> Result<bool, DbError>;

    /// Activates a version and records the activation. `rolled_back_to` is the activation that a
    /// rollback restores. The difference of the change is the active version, which is read in the
    /// same transaction. [`DbError::Missing`] if there is no such version.
    async fn activate(
        &self,
        tenant: TenantId,
        plugin: &PluginName,
        digest: VersionDigest,
        rolled_back_to: Option<i64>,
        change: &Change,
    ) -> Result<Activation, DbError>;

    /// Lists activations, the newest first. The position is the sequence.
    async fn activations(
        &self,
        tenant: TenantId,
        plugin: &PluginName,
        page: Page<i64>,
    ) -> Result<Vec<Activation>, DbError>;

    /// The target of a rollback: the newest stored version that was active before the active one
    /// and was not rolled back from since the last explicit activation.
    async fn rollback_target(
        &self,
        tenant: TenantId,
        plugin: &PluginName,
    ) -> Result<Option<RollbackTarget>, DbError>;
}
