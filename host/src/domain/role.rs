//! Who may do what in the admin API.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What the holder of a token may do. Each role may do what the ones below it may.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads everything of one tenant but secrets.
    Viewer,
    /// Uploads, activates and configures plugins of one tenant.
    Developer,
    /// Manages keys, tokens, grants and secrets of one tenant.
    Owner,
    /// Runs the host: every tenant, plans and limits.
    Operator,
}

impl Role {
    /// The role in lower case, as it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Developer => "developer",
            Role::Owner => "owner",
            Role::Operator => "operator",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Role::Viewer, Role::Developer, Role::Owner, Role::Operator]
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| UnknownRole(text.to_owned()))
    }
}

/// Text that names no role.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a role; use viewer, developer, owner or operator")]
pub struct UnknownRole(String);
