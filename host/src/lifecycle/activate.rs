//! Activation of versions, and rollback.

use std::sync::Arc;

use super::{Activated, Lifecycle, LifecycleError};
use crate::components::LoadError;
use crate::components::bundle::StoredBundle;
use crate::domain::audit::Change;
use crate::domain::id::PluginName;
use crate::domain::plugin::{RollbackTarget, Version};
use crate::domain::resource::Resource;
use crate::domain::tenant::Tenant;
use crate::domain::version_name::VersionName;
use crate::storage::DbError;

/// Why a version became active.
#[derive(Clone, Copy)]
enum Cause {
    /// An explicit activation.
    OnPurpose,
    /// A rollback to the activation with this sequence.
    Rollback(i64),
}

impl Lifecycle {
    /// Activates a version: checks the grants, applies the plugin's migrations in one transaction,
    /// and makes the version active. Running requests finish with their version. `actor` is
    /// recorded in the audit log.
    pub async fn activate(
        &self,
        tenant: &Tenant,
        plugin: &PluginName,
        name: &VersionName,
        actor: &str,
    ) -> Result<Activated, LifecycleError> {
        let _lock = self.activations.lock(tenant.id).await;
        let version = self.named_version(tenant, plugin, name).await?;
        self.switch(tenant, plugin, version, Cause::OnPurpose, actor)
            .await
    }

    /// Activates the version that was active before and was not itself rolled back from.
    pub async fn roll_back(
        &self,
        tenant: &Tenant,
        plugin: &PluginName,
        actor: &str,
    ) -> Result<Activated, LifecycleError> {
        let _lock = self.activations.lock(tenant.id).await;
        if self.db.plugin(tenant.id, plugin).await?.is_none() {
            return Err(LifecycleError::NotFound(Resource::Plugin));
        }
        let target = self.db.rollback_target(tenant.id, plugin).await?;
        let RollbackTarget { digest, sequence } = target.ok_or(LifecycleError::NoRollback)?;
        let version = self.db.version(tenant.id, plugin, digest).await?;
        let version = version.ok_or(LifecycleError::NotFound(Resource::Version))?;
        self.switch(tenant, plugin, version, Cause::Rollback(sequence), actor)
            .await
    }

    async fn switch(
        &self,
        tenant: &Tenant,
        plugin: &PluginName,
        version: Version,
        cause: Cause,
        actor: &str,
    ) -> Result<Activated, LifecycleError> {
        let digest = version.digest;
        let missing = self
            .db
            .grants(tenant.id, plugin)
            .await?
            .missing_for(&version.manifest);
        if !missing.is_empty() {
            return Err(LifecycleError::GrantsMissing(missing));
        }
        let excess = self.exceeding_schedules(tenant, plugin, &version).await?;
        // A rollback is never refused because a limit was lowered since.
        let excess = match (excess, cause) {
            (Some(excess), Cause::OnPurpose) => return Err(LifecycleError::Schedules(excess)),
            (excess, _) => excess,
        };
        // The version is loaded before it becomes active, so that no request waits for it.
        if let Err(error) = self.runtime.load(digest).await {
            return Err(self.not_loaded(tenant, plugin, error).await);
        }
        let router = self
            .builder
            .router(&version)
            .await
            .map_err(LifecycleError::host)?;
        let _prepared = self.prepared.hold(tenant.id, digest, Arc::new(router));
        let (migrations, mut warnings) = self.migrate(tenant, plugin, &version).await?;
        warnings.extend(excess.map(|excess| excess.to_string()));
        warnings.extend(self.idle_limits(tenant, &version).await?);
        warnings.extend(self.unset_secrets(tenant, &version).await?);
        if tenant.suspended {
            warnings.push(format!(
                "the tenant {0} is suspended: all of its addresses answer 503 until an operator resumes it: `mortise \
                 tenants resume {0}`",
                tenant.name
            ));
        }
        let (action, rolled_back_to) = match cause {
            Cause::OnPurpose => ("plugin.activate", None),
            Cause::Rollback(sequence) => ("plugin.rollback", Some(sequence)),
        };
        let change = Change::new(actor, action, format!("{plugin} {digest}"), self.clock.now());
        let activation = match self
            .db
            .activate(tenant.id, plugin, digest, rolled_back_to, &change)
            .await
        {
            Err(DbError::Missing(_)) => return Err(LifecycleError::NotFound(Resource::Version)),
            activation => activation?,
        };
        // Activating the active version again also closes its circuit breakers.
        self.recover(tenant.id, plugin);
        self.refresh(tenant.id).await;
        Ok(Activated {
            activation,
            migrations,
            warnings,
            author_version: version.manifest.plugin.version.clone(),
        })
    }

    /// Why a version could not be loaded: it was deleted meanwhile, its files are damaged, or the
    /// host failed.
    async fn not_loaded(&self, tenant: &Tenant, plugin: &PluginName, error: LoadError) -> LifecycleError {
        let LoadError::Missing(digest) = error else {
            return error.into();
        };
        match self.db.version(tenant.id, plugin, digest).await {
            Ok(None) => LifecycleError::NotFound(Resource::Version),
            Ok(Some(_)) => LifecycleError::Unavailable(error.into()),
            Err(error) => error.into(),
        }
    }

    /// Applies pending migrations. A crash between this and the activation leaves the old version
    /// on the new schema, which expanding migrations support. The next activation then finds
    /// nothing pending.
    async fn migrate(
        &self,
        tenant: &Tenant,
        plugin: &PluginName,
        version: &Version,
    ) -> Result<(Vec<String>, Vec<String>), LifecycleError> {
        if version.manifest.database.is_none() {
            return Ok((Vec::new(), Vec::new()));
        }
        let bundle = StoredBundle::open(&self.runtime.components().source(version.digest).await?)?;
        let limits = self.limits(tenant).await?;
        let applied = self
            .services
            .databases
            .migrate(
                tenant.id,
                plugin,
                version.manifest.plugin.contract,
                &limits,
                &bundle.migrations,
            )
            .await?;
        self.db.note_databases(&[tenant.id]).await?;
        let mut warnings = applied.warnings;
        if !applied.beyond.is_empty() {
            warnings.push(format!(
                "the database has migrations that this version does not know: {}. They stay applied; make sure that \
                 this version works with them.",
                applied.beyond.join(", ")
            ));
        }
        Ok((applied.applied, warnings))
    }
}
