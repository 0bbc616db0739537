//! Activation: a version becomes the one that serves. And the way back.

use super::{Activated, Lifecycle, LifecycleError};
use crate::components::bundle::Bundle;
use crate::domain::id::{PluginName, VersionDigest};
use crate::domain::plugin::Version;
use crate::domain::tenant::Tenant;
use crate::storage::DbError;

impl Lifecycle {
    /// Makes a version the active one: checks the grants, applies the plugin's migrations in one transaction, and
    /// switches. Requests that run go on with the version that they began with. `actor` is recorded.
    pub async fn activate(
        &self,
        tenant: &Tenant,
        plugin: &PluginName,
        digest: VersionDigest,
        actor: &str,
    ) -> Result<Activated, LifecycleError> {
        let _turn = self.changes.lock(tenant.id).await;
        self.switch(tenant, plugin, digest, actor).await
    }

    /// Makes the version active that was so before.
    pub async fn go_back(
        &self,
        tenant: &Tenant,
        plugin: &PluginName,
        actor: &str,
    ) -> Result<Activated, LifecycleError> {
        let _turn = self.changes.lock(tenant.id).await;
        let previous = self.db.previous_version(tenant.id, plugin).await?;
        let previous = previous.ok_or(LifecycleError::NotFound("version to go back to"))?;
        self.switch(tenant, plugin, previous, actor).await
    }

    async fn switch(
        &self,
        tenant: &Tenant,
        plugin: &PluginName,
        digest: VersionDigest,
        actor: &str,
    ) -> Result<Activated, LifecycleError> {
        let version = self
            .db
            .version(tenant.id, plugin, digest)
            .await?
            .ok_or(LifecycleError::NotFound("version"))?;
        let missing = self
            .db
            .grants(tenant.id, plugin)
            .await?
            .missing_for(&version.manifest);
        if !missing.is_empty() {
            return Err(LifecycleError::GrantsMissing(missing));
        }
        // Loaded before the switch, so that no request waits for it.
        self.runtime.load(digest).await?;
        self.builder
            .router(&version)
            .await
            .map_err(LifecycleError::host)?;
        let (migrations, warnings) = self.migrate(tenant, plugin, &version).await?;
        let activation = match self
            .db
            .activate(tenant.id, plugin, digest, actor, self.clock.now())
            .await
        {
            Err(DbError::Missing(_)) => return Err(LifecycleError::NotFound("version")),
            activation => activation?,
        };
        // Also where the same version is activated again: whoever does so wants it tried anew.
        self.recover(tenant.id, plugin);
        self.rebuild(tenant.id).await?;
        Ok(Activated {
            activation,
            migrations,
            warnings,
        })
    }

    /// Applies what is pending. A crash after this and before the switch leaves the old version on the new schema,
    /// which is what expanding migrations are for; the next activation finds nothing pending.
    async fn migrate(
        &self,
        tenant: &Tenant,
        plugin: &PluginName,
        version: &Version,
    ) -> Result<(Vec<String>, Vec<String>), LifecycleError> {
        if version.manifest.database.is_none() {
            return Ok((Vec::new(), Vec::new()));
        }
        let bundle = Bundle::extract(&self.runtime.component(version.digest).await?)?;
        let limits = self.limits(tenant).await?;
        let applied = self
            .services
            .databases
            .migrate(tenant.id, plugin, &limits, &bundle.migrations)
            .await?;
        let warnings = if applied.beyond.is_empty() {
            Vec::new()
        } else {
            vec![format!(
                "the database has migrations that this version does not know: {}. They stay applied; make sure that \
                 this version works with them.",
                applied.beyond.join(", ")
            )]
        };
        Ok((applied.applied, warnings))
    }
}
