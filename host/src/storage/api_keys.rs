//! API keys of a tenant's consumers.

use async_trait::async_trait;

use super::{DbError, Page};
use crate::domain::api_key::ApiKey;
use crate::domain::audit::Change;
use crate::domain::clock::Timestamp;
use crate::domain::generation::Generation;
use crate::domain::id::{ApiKeyId, TenantId};

/// API keys.
#[async_trait]
pub trait ApiKeys {
    /// Adds a key. Gives back the generation of the tenant's keys.
    async fn insert_api_key(
        &self,
        tenant: TenantId,
        key: &ApiKey,
        change: &Change,
    ) -> Result<Generation, DbError>;

    /// The tenant's keys, the oldest first, revoked ones included.
    async fn api_keys(&self, tenant: TenantId, page: Page<ApiKeyId>) -> Result<Vec<ApiKey>, DbError>;

    /// The key of the tenant with this id, revoked or not.
    async fn api_key(&self, tenant: TenantId, id: ApiKeyId) -> Result<Option<ApiKey>, DbError>;

    /// The keys that work at `now` or will.
    async fn valid_api_keys(&self, tenant: TenantId, now: Timestamp) -> Result<Vec<ApiKey>, DbError>;

    /// Revokes a key; a second time the time of the first stays. Gives back the generation of the
    /// tenant's keys, `None` if there is no such key.
    async fn revoke_api_key(
        &self,
        tenant: TenantId,
        id: ApiKeyId,
        change: &Change,
    ) -> Result<Option<Generation>, DbError>;
}
