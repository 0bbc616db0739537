//! JSON of tokens of the admin API.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::clock::Timestamp;
use crate::domain::id::{TenantName, TokenId};
use crate::domain::role::Role;
use crate::domain::token::TenantRole;

/// A token without its secret.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct TokenView {
    /// Id of the token. The audit log records it as the actor.
    pub id: TokenId,
    /// Name for people.
    pub name: String,
    /// Role of the token.
    pub role: Role,
    /// Time of creation.
    pub created_at: Timestamp,
    /// Time of expiry, if the token expires.
    pub expires_at: Option<Timestamp>,
    /// Time of revocation, if the token was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// A new token with its credential.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct CreatedToken {
    #[serde(flatten)]
    pub token: TokenView,
    /// The credential: `Authorization: Bearer mt_…`. It is shown only once.
    pub credential: String,
}

/// A request to create a token of a tenant.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTenantToken {
    /// Name for people, 1 to 100 characters.
    pub name: String,
    /// Role within the tenant: `viewer`, `developer` or `owner`.
    #[schema(required = true)]
    pub role: Option<TenantRole>,
    /// Time of expiry; if absent, the token never expires.
    pub expires_at: Option<Timestamp>,
}

/// Roles of tokens that belong to no tenant.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase", try_from = "String")]
pub enum HostRole {
    /// Run the host: every tenant, plans, limits.
    #[default]
    Operator,
    /// Read `/metrics`, and nothing else.
    Metrics,
}

/// A request to create a token that belongs to no tenant.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewHostToken {
    /// Name for people, 1 to 100 characters.
    pub name: String,
    /// Role of the token; `operator` if absent.
    #[serde(default)]
    pub role: HostRole,
    /// Time of expiry; if absent, the token never expires.
    pub expires_at: Option<Timestamp>,
}

/// The token of the request.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct WhoAmI {
    #[serde(flatten)]
    pub token: TokenView,
    /// The tenant to which the token is restricted; absent for tokens of the host.
    pub tenant: Option<TenantName>,
}

impl TryFrom<String> for HostRole {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.as_str() {
            "operator" => Ok(Self::Operator),
            "metrics" => Ok(Self::Metrics),
            other => Err(format!(
                "`{other}` is not a role without a tenant; use operator or metrics. Tokens of a tenant's people are made with \
                 POST /api/v1/tenants/{{tenant}}/tokens (`mortise tokens create NAME --tenant … --role …`)"
            )),
        }
    }
}
