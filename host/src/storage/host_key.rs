//! What the control plane's database knows of the host's key: enough to tell whether a key is the
//! right one.

use async_trait::async_trait;

use super::DbError;
use crate::domain::audit::Change;
use crate::domain::id::TenantId;
use crate::storage::vault::Sealed;

/// Why a secret cannot be sealed again.
pub type ResealError = Box<dyn std::error::Error + Send + Sync>;

/// Seals one secret under another key; `None` if it does not open.
pub type Reseal<'a> =
    dyn Fn(TenantId, &str, &Sealed) -> Result<Option<Sealed>, ResealError> + Send + Sync + 'a;

/// What became of the secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resealed {
    /// Secrets that are sealed under the new key.
    pub secrets: u64,
    /// Secrets that did not open under the old key and stay as they are.
    pub left: Vec<(TenantId, String)>,
}

/// The host's key, as far as the database knows it.
#[async_trait]
pub trait HostKeys {
    /// The check value of the key that the secrets are sealed under; `None` until a host has
    /// recorded it.
    async fn key_check(&self) -> Result<Option<String>, DbError>;

    /// Records the check value of the key; as a change if somebody decided it.
    async fn set_key_check(&self, check: &str, change: Option<&Change>) -> Result<(), DbError>;

    /// Some secrets, to try a key on.
    async fn some_secrets(&self, most: u32) -> Result<Vec<(TenantId, String, Sealed)>, DbError>;

    /// Seals all secrets anew and records the check value of the new key, all of it or nothing.
    async fn reseal(&self, check: &str, change: &Change, reseal: &Reseal<'_>) -> Result<Resealed, DbError>;
}
