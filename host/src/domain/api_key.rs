//! API keys, with which a tenant's API consumers call its plugins.

use std::sync::Arc;

use super::clock::Timestamp;
use super::credential::SecretHash;
use super::id::ApiKeyId;

/// A stored API key. It holds only the hash of the secret, never the secret.
#[derive(Clone, Debug)]
pub struct ApiKey {
    /// The id, under which the record is looked up.
    pub id: ApiKeyId,
    /// A name for people.
    pub name: String,
    /// What the key may be used for; `*` stands for everything.
    pub scopes: Arc<[String]>,
    /// The hash of the secret.
    pub hash: SecretHash,
    /// Time of creation.
    pub created_at: Timestamp,
    /// Time of expiry, if the key expires.
    pub expires_at: Option<Timestamp>,
    /// Time of revocation, if the key was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// Whether `scope` is a valid scope: 1 to 100 visible ASCII characters without spaces.
pub fn is_scope(scope: &str) -> bool {
    (1..=100).contains(&scope.len()) && scope.bytes().all(|byte| byte.is_ascii_graphic())
}

impl ApiKey {
    /// Whether the key works at `now`.
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }
}
