//! Ids and names. Names are validated when they are created, so a value of these types is always
//! well formed.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Text that is not a valid name or id.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{text}` is not {wanted}")]
pub struct InvalidId {
    text: String,
    wanted: &'static str,
}

macro_rules! uuid_id {
    ($($(#[doc = $doc:literal])+ $name:ident;)+) => {$(
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[derive(Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self).map_err(|_| InvalidId { text: text.to_owned(), wanted: "a UUID" })
            }
        }

        impl $name {
            /// A new id (UUID v7). It sorts after earlier ones.
            pub fn generate() -> Self {
                Self(Uuid::now_v7())
            }
        }
    )+};
}

uuid_id! {
    /// A tenant. URLs contain the tenant's name, not this id.
    TenantId;
    /// An invocation; also the `x-request-id` of its response.
    InvocationId;
    /// An API key of a tenant's consumers.
    ApiKeyId;
    /// A token of the admin API.
    TokenId;
    /// An entry of the audit log.
    AuditId;
    /// An upload or a removal of a component that is in progress.
    LeaseId;
    /// A job.
    JobId;
    /// An event that a plugin published.
    EventId;
    /// A mail.
    MailId;
    /// An endpoint of a tenant that gets webhooks.
    EndpointId;
    /// A delivery of an event to an endpoint.
    DeliveryId;
    /// A webhook that was received.
    ReceivedId;
}

/// A claim of a job by a node: random, so that no node can guess or repeat it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClaimId(pub Uuid);

impl ClaimId {
    /// A new claim.
    pub fn generate() -> Self {
        Self(Uuid::new_v4())
    }
}

macro_rules! name {
    ($($(#[doc = $doc:literal])+ $name:ident by $is_name:ident: $wanted:literal;)+) => {$(
        $(#[doc = $doc])+
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[derive(Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(try_from = "String")]
        #[schema(value_type = String)]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                if $is_name(text) {
                    Ok(Self(text.into()))
                } else {
                    Err(InvalidId { text: text.chars().take(80).collect(), wanted: $wanted })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }
    )+};
}

name! {
    /// A tenant's name, the first segment of its URLs.
    TenantName by is_slug: "a tenant name (1 to 63 of a-z, 0-9 and `-`, starting with a letter)";
    /// A plugin's name within its tenant, the second segment of its URLs.
    PluginName by is_slug: "a plugin name (1 to 63 of a-z, 0-9 and `-`, starting with a letter)";
    /// The name of a plan, which is a set of limits.
    PlanName by is_slug: "a plan name (1 to 63 of a-z, 0-9 and `-`, starting with a letter)";
    /// The name of a function of a plugin, the last segment of its URL.
    FunctionName by is_function_name:
        "a function name (1 to 63 of a-z, 0-9, `-`, `_` and `.`, starting with a letter)";
    /// The name of a kind of job of a plugin.
    JobName by is_function_name:
        "a job name (1 to 63 of a-z, 0-9, `-`, `_` and `.`, starting with a letter)";
    /// The name of a schedule of a plugin.
    ScheduleName by is_function_name:
        "a schedule name (1 to 63 of a-z, 0-9, `-`, `_` and `.`, starting with a letter)";
}

/// The name under which the host runs jobs of its own. It is no valid name of a plugin, so no
/// manifest and no URL can have it.
const HOST: &str = "-";

impl PluginName {
    /// The name under which the host runs jobs of its own.
    pub fn host() -> Self {
        Self(HOST.into())
    }

    /// Whether it is the host's own name.
    pub fn is_host(&self) -> bool {
        &*self.0 == HOST
    }

    /// Reads the name of who runs a job: a plugin, or the host.
    pub fn of_job(text: &str) -> Result<Self, InvalidId> {
        match text {
            HOST => Ok(Self::host()),
            _ => text.parse(),
        }
    }
}

/// Reads the name of who runs a job, for `#[serde(deserialize_with)]`.
pub fn runs_job<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<PluginName, D::Error> {
    let text = String::deserialize(deserializer)?;
    PluginName::of_job(&text).map_err(serde::de::Error::custom)
}

/// The id of a plugin version: the SHA-256 of its component, written `sha256:` and 64 hexadecimal
/// digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, utoipa::ToSchema)]
#[schema(value_type = String, example = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")]
pub struct VersionDigest([u8; 32]);

impl VersionDigest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// A digest that was computed earlier.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The 64 hexadecimal digits without the prefix, for file names.
    pub fn to_hex(self) -> String {
        hex::encode(self.0)
    }
}

impl fmt::Display for VersionDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", hex::encode(self.0))
    }
}

impl fmt::Debug for VersionDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for VersionDigest {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidId {
            text: text.chars().take(80).collect(),
            wanted: "a version (`sha256:` and 64 hexadecimal digits)",
        };
        let digits = text.strip_prefix("sha256:").ok_or_else(invalid)?;
        let mut bytes = [0; 32];
        hex::decode_to_slice(digits, &mut bytes).map_err(|_| invalid())?;
        Ok(Self(bytes))
    }
}

impl Serialize for VersionDigest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for VersionDigest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

fn is_slug(text: &str) -> bool {
    is_name(text, b"-")
}

fn is_function_name(text: &str) -> bool {
    is_name(text, b"-_.")
}

/// Whether `text` has 1 to 63 lower-case letters, digits and `marks`, and starts with a letter.
fn is_name(text: &str, marks: &[u8]) -> bool {
    let bytes = text.as_bytes();
    (1..=63).contains(&bytes.len())
        && bytes[0].is_ascii_lowercase()
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || marks.contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_slugs() {
        for name in ["a", "orders", "acme-2"] {
            assert_eq!(name.parse::<TenantName>().unwrap().as_str(), name);
        }
        let long = "a".repeat(64);
        for name in ["", "-", "-/x", "Acme", "2nd", "a/b", "a.b", "ä", long.as_str()] {
            assert!(name.parse::<TenantName>().is_err(), "{name}");
            assert!(
                serde_json::from_value::<PluginName>(name.into()).is_err(),
                "{name}"
            );
        }
    }

    #[test]
    fn the_host_has_a_name_that_no_plugin_can_have() {
        let host = PluginName::host();
        assert!(host.is_host() && host.as_str().parse::<PluginName>().is_err());
        assert_eq!(PluginName::of_job("-").unwrap(), host);
        assert!(!PluginName::of_job("orders").unwrap().is_host());
        assert!(PluginName::of_job("--").is_err());
    }

    #[test]
    fn names_of_functions_may_have_dots() {
        for name in ["a", "price.adjust", "price_of-2"] {
            assert_eq!(name.parse::<FunctionName>().unwrap().as_str(), name);
        }
        for name in ["", ".", "..", ".a", "Price", "a/b", "2nd"] {
            assert!(name.parse::<FunctionName>().is_err(), "{name}");
        }
    }

    #[test]
    fn a_digest_reads_as_it_is_written() {
        let digest = VersionDigest::of(b"component");
        assert_eq!(digest.to_string().parse::<VersionDigest>().unwrap(), digest);
        assert!("sha256:00".parse::<VersionDigest>().is_err());
        assert!(digest.to_hex().parse::<VersionDigest>().is_err());
    }
}
