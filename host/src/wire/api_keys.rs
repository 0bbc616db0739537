//! JSON of a tenant's API keys.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::clock::Timestamp;
use crate::domain::id::ApiKeyId;

/// An API key without its secret.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ApiKeyView {
    /// Id of the key.
    pub id: ApiKeyId,
    /// Name for people.
    pub name: String,
    /// Scopes; `*` stands for all.
    pub scopes: Vec<String>,
    /// Time of creation.
    pub created_at: Timestamp,
    /// Time of expiry, if the key expires.
    pub expires_at: Option<Timestamp>,
    /// Time of revocation, if the key was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// A new API key with its credential.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct CreatedApiKey {
    #[serde(flatten)]
    pub key: ApiKeyView,
    /// The credential: `Authorization: Bearer mk_…`. It is shown only once.
    pub credential: String,
}

/// A request to create an API key.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewApiKey {
    /// Name for people, 1 to 100 characters.
    pub name: String,
    /// Scopes, at most 50; `*` stands for all.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// Time of expiry; if absent, the key never expires.
    pub expires_at: Option<Timestamp>,
}
