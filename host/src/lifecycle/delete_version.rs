//! Deletes versions, and the files of components that no version uses any more.

use super::{Lifecycle, LifecycleError};
use crate::domain::audit::Change;
use crate::domain::id::{PluginName, VersionDigest};
use crate::domain::limits::Limits;
use crate::domain::resource::Resource;
use crate::domain::tenant::Tenant;
use crate::storage::DbError;

impl Lifecycle {
    /// Deletes a version with its files, unless it is the active one.
    pub async fn delete_version(
        &self,
        tenant: &Tenant,
        plugin: &PluginName,
        digest: VersionDigest,
        change: &Change,
    ) -> Result<(), LifecycleError> {
        let _lock = self.activations.lock(tenant.id).await;
        match self.db.delete_version(tenant.id, plugin, digest, change).await {
            Ok(true) => self.remove_unused(digest).await,
            Ok(false) => Err(LifecycleError::NotFound(Resource::Version)),
            Err(DbError::InUse(_)) => Err(LifecycleError::VersionActive),
            Err(error) => Err(error.into()),
        }
    }

    /// Deletes the oldest versions above the limit. A failure does not affect the upload; the next
    /// one tries again.
    pub(super) async fn give_up_old_versions(
        &self,
        tenant: &Tenant,
        plugin: &PluginName,
        limits: &Limits,
        uploaded: VersionDigest,
    ) {
        let beyond = self
            .db
            .versions_beyond(tenant.id, plugin, limits.versions_kept)
            .await;
        let beyond = beyond.unwrap_or_else(|error| {
            tracing::warn!(%error, tenant = %tenant.name, %plugin, "old versions could not be listed");
            Vec::new()
        });
        for digest in beyond {
            // The version that was just uploaded is kept, even if only the active version could
            // stay.
            if digest == uploaded {
                continue;
            }
            if let Err(error) = self.delete_version_row(tenant, plugin, digest).await {
                tracing::warn!(
                    %error, tenant = %tenant.name, %plugin, version = %digest,
                    "an old version could not be deleted"
                );
            }
        }
    }

    /// Deletes the row first: a component without a row is only a superfluous file.
    async fn delete_version_row(
        &self,
        tenant: &Tenant,
        plugin: &PluginName,
        digest: VersionDigest,
    ) -> Result<(), LifecycleError> {
        let subject = format!("{plugin} {digest}");
        let change = Change::new(Change::HOST, "version.delete", subject, self.clock.now());
        match self.db.delete_version(tenant.id, plugin, digest, &change).await {
            // The version was activated meanwhile, so it is kept.
            Err(DbError::InUse(_)) => return Ok(()),
            deleted => deleted?,
        };
        self.remove_unused(digest).await
    }
}
