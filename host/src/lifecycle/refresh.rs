//! Keeps what serves requests in line with what is stored.

use super::{Lifecycle, LifecycleError};
use crate::domain::id::{PluginName, TenantId};
use crate::domain::limits::Limits;
use crate::domain::tenant::Tenant;

impl Lifecycle {
    /// Serves a tenant as it is stored now, or no more where it was deleted. To be called after every change to a
    /// tenant: its plan, its grants, its settings, its secrets, its keys.
    pub async fn refresh(&self, tenant: TenantId) -> Result<(), LifecycleError> {
        let _turn = self.changes.lock(tenant).await;
        self.rebuild(tenant).await
    }

    /// Serves all tenants as they are stored, and no others.
    pub async fn refresh_all(&self) -> Result<(), LifecycleError> {
        let mut tenants = Vec::new();
        for id in self.db.tenant_ids().await? {
            if let Some(stored) = self.db.routed_tenant(id, self.clock.now()).await? {
                let known = self.routing.tenant_by_id(id);
                tenants.push(self.builder.tenant(stored, known.as_deref()).await);
            }
        }
        self.routing.replace(tenants);
        Ok(())
    }

    /// Deletes a plugin with its versions, grants and settings. What it stored in the tenant's database stays, since
    /// other plugins of the tenant may use it. `false` where it was not there.
    pub async fn delete_plugin(&self, tenant: &Tenant, plugin: &PluginName) -> Result<bool, LifecycleError> {
        let _turn = self.changes.lock(tenant.id).await;
        let digests = self.db.versions_beyond(tenant.id, plugin, 0).await?;
        let active = self
            .db
            .plugin(tenant.id, plugin)
            .await?
            .and_then(|plugin| plugin.active);
        let deleted = self.db.delete_plugin(tenant.id, plugin).await?;
        self.rebuild(tenant.id).await?;
        for digest in digests.into_iter().chain(active) {
            self.remove_unused(digest).await?;
        }
        Ok(deleted)
    }

    /// The limits of a tenant.
    pub async fn limits(&self, tenant: &Tenant) -> Result<Limits, LifecycleError> {
        let stored = self.db.routed_tenant(tenant.id, self.clock.now()).await?;
        stored
            .map(|stored| self.builder.limits(&stored))
            .ok_or(LifecycleError::NotFound("tenant"))
    }

    pub(super) async fn rebuild(&self, tenant: TenantId) -> Result<(), LifecycleError> {
        match self.db.routed_tenant(tenant, self.clock.now()).await? {
            Some(stored) => {
                let known = self.routing.tenant_by_id(tenant);
                self.routing
                    .put(self.builder.tenant(stored, known.as_deref()).await);
            }
            None => {
                self.routing.remove(tenant);
                self.services.caches.forget_tenant(tenant);
                self.services.http.forget_tenant(tenant);
                self.sweep().await?;
            }
        }
        Ok(())
    }
}
