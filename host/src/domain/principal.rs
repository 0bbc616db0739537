//! Who called a plugin.

use super::id::ApiKeyId;

/// The caller of an invocation, once authenticated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// The holder of an API key.
    ApiKey {
        /// The key.
        id: ApiKeyId,
        /// What the key may be used for.
        scopes: Vec<String>,
    },
}

impl Principal {
    /// The kind as the contract names it.
    pub fn kind(&self) -> &'static str {
        match self {
            Principal::ApiKey { .. } => "api-key",
        }
    }

    /// The id as text.
    pub fn id(&self) -> String {
        match self {
            Principal::ApiKey { id, .. } => id.to_string(),
        }
    }

    /// What the principal may be used for.
    pub fn scopes(&self) -> &[String] {
        match self {
            Principal::ApiKey { scopes, .. } => scopes,
        }
    }
}
