//! Finds the version that a name means, and deletes versions.

use super::{Lifecycle, LifecycleError};
use crate::domain::audit::Change;
use crate::domain::id::{PluginName, VersionDigest};
use crate::domain::plugin::Version;
use crate::domain::tenant::Tenant;
use crate::domain::version_name::{NamedVersion, VersionName};
use crate::storage::{DbError, Page, VersionPosition};

/// Versions that are read at once. Each has its manifest with it.
const VERSIONS_AT_ONCE: u32 = 50;

/// Versions that an error lists.
const MAX_CANDIDATES: usize = 10;

impl Lifecycle {
    /// The version of a plugin that `name` means. An error lists those that it may mean.
    pub async fn named_version(
        &self,
        tenant: &Tenant,
        plugin: &PluginName,
        name: &VersionName,
    ) -> Result<Version, LifecycleError> {
        if self.db.plugin(tenant.id, plugin).await?.is_none() {
            return Err(LifecycleError::NotFound("plugin"));
        }
        if let Some(digest) = name.digest()
            && let Some(version) = self.db.version(tenant.id, plugin, digest).await?
        {
            return Ok(version);
        }
        let mut found: Vec<NamedVersion> = Vec::new();
        let mut newest: Vec<NamedVersion> = Vec::new();
        let mut only = None;
        let mut page = Page::first(VERSIONS_AT_ONCE);
        loop {
            let versions = self.db.versions(tenant.id, plugin, page).await?;
            let Some(last) = versions.last() else { break };
            let position = VersionPosition {
                created_at: last.created_at,
                digest: last.digest,
            };
            page = Page::after(position, VERSIONS_AT_ONCE);
            for version in versions {
                if newest.len() < MAX_CANDIDATES {
                    newest.push((&version).into());
                }
                if name.names(&version) {
                    found.push((&version).into());
                    only = Some(version);
                }
            }
        }
        match (only, found.len()) {
            (Some(version), 1) => Ok(version),
            (None, _) => Err(LifecycleError::NoSuchVersion {
                name: name.clone(),
                candidates: newest,
            }),
            (Some(_), _) => {
                found.truncate(MAX_CANDIDATES);
                Err(LifecycleError::AmbiguousVersion {
                    name: name.clone(),
                    candidates: found,
                })
            }
        }
    }

    /// Deletes a version with its files, unless it is the active one.
    pub async fn delete_version(
        &self,
        tenant: &Tenant,
        plugin: &PluginName,
        digest: VersionDigest,
        change: &Change,
    ) -> Result<(), LifecycleError> {
        let _turn = self.activations.lock(tenant.id).await;
        match self.db.delete_version(tenant.id, plugin, digest, change).await {
            Ok(true) => self.remove_unused(digest).await,
            Ok(false) => Err(LifecycleError::NotFound("version")),
            Err(DbError::InUse(_)) => Err(LifecycleError::VersionActive),
            Err(error) => Err(error.into()),
        }
    }
}
