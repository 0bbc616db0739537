//! Storage of tenants' secrets, which the vault has encrypted.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::DbError;
use crate::domain::audit::Change;
use crate::domain::clock::Timestamp;
use crate::domain::id::TenantId;
use crate::storage::vault::Sealed;

/// Encrypted secrets in the database. A tenant has few, so lists have no pages.
#[async_trait]
pub trait Secrets {
    /// Creates or replaces a secret.
    async fn put_secret(
        &self,
        tenant: TenantId,
        name: &str,
        sealed: &Sealed,
        change: &Change,
    ) -> Result<(), DbError>;

    /// The names of all secrets, and the time at which each was set.
    async fn secret_names(&self, tenant: TenantId) -> Result<Vec<(String, Timestamp)>, DbError>;

    /// All secrets, encrypted.
    async fn sealed_secrets(&self, tenant: TenantId) -> Result<BTreeMap<String, Sealed>, DbError>;

    /// Deletes a secret. `false` if there is no such secret.
    async fn delete_secret(&self, tenant: TenantId, name: &str, change: &Change) -> Result<bool, DbError>;
}
