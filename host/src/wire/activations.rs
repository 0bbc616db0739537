//! Activations: which version is active, and since when.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::clock::Timestamp;
use crate::domain::id::VersionDigest;
use crate::domain::version_name::VersionName;

/// One change of the active version.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ActivationView {
    /// Counts up within the plugin.
    pub sequence: i64,
    /// What became active.
    pub version: VersionDigest,
    /// What was active before.
    pub previous: Option<VersionDigest>,
    /// The sequence of the activation that this rollback went back to; absent for an explicit
    /// activation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rolled_back_to: Option<i64>,
    /// The token that did it, or `host`.
    pub actor: String,
    /// When.
    pub at: Timestamp,
}

/// What an activation did.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ActivatedView {
    #[serde(flatten)]
    pub activation: ActivationView,
    /// The author's name for the version, such as `1.2.0`.
    // Hosts of earlier versions leave it out, and `url` as well.
    #[serde(default)]
    #[schema(required = true)]
    pub author_version: String,
    /// The author's name for the version that was active before; absent if there was none, or if it is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_author_version: Option<String>,
    /// Migrations that were applied for it.
    pub migrations: Vec<String>,
    /// What there is to know: a rollback past migrations, for instance.
    pub warnings: Vec<String>,
    /// Where the plugin is reached from outside. Paths of routes follow it.
    #[serde(default)]
    #[schema(required = true)]
    pub url: String,
}

/// Which version is to serve.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewActivation {
    /// The version: its digest, the first digits of it, or the author's version. It must mean one version.
    pub version: VersionName,
}
