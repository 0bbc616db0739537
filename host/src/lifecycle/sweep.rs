//! Removes what a crash left: files without a row.

use std::collections::HashSet;

use super::{Lifecycle, LifecycleError};
use crate::domain::id::TenantId;

impl Lifecycle {
    /// The tenants whose databases were found damaged.
    pub fn damaged_databases(&self) -> Vec<TenantId> {
        self.services.databases.damaged()
    }

    /// Removes components that no tenant has, and databases of tenants that are gone.
    pub async fn sweep(&self) -> Result<(), LifecycleError> {
        for digest in self.runtime.stored().await.map_err(LifecycleError::host)? {
            self.remove_unused(digest).await?;
        }
        let tenants: HashSet<TenantId> = self.db.tenant_ids().await?.into_iter().collect();
        let databases = &self.services.databases;
        for tenant in databases.stored().map_err(LifecycleError::host)? {
            if !tenants.contains(&tenant) {
                databases.forget(tenant).await.map_err(LifecycleError::host)?;
            }
        }
        Ok(())
    }
}
