//! JSON of plugins' grants and settings.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::grant::{Grants, MissingGrant};
use crate::domain::id::VersionDigest;

/// The grants of a plugin, and the missing ones.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct GrantsView {
    /// What the plugin is allowed.
    pub grants: Grants,
    /// The version that `missing` refers to: the active one, otherwise the newest.
    pub version: Option<VersionDigest>,
    /// What that version asks for and the tenant has not granted.
    pub missing: Vec<MissingGrant>,
}

/// The value of a setting.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSetting {
    /// The value that the plugin reads.
    pub value: String,
}
