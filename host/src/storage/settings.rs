//! Storage of plugins' grants and settings.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::DbError;
use crate::domain::audit::Change;
use crate::domain::grant::Grants;
use crate::domain::id::{PluginName, TenantId};

/// Grants and settings in the database. A change for a missing plugin is [`DbError::Missing`].
#[async_trait]
pub trait Settings {
    /// The plugin's grants; empty if nothing was ever granted.
    async fn grants(&self, tenant: TenantId, plugin: &PluginName) -> Result<Grants, DbError>;

    /// Replaces the plugin's grants.
    async fn put_grants(
        &self,
        tenant: TenantId,
        plugin: &PluginName,
        grants: &Grants,
        change: &Change,
    ) -> Result<(), DbError>;

    /// The plugin's settings by name.
    async fn config(
        &self,
        tenant: TenantId,
        plugin: &PluginName,
    ) -> Result<BTreeMap<String, String>, DbError>;

    /// Replaces all settings.
    async fn put_config(
        &self,
        tenant: TenantId,
        plugin: &PluginName,
        config: &BTreeMap<String, String>,
        change: &Change,
    ) -> Result<(), DbError>;

    /// Sets one setting. Removes it if the value is `None`.
    async fn put_config_value(
        &self,
        tenant: TenantId,
        plugin: &PluginName,
        name: &str,
        value: Option<&str>,
        change: &Change,
    ) -> Result<(), DbError>;
}
