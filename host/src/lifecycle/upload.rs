//! Upload of a component as a version of a plugin.

use std::sync::Arc;

use bytes::Bytes;

use super::{Lifecycle, LifecycleError, Uploaded};
use crate::components::DescribedManifest;
use crate::components::bundle::schema::Schemas;
use crate::components::bundle::{Bundle, BundleError, StoredBundle};
use crate::components::store::VerifiedComponent;
use crate::domain::audit::Change;
use crate::domain::id::{PluginName, VersionDigest};
use crate::domain::limits::Limits;
use crate::domain::plugin::Version;
use crate::domain::template::Templates;
use crate::domain::tenant::Tenant;
use crate::domain::units::as_u64;
use crate::sandbox::TemplateError;
use crate::unguarded::{Guard, is_off};

impl Lifecycle {
    /// Stores a component as a version of `plugin`. The same bytes are the same version. `actor` is
    /// recorded in the audit log.
    pub async fn upload(
        &self,
        tenant: &Tenant,
        plugin: &PluginName,
        component: Bytes,
        actor: &str,
    ) -> Result<Uploaded, LifecycleError> {
        let limits = self.limits(tenant).await?;
        if component.len() > limits.component_size.as_usize() {
            return Err(LifecycleError::TooLarge(limits.component_size));
        }
        let _upload = self.uploads.lock(tenant.id).await;
        self.check_plugins(tenant, plugin, &limits).await?;
        // A blocking thread computes the digest, so that other requests of the admin API continue.
        let component = tokio::task::spawn_blocking(move || VerifiedComponent::new(component));
        let component = component.await.map_err(LifecycleError::host)?;
        let digest = component.digest();
        if let Some(version) = self.db.version(tenant.id, plugin, digest).await? {
            // Uploading the same bytes again repairs damaged files.
            self.repair(&component).await?;
            self.refresh_failed(tenant.id).await;
            return Ok(Uploaded {
                version,
                created: false,
                warnings: Vec::new(),
            });
        }
        let (version, created) = self.add(tenant, plugin, &component, &limits, actor).await?;
        self.give_up_old_versions(tenant, plugin, &limits, digest).await;
        // The upload has succeeded, even if the other versions cannot be read.
        let warning = self.shared_name(tenant, plugin, &version).await;
        let warning = warning.unwrap_or_else(|error| {
            tracing::warn!(%error, tenant = %tenant.name, %plugin, "the versions of a plugin could not be listed");
            None
        });
        Ok(Uploaded {
            version,
            created,
            warnings: warning.into_iter().collect(),
        })
    }

    /// Size of a version's compiled code, if there is any.
    pub async fn compiled_size(&self, digest: VersionDigest) -> Result<Option<u64>, LifecycleError> {
        Ok(self.runtime.components().compiled_size(digest).await?)
    }

    /// Compiles the component, stores it, and writes the row. If the row is not written, the files
    /// are removed again.
    async fn add(
        &self,
        tenant: &Tenant,
        plugin: &PluginName,
        component: &VerifiedComponent,
        limits: &Limits,
        actor: &str,
    ) -> Result<(Version, bool), LifecycleError> {
        let digest = component.digest();
        let _files = self.files.lock(digest).await;
        let added = async {
            let DescribedManifest { manifest, text } = self.take_in(plugin, component, limits).await?;
            let version = Version {
                digest,
                manifest: Arc::new(manifest),
                manifest_text: text,
                size: as_u64(component.bytes().len()),
                created_at: self.clock.now(),
            };
            let created = self.name(tenant, plugin, component, &version, actor).await?;
            Ok((version, created))
        };
        let added = added.await;
        if added.is_err()
            && let Err(error) = self.evict_unused(digest).await
        {
            // The caller reports the upload's own error.
            tracing::warn!(%error, version = %digest, "the compiled code of a failed upload could not be removed");
        }
        added
    }

    /// Stores a checked component and writes the row of its version.
    async fn name(
        &self,
        tenant: &Tenant,
        plugin: &PluginName,
        component: &VerifiedComponent,
        version: &Version,
        actor: &str,
    ) -> Result<bool, LifecycleError> {
        let subject = format!("{plugin} {}", version.digest);
        let change = Change::new(actor, "version.upload", subject, version.created_at);
        let lease = self.store(component).await?;
        match self.db.add_version(tenant.id, plugin, version, &change).await {
            Ok(created) => {
                self.keep(component, lease).await;
                Ok(created)
            }
            Err(error) => {
                self.take_back(lease).await;
                Err(error.into())
            }
        }
    }

    /// Reads, checks and compiles an upload in the worker, and checks its schemas and its mail
    /// templates in sandboxes.
    async fn take_in(
        &self,
        plugin: &PluginName,
        component: &VerifiedComponent,
        limits: &Limits,
    ) -> Result<DescribedManifest, LifecycleError> {
        if is_off(Guard::ManifestsApart) {
            drop(Bundle::extract(component.bytes())?);
        }
        let taken_in = self
            .runtime
            .components()
            .take_in(plugin, component, limits.compiled_size);
        let described = taken_in.await?;
        self.check_ceiling(&described.manifest)?;
        self.check_uploaded_schedules(&described.manifest, limits).await?;
        let component = component.bytes().clone();
        let stored = tokio::task::spawn_blocking(move || StoredBundle::open(&component));
        let stored = stored.await.map_err(LifecycleError::host)??;
        let lowered = limits.lowered_by(&described.manifest.limits);
        let schemas = Schemas::of(&described.manifest, stored.schemas);
        self.runtime.validators().try_schemas(&schemas, &lowered).await?;
        let templates = Templates::new(stored.templates);
        let checked = self.runtime.renderers().try_templates(&templates, &lowered).await;
        let folder = described.manifest.templates().unwrap_or_default();
        checked.map_err(|error| match error {
            TemplateError::Refused(problem) => BundleError::Template(format!("{folder}/{problem}")).into(),
            TemplateError::Unavailable(_) => LifecycleError::Unavailable(error.into()),
            TemplateError::Host(_) => LifecycleError::host(error),
        })?;
        Ok(described)
    }
}
