//! API keys: a change is stored and served in one step, without rebuilding the tenant.

use super::{Lifecycle, LifecycleError};
use crate::domain::api_key::ApiKey;
use crate::domain::audit::Change;
use crate::domain::generation::Generation;
use crate::domain::id::{ApiKeyId, TenantId};
use crate::tenants::ApiKeys;

impl Lifecycle {
    /// Adds a key. It works when this returns.
    pub async fn add_api_key(
        &self,
        tenant: TenantId,
        key: ApiKey,
        change: &Change,
    ) -> Result<(), LifecycleError> {
        let _lock = self.changes.lock(tenant).await;
        let generation = self.db.insert_api_key(tenant, &key, change).await?;
        if let Some(served) = self.routing.tenant_by_id(tenant)
            && !served.api_keys.add(key, generation, self.clock.now())
        {
            self.follow_keys(tenant, &served.api_keys, generation).await;
        }
        Ok(())
    }

    /// Revokes a key. It does not work any more when this returns. `false` if there is no such key.
    pub async fn revoke_api_key(
        &self,
        tenant: TenantId,
        id: ApiKeyId,
        change: &Change,
    ) -> Result<bool, LifecycleError> {
        let _lock = self.changes.lock(tenant).await;
        let Some(generation) = self.db.revoke_api_key(tenant, id, change).await? else {
            return Ok(false);
        };
        if let Some(served) = self.routing.tenant_by_id(tenant)
            && !served.api_keys.remove(id, generation)
        {
            self.follow_keys(tenant, &served.api_keys, generation).await;
        }
        Ok(true)
    }

    /// Reads all keys of a tenant, because this node missed a change of another node. If that
    /// fails, the next poll reads them.
    async fn follow_keys(&self, tenant: TenantId, keys: &ApiKeys, generation: Generation) {
        match self.db.valid_api_keys(tenant, self.clock.now()).await {
            Ok(valid) => keys.replace(valid, generation),
            Err(error) => {
                tracing::warn!(%tenant, %error, "the API keys of a tenant cannot be read; the host tries again")
            }
        }
    }
}
