//! Versions of plugins.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::clock::Timestamp;
use crate::domain::id::VersionDigest;

/// A version.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct VersionView {
    /// The SHA-256 of the component.
    pub version: VersionDigest,
    /// The author's name for it, such as `1.2.0`.
    pub author_version: String,
    /// One sentence for people.
    pub description: Option<String>,
    /// Bytes of the component.
    pub size: u64,
    /// When it was first uploaded.
    pub created_at: Timestamp,
    /// Whether it serves.
    pub active: bool,
    /// Why this host does not run it, if it was accepted once and is refused now.
    pub unavailable: Option<String>,
}

/// A version with what it asks for.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct VersionDetail {
    #[serde(flatten)]
    pub version: VersionView,
    /// Bytes of its compiled code; absent where it is to be compiled again when it is first needed.
    pub compiled_size: Option<u64>,
    /// The manifest as it was written (TOML).
    pub manifest: String,
}

/// A version that was uploaded.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct UploadedVersion {
    #[serde(flatten)]
    pub detail: VersionDetail,
    /// What there is to know: another version with the same author's version, for instance.
    pub warnings: Vec<String>,
}
