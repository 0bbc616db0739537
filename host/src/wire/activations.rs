//! JSON of activations: the changes of a plugin's active version.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::clock::Timestamp;
use crate::domain::id::VersionDigest;
use crate::domain::version_name::VersionName;

/// One change of the active version.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ActivationView {
    /// Position in the plugin's history, counted up.
    pub sequence: i64,
    /// The version that became active.
    pub version: VersionDigest,
    /// The version that was active before.
    pub previous: Option<VersionDigest>,
    /// The sequence of the activation that this rollback restored; absent for an explicit
    /// activation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rolled_back_to: Option<i64>,
    /// The actor: the id of a token, or `host`.
    pub actor: String,
    /// Time of the activation.
    pub at: Timestamp,
}

/// The result of an activation.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ActivatedView {
    #[serde(flatten)]
    pub activation: ActivationView,
    /// The author's name for the version, such as `1.2.0`.
    // Earlier hosts omit this and `url`.
    #[serde(default)]
    #[schema(required = true)]
    pub author_version: String,
    /// The author's name for the version that was active before; absent if there was none or it was
    /// deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_author_version: Option<String>,
    /// Migrations that the activation applied.
    pub migrations: Vec<String>,
    /// Warnings, for instance about a rollback past migrations.
    pub warnings: Vec<String>,
    /// URL of the plugin, to which the paths of its routes are appended.
    #[serde(default)]
    #[schema(required = true)]
    pub url: String,
}

/// The version to activate.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewActivation {
    /// The version: its digest, the first digits of the digest, or the author's version. It must
    /// match exactly one.
    pub version: VersionName,
}
