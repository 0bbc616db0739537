//! Deletion: a recorded state with a grace period. What is deleted is gone for callers at once and can be
//! restored until it is purged.

use super::{Lifecycle, LifecycleError};
use crate::domain::audit::Change;
use crate::domain::id::{PluginName, TenantId};
use crate::domain::tenant::Tenant;

impl Lifecycle {
    /// Deletes a tenant. Its name stays reserved and its data stays, until the grace period is over. `false`
    /// if it is not there.
    pub async fn delete_tenant(&self, tenant: TenantId, change: &Change) -> Result<bool, LifecycleError> {
        // A refresh that has read the tenant before must not serve it again.
        let _turn = self.changes.lock(tenant).await;
        let deleted = self.db.delete_tenant(tenant, change).await?;
        self.stop_serving(tenant);
        Ok(deleted)
    }

    /// Makes a deleted tenant what it was. `false` if it is not there.
    pub async fn restore_tenant(&self, tenant: TenantId, change: &Change) -> Result<bool, LifecycleError> {
        let restored = self.db.restore_tenant(tenant, change).await?;
        self.refresh(tenant).await;
        Ok(restored)
    }

    /// Deletes a tenant, deleted before or not, with all of its data except the audit log. This cannot be
    /// undone. Its files are removed soon after. `false` if it is not there.
    pub async fn purge_tenant(&self, tenant: TenantId, change: &Change) -> Result<bool, LifecycleError> {
        let purged = {
            let _turn = self.changes.lock(tenant).await;
            let purged = self.db.purge_tenant(tenant, change).await?;
            self.stop_serving(tenant);
            purged
        };
        self.purged.notify_one();
        Ok(purged)
    }

    /// Deletes a plugin. Its name stays reserved, and its versions, grants and settings stay, until the grace
    /// period is over. What it stored in the tenant's database stays for good, since other plugins of the
    /// tenant may use it.
    /// `false` if it is not there.
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

    /// Makes a deleted plugin what it was. `false` if there is no such deleted plugin.
    pub async fn restore_plugin(
        &self,
        tenant: &Tenant,
        plugin: &PluginName,
        change: &Change,
    ) -> Result<bool, LifecycleError> {
        let restored = self.db.restore_plugin(tenant.id, plugin, change).await?;
        self.refresh(tenant.id).await;
        Ok(restored)
    }

    /// Deletes a plugin, deleted before or not, with its versions, grants and settings. Nothing brings it
    /// back. `false` if it is not there.
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
