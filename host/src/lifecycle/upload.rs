//! Upload: bytes become a version.

use std::sync::Arc;

use bytes::Bytes;

use super::{Lifecycle, LifecycleError, Uploaded};
use crate::components::bundle::Bundle;
use crate::components::bundle::schema::Schemas;
use crate::domain::id::{PluginName, VersionDigest};
use crate::domain::limits::Limits;
use crate::domain::plugin::Version;
use crate::domain::tenant::Tenant;

impl Lifecycle {
    /// Takes a component as a version of `plugin`. The same bytes twice are the same version.
    pub async fn upload(
        &self,
        tenant: &Tenant,
        plugin: &PluginName,
        component: Bytes,
    ) -> Result<Uploaded, LifecycleError> {
        let limits = self.limits(tenant).await?;
        if component.len() > limits.component_size.as_usize() {
            return Err(LifecycleError::TooLarge(limits.component_size));
        }
        // Hashing and checking megabytes takes a while; other requests of the admin API go on meanwhile.
        let _upload = self.uploads.lock(tenant.id).await;
        self.check_plugins(tenant, plugin, &limits).await?;
        let bytes = component.clone();
        let checked =
            tokio::task::spawn_blocking(move || (VersionDigest::of(&bytes), Bundle::extract(&bytes)));
        let (digest, bundle) = checked.await.map_err(LifecycleError::host)?;
        if let Some(version) = self.db.version(tenant.id, plugin, digest).await? {
            return Ok(Uploaded {
                version,
                created: false,
            });
        }
        let bundle = bundle?;
        if bundle.manifest.plugin.name != *plugin {
            return Err(LifecycleError::InvalidManifest(format!(
                "plugin.toml: plugin.name is `{}`, but the upload is for `{plugin}`",
                bundle.manifest.plugin.name
            )));
        }
        let lowered = limits.lowered_by(&bundle.manifest.limits);
        let schemas = Schemas::of(&bundle.manifest, bundle.schemas);
        self.runtime.validators().try_schemas(&schemas, &lowered).await?;
        let version = Version {
            digest,
            manifest: Arc::new(bundle.manifest),
            manifest_text: bundle.manifest_text,
            size: u64::try_from(component.len()).unwrap_or(u64::MAX),
            created_at: self.clock.now(),
        };
        let created = self.add(tenant, plugin, &version, component, &limits).await?;
        self.give_up_old_versions(tenant, plugin, &limits, digest).await?;
        Ok(Uploaded { version, created })
    }

    /// Bytes of the compiled code of a version, where it is there.
    pub async fn compiled_size(&self, digest: VersionDigest) -> Result<Option<u64>, LifecycleError> {
        Ok(self.runtime.compiled_size(digest).await?)
    }

    /// Writes the files and then the row. Where there is no row in the end, there are no files.
    async fn add(
        &self,
        tenant: &Tenant,
        plugin: &PluginName,
        version: &Version,
        component: Bytes,
        limits: &Limits,
    ) -> Result<bool, LifecycleError> {
        let _files = self.files.lock(version.digest).await;
        let added = match self.take_in(version, component, limits).await {
            Ok(()) => {
                let _change = self.changes.lock(tenant.id).await;
                self.db
                    .add_version(tenant.id, plugin, version)
                    .await
                    .map_err(LifecycleError::from)
            }
            Err(error) => Err(error),
        };
        if added.is_err()
            && let Err(error) = self.remove_files(version.digest).await
        {
            // The next start removes them. What the caller is to know is why the upload failed.
            tracing::warn!(%error, version = %version.digest, "the files of a failed upload could not be removed");
        }
        added
    }

    async fn take_in(
        &self,
        version: &Version,
        component: Bytes,
        limits: &Limits,
    ) -> Result<(), LifecycleError> {
        self.runtime.take_in(component, limits.compiled_size).await?;
        if !version.manifest.routes.is_empty() && !self.runtime.load(version.digest).await?.handles_http() {
            return Err(LifecycleError::InvalidComponent(
                "the manifest has routes, but the component exports no `mortise:plugin/http-handler`"
                    .to_owned(),
            ));
        }
        Ok(())
    }

    async fn give_up_old_versions(
        &self,
        tenant: &Tenant,
        plugin: &PluginName,
        limits: &Limits,
        uploaded: VersionDigest,
    ) -> Result<(), LifecycleError> {
        let beyond = self.db.versions_beyond(tenant.id, plugin, limits.versions_kept);
        for digest in beyond.await? {
            // What was acknowledged a moment ago stays, also where nothing but the active version would.
            if digest != uploaded {
                self.delete_version_row(tenant, plugin, digest).await?;
            }
        }
        Ok(())
    }

    /// The row goes first: a component without a row is only a file too many.
    async fn delete_version_row(
        &self,
        tenant: &Tenant,
        plugin: &PluginName,
        digest: VersionDigest,
    ) -> Result<(), LifecycleError> {
        self.db.delete_version(tenant.id, plugin, digest).await?;
        self.remove_unused(digest).await
    }

    /// Removes the files of a component that no tenant has any more.
    pub(super) async fn remove_unused(&self, digest: VersionDigest) -> Result<(), LifecycleError> {
        let _files = self.files.lock(digest).await;
        self.remove_files(digest).await
    }

    /// The same, for who holds the lock of the files.
    async fn remove_files(&self, digest: VersionDigest) -> Result<(), LifecycleError> {
        if !self.db.is_digest_used(digest).await? {
            self.runtime.remove(digest).await?;
        }
        Ok(())
    }
}
