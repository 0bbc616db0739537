//! Storage of the API keys of tenants.

use async_trait::async_trait;

use super::{DbError, Page};
use crate::domain::api_key::ApiKey;
use crate::domain::audit::Change;
use crate::domain::clock::Timestamp;
use crate::domain::generation::Generation;
use crate::domain::id::{ApiKeyId, TenantId};

/// API keys in the database.
#[async_trait]
pub trait ApiKeys {
    /// Adds a key. Returns the new generation of the tenant's keys.
    async fn insert_api_key(
        &self,
        tenant: TenantId,
        key: &ApiKey,
        change: &Change,
    ) -> Result<Generation, DbError>;

    /// Lists a tenant's keys, the oldest first. Revoked keys are included.
    async fn api_keys(&self, tenant: TenantId, page: Page<ApiKeyId>) -> Result<Vec<ApiKey>, DbError>;

    /// A key of a tenant, revoked or not.
    async fn api_key(&self, tenant: TenantId, id: ApiKeyId) -> Result<Option<ApiKey>, DbError>;

    /// The keys of a tenant that are neither revoked nor expired at `now`.
    async fn valid_api_keys(&self, tenant: TenantId, now: Timestamp) -> Result<Vec<ApiKey>, DbError>;

    /// Revokes a key. A second revocation keeps the time of the first. Returns the new generation
    /// of the tenant's keys; `None` if there is no such key.
    async fn revoke_api_key(
        &self,
        tenant: TenantId,
        id: ApiKeyId,
        change: &Change,
    ) -> Result<Option<Generation>, DbError>;
}
