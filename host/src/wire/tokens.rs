//! Tokens of the admin API.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::clock::Timestamp;
use crate::domain::id::{TenantName, TokenId};
use crate::domain::role::Role;
use crate::domain::token::TenantRole;

/// A token without its secret.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct TokenView {
    /// What finds it; what the audit log calls its holder.
    pub id: TokenId,
    /// What people call it.
    pub name: String,
    /// What its holder may do.
    pub role: Role,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops working, if ever.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked, if it was.
    pub revoked_at: Option<Timestamp>,
}

/// A token that was just made.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct CreatedToken {
    #[serde(flatten)]
    pub token: TokenView,
    /// What its holder presents, `Authorization: Bearer mt_…`. It is shown this once.
    pub credential: String,
}

/// A token of a tenant to be made.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTenantToken {
    /// What people call it, 1 to 100 characters.
    pub name: String,
    /// What its holder may do within the tenant: `viewer`, `developer` or `owner`.
    #[schema(required = true)]
    pub role: Option<TenantRole>,
    /// When it stops working; never where it is absent.
    pub expires_at: Option<Timestamp>,
}

/// What the holder of a token may do that belongs to no tenant.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase", try_from = "String")]
pub enum HostRole {
    /// Run the host: every tenant, plans, limits.
    #[default]
    Operator,
    /// Read `/metrics`, and nothing else.
    Metrics,
}

/// A token to be made that belongs to no tenant.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewHostToken {
    /// What people call it, 1 to 100 characters.
    pub name: String,
    /// What its holder may do; `operator` if it is absent.
    #[serde(default)]
    pub role: HostRole,
    /// When it stops working; never where it is absent.
    pub expires_at: Option<Timestamp>,
}

/// The token that a request came with.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct WhoAmI {
    #[serde(flatten)]
    pub token: TokenView,
    /// The tenant that it is confined to; absent for an operator.
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
