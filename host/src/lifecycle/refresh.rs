//! Keeps what serves requests in line with what is stored.

use std::sync::Arc;

use super::{Lifecycle, LifecycleError};
use crate::domain::id::{PluginName, TenantId};
use crate::domain::limits::Limits;
use crate::domain::tenant::Tenant;
use crate::storage::RoutedTenant;
use crate::tenants::{ApiKeys, TenantRoutes};

impl Lifecycle {
    /// Serves a tenant as it is stored now, or no more where it was deleted. To be called after every change to a
    /// tenant: its plan, its grants, its settings, its secrets, its keys.
    pub async fn refresh(&self, tenant: TenantId) -> Result<(), LifecycleError> {
        let _turn = self.changes.lock(tenant).await;
        self.rebuild(tenant).await
    }

    /// The same for several tenants, in the order in which all callers give them: what serves is
    /// swapped once for all.
    pub async fn refresh_many(&self, tenants: &[TenantId]) -> Result<(), LifecycleError> {
        let (mut turns, mut built) = (Vec::new(), Vec::new());
        for tenant in tenants {
            turns.push(self.changes.lock(*tenant).await);
            match self.db.routed_tenant(*tenant).await? {
                Some(stored) => built.push(self.build(stored).await?),
                None => self.rebuild(*tenant).await?,
            }
        }
        self.routing.put(built);
        Ok(())
    }

    /// Serves all tenants as they are stored, and no others.
    pub async fn refresh_all(&self) -> Result<(), LifecycleError> {
        let mut tenants = Vec::new();
        for id in self.db.tenant_ids().await? {
            if let Some(stored) = self.db.routed_tenant(id).await? {
                tenants.push(self.build(stored).await?);
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
        let plan = self.db.plan(&tenant.plan).await?;
        let plan = plan.ok_or(LifecycleError::NotFound("plan"))?;
        Ok(self.builder.limits(tenant, &plan))
    }

    pub(super) async fn rebuild(&self, tenant: TenantId) -> Result<(), LifecycleError> {
        match self.db.routed_tenant(tenant).await? {
            Some(stored) => self.routing.put(vec![self.build(stored).await?]),
            None => {
                self.routing.remove(tenant);
                self.services.caches.forget_tenant(tenant);
                self.services.http.forget_tenant(tenant);
                self.sweep().await?;
            }
        }
        Ok(())
    }

    /// Builds a tenant. The keys of one that is served already are in line: they change only with
    /// [`Self::add_api_key`] and [`Self::revoke_api_key`].
    async fn build(&self, stored: RoutedTenant) -> Result<TenantRoutes, LifecycleError> {
        let known = self.routing.tenant_by_id(stored.tenant.id);
        let api_keys = match &known {
            Some(known) => known.api_keys.clone(),
            None => {
                let keys = self.db.valid_api_keys(stored.tenant.id, self.clock.now());
                Arc::new(ApiKeys::new(keys.await?))
            }
        };
        Ok(self.builder.tenant(stored, api_keys, known.as_deref()).await)
    }
}
