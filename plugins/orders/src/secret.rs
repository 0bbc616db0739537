//! Secrets that the tenant may leave out.

use mortise_sdk::prelude::*;

/// Whether the tenant has set a secret.
pub fn is_set(name: &str) -> Result<bool, secrets::Error> {
    match secrets::hmac_sha256(name, b"") {
        Ok(_) => Ok(true),
        Err(secrets::Error::NotFound(_)) => Ok(false),
        Err(error) => Err(error),
    }
}
