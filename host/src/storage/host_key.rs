//! Storage of a check value of the host's key, which shows whether a key is the right one.

use async_trait::async_trait;

use super::DbError;
use crate::domain::audit::Change;
use crate::domain::id::TenantId;
use crate::storage::vault::Sealed;

/// Why a secret cannot be encrypted again.
pub type ResealError = Box<dyn std::error::Error + Send + Sync>;

/// Encrypts one secret with another key; `None` if it cannot be decrypted.
pub type Reseal<'a> =
    dyn Fn(TenantId, &str, &Sealed) -> Result<Option<Sealed>, ResealError> + Send + Sync + 'a;

/// The result of encrypting all secrets again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resealed {
    /// Secrets that are encrypted with the new key.
    pub secrets: u64,
    /// Secrets that the old key could not decrypt. They are unchanged.
    pub left: Vec<(TenantId, String)>,
}

/// The check value of the host's key.
#[async_trait]
pub trait HostKeys {
    /// The check value of the key that encrypts the secrets; `None` until a host has recorded it.
    async fn key_check(&self) -> Result<Option<String>, DbError>;

    /// Records the check value of the key. `change` is written to the audit log if a person decided
    /// it.
    async fn set_key_check(&self, check: &str, change: Option<&Change>) -> Result<(), DbError>;

    /// Some secrets, for testing a key.
    async fn some_secrets(&self, most: u32) -> Result<Vec<(TenantId, String, Sealed)>, DbError>;

    /// Encrypts all secrets again and records the new check value, in one transaction.
    async fn reseal(&self, check: &str, change: &Change, reseal: &Reseal<'_>) -> Result<Resealed, DbError>;
}
