//! Grants and settings of plugins.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::grant::{Grants, MissingGrant};
use crate::domain::id::VersionDigest;

/// What a plugin is allowed, and what it lacks.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct GrantsView {
    /// What it is allowed.
    pub grants: Grants,
    /// The version that `missing` is about: the active one, else the newest.
    pub version: Option<VersionDigest>,
    /// What that version asks for and is not allowed.
    pub missing: Vec<MissingGrant>,
}

/// The value of a setting.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSetting {
    /// The value, as the plugin reads it.
    pub value: String,
}
