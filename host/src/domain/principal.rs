//! Principals: the authenticated callers of plugins.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::id::ApiKeyId;

/// The authenticated caller of an invocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// The holder of an API key.
    ApiKey {
        /// The key.
        id: ApiKeyId,
        /// What the key may be used for.
        scopes: Arc<[String]>,
    },
}

/// The id of a principal in records: its kind and the id within the kind, `api-key:…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PrincipalId {
    /// The holder of this API key.
    ApiKey(ApiKeyId),
}

/// Text that is not the id of a principal.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "`{0}` is not the kind and the id of a principal; write `api-key:ID`, with an id of `mortise keys list`"
)]
pub struct InvalidPrincipalId(String);

const API_KEY: &str = "api-key";

impl Principal {
    /// The id of the principal.
    pub fn id(&self) -> PrincipalId {
        match self {
            Principal::ApiKey { id, .. } => PrincipalId::ApiKey(*id),
        }
    }

    /// What the principal may be used for.
    pub fn scopes(&self) -> &[String] {
        match self {
            Principal::ApiKey { scopes, .. } => scopes,
        }
    }
}

impl PrincipalId {
    /// The kind, as the plugin contract names it.
    pub fn kind(self) -> &'static str {
        match self {
            PrincipalId::ApiKey(_) => API_KEY,
        }
    }

    /// The id within the kind, as text.
    pub fn within_kind(self) -> String {
        match self {
            PrincipalId::ApiKey(id) => id.to_string(),
        }
    }
}

impl fmt::Display for PrincipalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PrincipalId::ApiKey(id) => write!(f, "{API_KEY}:{id}"),
        }
    }
}

impl FromStr for PrincipalId {
    type Err = InvalidPrincipalId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let id = match text.split_once(':') {
            Some((API_KEY, id)) => id.parse().ok().map(PrincipalId::ApiKey),
            _ => None,
        };
        id.ok_or_else(|| InvalidPrincipalId(text.chars().take(80).collect()))
    }
}

impl Serialize for PrincipalId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PrincipalId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_a_principal_is_reads_back_as_it_was_written() {
        let id = PrincipalId::ApiKey(ApiKeyId::generate());
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(json, format!("\"api-key:{}\"", id.within_kind()));
        assert_eq!(serde_json::from_str::<PrincipalId>(&json).unwrap(), id);
        for text in [
            "",
            "api-key",
            "api-key:1",
            "user:0190a5c0-0000-7000-8000-000000000000",
        ] {
            assert!(text.parse::<PrincipalId>().is_err(), "{text}");
        }
    }
}
