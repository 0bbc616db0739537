//! The tenant's secrets, which plugins use by name. The plain text leaves the host only under a
//! `reveal` grant.

mod host;

pub use host::{SecretsView, add_to_linker};

use secrecy::SecretString;

use super::ActiveVersion;
use crate::storage::vault::{Vault, VaultError};

/// Why a secret is not available.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The tenant did not grant it.
    #[error("the tenant has not granted this plugin the secret `{0}`")]
    NotGranted(String),
    /// The secret is granted, but has no value.
    #[error("the secret `{0}` is granted, but the tenant has not set it")]
    NotFound(String),
    /// The host cannot decrypt the stored secret.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

/// Returns the value of a secret that the plugin may use by name. The value must not reach the
/// guest.
pub fn value_for_use(active: &ActiveVersion, vault: &Vault, name: &str) -> Result<SecretString, SecretError> {
    if !active.grants.secrets.may_use(name) {
        return Err(SecretError::NotGranted(name.to_owned()));
    }
    let sealed = active
        .secrets
        .get(name)
        .ok_or_else(|| SecretError::NotFound(name.to_owned()))?;
    Ok(vault.open(active.tenant, name, sealed)?)
}
