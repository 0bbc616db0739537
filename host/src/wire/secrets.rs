//! Secrets, without their values.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::clock::Timestamp;

/// A secret without its value.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct SecretView {
    /// Its name.
    pub name: String,
    /// When it was last set.
    pub updated_at: Timestamp,
    /// Whether it opens under the host's key. One that does not has to be set again; until then
    /// plugins cannot use it.
    pub readable: bool,
}

/// The value of a secret.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSecret {
    /// The plain text, 1 byte to 64 KiB.
    pub value: String,
}
