//! Names of a version: its digest, a prefix of the digest, or the author's version.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::clock::Timestamp;
use super::id::VersionDigest;
use super::plugin::Version;

/// The fewest digits of a digest prefix. Shorter ones could match by chance.
const LEAST_DIGITS: usize = 4;

/// The longest name in bytes. An author's version has up to 64 characters, a digest 71.
const MAX_BYTES: usize = 256;

/// Text that may name a version of a plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(try_from = "String")]
#[schema(value_type = String, example = "1.2.0")]
pub struct VersionName(String);

/// Text that cannot name a version.
#[derive(Debug, thiserror::Error)]
#[error(
    "a version is named by its digest, by the first digits of it (four at least), or by the author's version, such \
     as `1.2.0`"
)]
pub struct InvalidVersionName;

/// A version to which a name may refer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedVersion {
    /// The digest of the version.
    pub digest: VersionDigest,
    /// The author's version, such as `1.2.0`.
    pub author_version: String,
    /// Time of the upload.
    pub created_at: Timestamp,
}

impl VersionName {
    /// The digest, if the name is a complete one.
    pub fn digest(&self) -> Option<VersionDigest> {
        let digits = self.0.strip_prefix("sha256:").unwrap_or(&self.0);
        format!("sha256:{digits}").parse().ok()
    }

    /// Whether the name refers to `version`.
    pub fn names(&self, version: &Version) -> bool {
        self.0 == version.manifest.plugin.version || self.begins(version.digest)
    }

    fn begins(&self, digest: VersionDigest) -> bool {
        let digits = self.0.strip_prefix("sha256:").unwrap_or(&self.0);
        digits.len() >= LEAST_DIGITS && digest.to_hex().starts_with(&digits.to_ascii_lowercase())
    }
}

impl From<&Version> for NamedVersion {
    fn from(version: &Version) -> Self {
        Self {
            digest: version.digest,
            author_version: version.manifest.plugin.version.clone(),
            created_at: version.created_at,
        }
    }
}

impl fmt::Display for NamedVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            digest,
            author_version,
            created_at,
        } = self;
        write!(f, "{digest} ({author_version}, uploaded {created_at})")
    }
}

impl fmt::Display for VersionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for VersionName {
    type Err = InvalidVersionName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if (1..=MAX_BYTES).contains(&text.len()) && !text.chars().any(char::is_control) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidVersionName)
        }
    }
}

impl TryFrom<String> for VersionName {
    type Error = InvalidVersionName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::manifest::Manifest;

    fn version() -> Version {
        let manifest_text = "[plugin]\nname = 'orders'\nversion = '1.2.0'\n".to_owned();
        Version {
            digest: VersionDigest::of(b"component"),
            manifest: Arc::new(Manifest::parse(&manifest_text).unwrap()),
            manifest_text,
            size: 9,
            created_at: Timestamp(0),
        }
    }

    fn named(name: &str) -> VersionName {
        name.parse().unwrap()
    }

    #[test]
    fn a_version_is_named_by_its_digest_a_part_of_it_or_the_author() {
        let version = version();
        let digits = version.digest.to_hex();
        for name in [
            "1.2.0",
            &digits,
            &format!("sha256:{digits}"),
            &format!("sha256:{}", &digits[..4]),
            &digits[..12].to_uppercase(),
        ] {
            assert!(named(name).names(&version), "{name}");
        }
        for name in ["1.2", "1.2.00", &digits[..3], &digits[1..9], "sha256:", "SHA256"] {
            assert!(!named(name).names(&version), "{name}");
        }
        assert_eq!(named(&digits).digest(), Some(version.digest));
        assert_eq!(named(&digits[..12]).digest(), None);
    }

    #[test]
    fn what_names_no_version_is_refused() {
        for name in ["", "a\nb", &"1".repeat(257)] {
            assert!(name.parse::<VersionName>().is_err(), "{name}");
        }
    }
}
