//! Deletes tenants and plugins. A deleted one stops serving at once and can be restored until it is
//! purged.

use super::{Lifecycle, LifecycleError};
use crate::domain::audit::Change;
use crate::domain::id::{PluginName, TenantId};
use crate::domain::tenant::Tenant;

impl Lifecycle {
    /// Deletes a tenant. Its name stays reserved and its data is kept until the grace period is
    /// over. `false` if there is no such tenant.
    pub async fn delete_tenant(&self, tenant: TenantId, change: &Change) -> Result<bool, LifecycleError> {
        // The lock prevents an older refresh from serving the tenant again.
        let _lock = self.changes.lock(tenant).await;
        let deleted = self.db.delete_tenant(tenant, change).await?;
        self.stop_serving(tenant);
        Ok(deleted)
    }

    /// Restores a deleted tenant. `false` if there is no such tenant.
    pub async fn restore_tenant(&self, tenant: TenantId, change: &Change) -> Result<bool, LifecycleError> {
        let restored = self.db.restore_tenant(tenant, change).await?;
        self.refresh(tenant).await;
        Ok(restored)
    }

    /// Purges a tenant, deleted or not, with all of its data except the audit log. This cannot be
    /// undone. Its files are removed soon afterwards. `false` if there is no such tenant.
    pub async fn purge_tenant(&self, tenant: TenantId, change: &Change) -> Result<bool, LifecycleError> {
        let purged = {
            let _lock = self.changes.lock(tenant).await;
            let purged = self.db.purge_tenant(tenant, change).await?;
            self.stop_serving(tenant);
            purged
        };
        self.purged.notify_one();
        Ok(purged)
    }

    /// Deletes a plugin. Its name stays reserved, and its versions, grants and settings are kept
    /// until the grace period is over. Its data in the tenant's database is never deleted, since
    /// other plugins may use it. `false` if there is no such plugin.
    pub async fn delete_plugin(
        &self,
        tenant: &Tenant,
        plugin: &PluginName,
        change: &Change,
    ) -> Result<bool, LifecycleError> {
        let deleted = self.db.delete_plugin(tenant.id, plugin, change).await?;
        self.refresh(tenant.id).await;
        Ok(deleted)
    }

    /// Restores a deleted plugin, unless its schedules are more than the tenant may have. `false`
    /// if there is no such deleted plugin.
    pub async fn restore_plugin(
        &self,
        tenant: &Tenant,
        plugin: &PluginName,
        change: &Change,
    ) -> Result<bool, LifecycleError> {
        // The lock prevents an activation from adding schedules after the check.
        let _lock = self.activations.lock(tenant.id).await;
        self.check_restored_schedules(tenant, plugin).await?;
        let restored = self.db.restore_plugin(tenant.id, plugin, change).await?;
        self.refresh(tenant.id).await;
        Ok(restored)
    }

    /// Purges a plugin, deleted or not, with its versions, grants and settings. This cannot be
    /// undone. `false` if there is no such plugin.
    pub async fn purge_plugin(
        &self,
        tenant: &Tenant,
        plugin: &PluginName,
        change: &Change,
    ) -> Result<bool, LifecycleError> {
        let purged = self.db.purge_plugin(tenant.id, plugin, change).await?;
        self.refresh(tenant.id).await;
        self.purged.notify_one();
        Ok(purged)
    }
}
