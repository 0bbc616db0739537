//! Roles of the admin API.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What the holder of a token may do. From viewer to operator, each role includes the rights of the
/// one before it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads the metrics of the host and nothing else.
    Metrics,
    /// Reads everything of one tenant except secrets.
    Viewer,
    /// Uploads, activates and configures plugins of one tenant.
    Developer,
    /// Manages keys, tokens, grants and secrets of one tenant.
    Owner,
    /// Runs the host: every tenant, plans and limits.
    Operator,
}

impl Role {
    /// All roles.
    pub const ALL: [Role; 5] = [
        Role::Metrics,
        Role::Viewer,
        Role::Developer,
        Role::Owner,
        Role::Operator,
    ];

    /// Whether the role includes `least`. The roles of a tenant do not include the metrics, which
    /// cover all tenants.
    pub fn may(self, least: Role) -> bool {
        match least {
            Role::Metrics => matches!(self, Role::Metrics | Role::Operator),
            least => self >= least,
        }
    }

    /// The role in lower case, as it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Metrics => "metrics",
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
        Role::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| UnknownRole(text.to_owned()))
    }
}

/// Text that is not the name of a role.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a role; those are metrics, viewer, developer, owner and operator")]
pub struct UnknownRole(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_for_operators_and_for_tokens_that_do_nothing_else() {
        for role in Role::ALL {
            assert_eq!(role.to_string().parse::<Role>().unwrap(), role);
            let reads = matches!(role, Role::Metrics | Role::Operator);
            assert_eq!(role.may(Role::Metrics), reads, "{role}");
            assert_eq!(role.may(Role::Viewer), role != Role::Metrics, "{role}");
        }
    }
}
