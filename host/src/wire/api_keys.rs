//! API keys.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::clock::Timestamp;
use crate::domain::id::ApiKeyId;

/// An API key without its secret.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ApiKeyView {
    /// What finds it.
    pub id: ApiKeyId,
    /// What people call it.
    pub name: String,
    /// What it may be used for; `*` is everything.
    pub scopes: Vec<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops working, if ever.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked, if it was.
    pub revoked_at: Option<Timestamp>,
}

/// An API key that was just made.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct CreatedApiKey {
    #[serde(flatten)]
    pub key: ApiKeyView,
    /// What its holder presents, `Authorization: Bearer mk_…`. It is shown this once.
    pub credential: String,
}

/// An API key to be made.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewApiKey {
    /// What people call it, 1 to 100 characters.
    pub name: String,
    /// What it may be used for, at most 50; `*` is everything.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// When it stops working; never where it is absent.
    pub expires_at: Option<Timestamp>,
}
