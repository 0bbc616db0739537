//! Tokens of the admin API.

use serde::{Deserialize, Serialize};

use super::clock::Timestamp;
use super::credential::SecretHash;
use super::id::{TenantId, TokenId};
use super::role::Role;

/// The name of the operator's token that the host makes by itself. No other token gets it, since a
/// reset replaces those that have it.
pub const FIRST_OPERATOR: &str = "first operator";

/// A token as it is stored: never the secret, only its hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// What finds it.
    pub id: TokenId,
    /// What people call it.
    pub name: String,
    /// What it may do, and where.
    pub reach: Reach,
    /// The hash of the secret.
    pub hash: SecretHash,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops working, if ever.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked, if it was.
    pub revoked_at: Option<Timestamp>,
}

/// What a token may do, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Everything, in every tenant.
    Host,
    /// The metrics of the host, and nothing else.
    Metrics,
    /// What the role allows, in one tenant.
    Tenant(TenantId, TenantRole),
}

/// A role within one tenant. Each may do what the ones above it in this list may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase", try_from = "String")]
pub enum TenantRole {
    /// Reads everything but secrets.
    Viewer,
    /// Uploads, activates and configures plugins.
    Developer,
    /// Manages keys, tokens, grants and secrets.
    Owner,
}

/// Text that names no role of a tenant.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{0}` is not a role of a tenant; use viewer, developer or owner. Tokens for the whole host are made without a tenant \
     (`POST /api/v1/tokens`, or `mortise tokens create NAME --operator`)"
)]
pub struct UnknownTenantRole(String);

impl Token {
    /// Whether it works at `now`.
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }
}

impl Reach {
    /// The role, the operator's included.
    pub fn role(self) -> Role {
        match self {
            Reach::Host => Role::Operator,
            Reach::Metrics => Role::Metrics,
            Reach::Tenant(_, role) => role.into(),
        }
    }

    /// The one tenant that it is confined to.
    pub fn tenant(self) -> Option<TenantId> {
        match self {
            Reach::Host | Reach::Metrics => None,
            Reach::Tenant(tenant, _) => Some(tenant),
        }
    }

    /// The reach of `role` where the token is stored under `tenant`; `None` where the two contradict each other.
    pub fn of(role: Role, tenant: Option<TenantId>) -> Option<Self> {
        let within = |role| tenant.map(|tenant| Reach::Tenant(tenant, role));
        match role {
            Role::Operator => tenant.is_none().then_some(Reach::Host),
            Role::Metrics => tenant.is_none().then_some(Reach::Metrics),
            Role::Owner => within(TenantRole::Owner),
            Role::Developer => within(TenantRole::Developer),
            Role::Viewer => within(TenantRole::Viewer),
        }
    }
}

impl From<TenantRole> for Role {
    fn from(role: TenantRole) -> Self {
        match role {
            TenantRole::Viewer => Role::Viewer,
            TenantRole::Developer => Role::Developer,
            TenantRole::Owner => Role::Owner,
        }
    }
}

impl std::str::FromStr for TenantRole {
    type Err = UnknownTenantRole;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "viewer" => Ok(TenantRole::Viewer),
            "developer" => Ok(TenantRole::Developer),
            "owner" => Ok(TenantRole::Owner),
            other => Err(UnknownTenantRole(other.to_owned())),
        }
    }
}

impl TryFrom<String> for TenantRole {
    type Error = UnknownTenantRole;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}
