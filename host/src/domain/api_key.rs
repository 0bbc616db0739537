//! API keys of a tenant's consumers.

use std::sync::Arc;

use super::clock::Timestamp;
use super::credential::SecretHash;
use super::id::ApiKeyId;

/// An API key as it is stored: never the secret, only its hash.
#[derive(Clone, Debug)]
pub struct ApiKey {
    /// What finds it.
    pub id: ApiKeyId,
    /// What people call it.
    pub name: String,
    /// What it may be used for; `*` is everything.
    pub scopes: Arc<[String]>,
    /// The hash of the secret.
    pub hash: SecretHash,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops working, if ever.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked, if it was.
    pub revoked_at: Option<Timestamp>,
}

/// Whether a key can have this scope: 1 to 100 visible ASCII characters without spaces.
pub fn is_scope(scope: &str) -> bool {
    (1..=100).contains(&scope.len()) && scope.bytes().all(|byte| byte.is_ascii_graphic())
}

impl ApiKey {
    /// Whether it works at `now`.
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }
}
