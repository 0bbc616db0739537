//! JSON of uploaded plugin versions.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::clock::Timestamp;
use crate::domain::id::VersionDigest;

/// A version.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct VersionView {
    /// SHA-256 of the component.
    pub version: VersionDigest,
    /// The author's name for it, such as `1.2.0`.
    pub author_version: String,
    /// Description for people, one sentence.
    pub description: Option<String>,
    /// Size of the component in bytes.
    pub size: u64,
    /// Time of the first upload.
    pub created_at: Timestamp,
    /// Whether the version is active.
    pub active: bool,
    /// Why this host does not run the version although it was accepted earlier; absent if it runs
    /// it.
    pub unavailable: Option<String>,
}

/// A version with its manifest.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct VersionDetail {
    #[serde(flatten)]
    pub version: VersionView,
    /// Size of its compiled code in bytes; absent if it is compiled when it is first needed.
    pub compiled_size: Option<u64>,
    /// The manifest as the component contains it (TOML).
    pub manifest: String,
}

/// An uploaded version.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct UploadedVersion {
    #[serde(flatten)]
    pub detail: VersionDetail,
    /// Warnings, for instance about another version with the same author's version.
    pub warnings: Vec<String>,
}
