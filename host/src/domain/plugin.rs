//! Plugins, their versions and which of them is active.

use std::sync::Arc;

use super::clock::Timestamp;
use super::id::{PluginName, VersionDigest};
use super::manifest::Manifest;

/// A name within a tenant that requests go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plugin {
    /// The second segment of its URLs.
    pub name: PluginName,
    /// The version that serves, if any.
    pub active: Option<VersionDigest>,
    /// A disabled plugin answers 503 and keeps everything else.
    pub disabled: bool,
    /// How many versions are kept of it.
    pub versions: u32,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was deleted. It can be restored until it is purged.
    pub deleted_at: Option<Timestamp>,
}

/// An uploaded component: immutable, named by its digest.
#[derive(Clone, Debug)]
pub struct Version {
    /// What names it.
    pub digest: VersionDigest,
    /// What it asks for.
    pub manifest: Arc<Manifest>,
    /// The manifest as it was written (TOML).
    pub manifest_text: String,
    /// Bytes of the component.
    pub size: u64,
    /// When it was first uploaded.
    pub created_at: Timestamp,
}

/// One change of the active version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activation {
    /// Counts up within the plugin.
    pub sequence: i64,
    /// What became active.
    pub digest: VersionDigest,
    /// What was active before.
    pub previous: Option<VersionDigest>,
    /// Who did it: the id of a token, or `host`.
    pub actor: String,
    /// When.
    pub at: Timestamp,
}
