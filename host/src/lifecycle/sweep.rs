//! Purges what was deleted long enough ago, and removes the files of what was purged.
//!
//! Only files are removed that the control plane's database names for removal. A file that it does not know
//! is never removed: the database may be an old copy.

use super::{Lifecycle, LifecycleError};
use crate::domain::audit::AuditEntry;
use crate::domain::clock::Timestamp;
use crate::domain::id::TenantId;
use crate::storage::Removal;

/// Who purges, in the audit log.
const ACTOR: &str = "host";

impl Lifecycle {
    /// Purges what was deleted before the grace period began, and removes files that are to be removed. Holds
    /// no lock but that of the files that it removes.
    pub async fn sweep(&self) -> Result<(), LifecycleError> {
        let now = self.clock.now();
        let grace = i64::try_from(self.grace.as_millis()).unwrap_or(i64::MAX);
        let before = Timestamp(now.0.saturating_sub(grace));
        for (tenant, plugin) in self.db.plugins_deleted_before(before).await? {
            if self.db.purge_plugin(tenant, &plugin).await? {
                self.audit_purge(tenant, "plugin.purge", plugin.as_str(), now)
                    .await?;
            }
        }
        for tenant in self.db.tenants_deleted_before(before).await? {
            if self.db.purge_tenant(tenant).await? {
                self.audit_purge(tenant, "tenant.purge", &tenant.to_string(), now)
                    .await?;
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
                tracing::error!(%tenant, "the database of a tenant that is there was to be removed; it stays");
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

    async fn audit_purge(
        &self,
        tenant: TenantId,
        action: &str,
        subject: &str,
        at: Timestamp,
    ) -> Result<(), LifecycleError> {
        tracing::info!(%tenant, action, subject, "what was deleted is purged: its grace period is over");
        let entry = AuditEntry::new(Some(tenant), ACTOR, action, subject, at);
        Ok(self.db.append_audit(&entry).await?)
    }
}
