//! API keys: stored and served in one step, without building the tenant again.

use super::{Lifecycle, LifecycleError};
use crate::domain::api_key::ApiKey;
use crate::domain::id::{ApiKeyId, TenantId};

impl Lifecycle {
    /// Adds a key, which works from now on.
    pub async fn add_api_key(&self, tenant: TenantId, key: ApiKey) -> Result<(), LifecycleError> {
        let _change = self.changes.lock(tenant).await;
        self.db.insert_api_key(tenant, &key).await?;
        if let Some(served) = self.routing.tenant_by_id(tenant) {
            served.api_keys.add(key, self.clock.now());
        }
        Ok(())
    }

    /// Revokes a key, which works no longer from now on. `false` if there is no such key.
    pub async fn revoke_api_key(&self, tenant: TenantId, id: ApiKeyId) -> Result<bool, LifecycleError> {
        let _change = self.changes.lock(tenant).await;
        let revoked = self.db.revoke_api_key(tenant, id, self.clock.now()).await?;
        if let Some(served) = self.routing.tenant_by_id(tenant) {
            served.api_keys.remove(id);
        }
        Ok(revoked)
    }
}
