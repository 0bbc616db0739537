//! Secrets of tenants, sealed by the vault before they come here.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::DbError;
use crate::domain::audit::Change;
use crate::domain::clock::Timestamp;
use crate::domain::id::TenantId;
use crate::storage::vault::Sealed;

/// Secrets. A tenant has few, so their list is not paged.
#[async_trait]
pub trait Secrets {
    /// Makes or replaces a secret.
    async fn put_secret(
        &self,
        tenant: TenantId,
        name: &str,
        sealed: &Sealed,
        change: &Change,
    ) -> Result<(), DbError>;

    /// The names of all secrets, and when each was set.
    async fn secret_names(&self, tenant: TenantId) -> Result<Vec<(String, Timestamp)>, DbError>;

    /// All secrets, sealed.
    async fn sealed_secrets(&self, tenant: TenantId) -> Result<BTreeMap<String, Sealed>, DbError>;

    /// Deletes a secret. `false` where it was not there.
    async fn delete_secret(&self, tenant: TenantId, name: &str, change: &Change) -> Result<bool, DbError>;
}
