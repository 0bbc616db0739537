//! JSON of secrets. Values can be set but are never shown.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::clock::Timestamp;

/// A secret without its value.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct SecretView {
    /// Name of the secret.
    pub name: String,
    /// Time at which it was last set.
    pub updated_at: Timestamp,
    /// Whether the secret can be decrypted with the host's key. If not, plugins cannot use it until
    /// it is set again.
    pub readable: bool,
}

/// The value of a secret.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSecret {
    /// The plain text, 1 byte to 64 KiB.
    pub value: String,
}
