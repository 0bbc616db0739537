//! Tokens of the admin API, and what each may do.

use serde::{Deserialize, Serialize};

use super::clock::Timestamp;
use super::credential::SecretHash;
use super::id::{TenantId, TokenId};
use super::role::Role;

/// The name of the operator's token that the host creates. No other token may have it, since a
/// reset replaces the token of this name.
pub const FIRST_OPERATOR: &str = "first operator";

/// A stored token of the admin API. It holds only the hash of the secret, never the secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// The id, under which the record is looked up.
    pub id: TokenId,
    /// A name for people.
    pub name: String,
    /// What the token allows, and in which tenant.
    pub reach: Reach,
    /// The hash of the secret.
    pub hash: SecretHash,
    /// Time of creation.
    pub created_at: Timestamp,
    /// Time of expiry, if the token expires.
    pub expires_at: Option<Timestamp>,
    /// Time of revocation, if the token was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// What a token allows, and in which tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Everything, in every tenant.
    Host,
    /// The metrics of the host and nothing else.
    Metrics,
    /// What the role allows, in one tenant.
    Tenant(TenantId, TenantRole),
}

/// A role within one tenant. Each role includes the rights of those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase", try_from = "String")]
pub enum TenantRole {
    /// Reads everything except secrets.
    Viewer,
    /// Uploads, activates and configures plugins.
    Developer,
    /// Manages keys, tokens, grants and secrets.
    Owner,
}

/// Text that is not the name of a tenant's role.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{0}` is not a role of a tenant; use viewer, developer or owner. Tokens for the whole host are made without a tenant \
     (`POST /api/v1/tokens`, or `mortise tokens create NAME --operator`)"
)]
pub struct UnknownTenantRole(String);

impl Token {
    /// Whether the token works at `now`.
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }
}

impl Reach {
    /// The role, also of tokens for the whole host.
    pub fn role(self) -> Role {
        match self {
            Reach::Host => Role::Operator,
            Reach::Metrics => Role::Metrics,
            Reach::Tenant(_, role) => role.into(),
        }
    }

    /// The tenant to which the token is restricted.
    pub fn tenant(self) -> Option<TenantId> {
        match self {
            Reach::Host | Reach::Metrics => None,
            Reach::Tenant(tenant, _) => Some(tenant),
        }
    }

    /// The reach of a token with `role` that is stored under `tenant`; `None` if the two contradict
    /// each other.
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
