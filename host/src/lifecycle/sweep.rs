//! Purges tenants and plugins after their grace period, and removes the files of purged ones.
//!
//! Only files that the control plane's database marks for removal are removed. Unknown files are
//! kept, since the database may be an old copy.

use super::{Lifecycle, LifecycleError};
use crate::domain::audit::Change;
use crate::storage::Removal;

impl Lifecycle {
    /// Purges what was deleted before the grace period, and removes the files that are marked for
    /// removal. It only holds the locks of these files.
    pub async fn sweep(&self) -> Result<(), LifecycleError> {
        let now = self.clock.now();
        let before = now.saturating_sub(self.grace);
        let change = |action: &str, subject: String| Change::new(Change::HOST, action, subject, now);
        for (tenant, plugin) in self.db.plugins_deleted_before(before).await? {
            let purge = change("plugin.purge", plugin.to_string());
            if self.db.purge_plugin(tenant, &plugin, &purge).await? {
                tracing::info!(%tenant, %plugin, "a deleted plugin was purged after its grace period");
            }
        }
        for tenant in self.db.tenants_deleted_before(before).await? {
            let purge = change("tenant.purge", tenant.to_string());
            if self.db.purge_tenant(tenant, &purge).await? {
                tracing::info!(%tenant, "a deleted tenant was purged after its grace period");
            }
        }
        for removal in self.db.removals().await? {
            if let Err(error) = self.remove(removal).await {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(
                    error,
                    ?removal,
                    "a file could not be removed; the next sweep tries again"
                );
            }
        }
        Ok(())
    }

    async fn remove(&self, removal: Removal) -> Result<(), LifecycleError> {
        match removal {
            Removal::Component(digest) => self.remove_unused(digest).await,
            Removal::Database(tenant) if self.db.has_tenant(tenant).await? => {
                tracing::error!(
                    %tenant,
                    "the database of an existing tenant was marked for removal; it is kept"
                );
                Ok(self.db.removal_done(removal).await?)
            }
            Removal::Database(tenant) => {
                tracing::info!(%tenant, "the database of a purged tenant is removed");
                let forgotten = self.services.databases.forget(tenant).await;
                forgotten.map_err(LifecycleError::host)?;
                Ok(self.db.removal_done(removal).await?)
            }
        }
    }
}
