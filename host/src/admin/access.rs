//! Authentication and authorization of the admin API. The extractor checks the right: a handler
//! that takes [`TenantAccess<Owner>`] runs only for owners.
//!
//! Put these extractors before all others, so that no part of a request is processed before its
//! caller is known.

use std::marker::PhantomData;
use std::sync::Arc;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::HeaderValue;
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::request::Parts;

use super::shares::Holder;
use super::state::AdminState;
use crate::domain::credential::Credential;
use crate::domain::id::{TenantName, TokenId};
use crate::domain::problem::Code;
use crate::domain::resource::Resource;
use crate::domain::role::Role;
use crate::domain::tenant::Tenant;
use crate::domain::token::{Reach, Token};
use crate::http::hint::Hint;
use crate::http::problem::Problem;
use crate::server::bearer;

/// The actor of a change, for the audit log.
#[derive(Clone, Copy, Debug)]
pub struct Actor(TokenId);

/// The holder of any valid token, except one for metrics only.
pub struct Authenticated(pub Token);

/// A caller that may read the metrics: an operator, or the holder of a token for metrics.
pub struct MetricsAccess;

/// An operator.
pub struct HostAccess {
    /// The operator as an actor.
    pub actor: Actor,
}

/// A caller with the right `R` in the tenant that the path names.
pub struct TenantAccess<R> {
    /// The tenant.
    pub tenant: Tenant,
    /// The caller as an actor.
    pub actor: Actor,
    /// The token. Work that outlives the request checks it again.
    pub token: TokenId,
    /// The role of the caller, which may be above the least role for the handler.
    pub role: Role,
    /// The holder of the share that the request uses.
    pub holder: Holder,
    right: PhantomData<R>,
}

/// The same for a tenant that may be deleted already.
pub struct DeletedTenantAccess<R>(pub TenantAccess<R>);

/// The least role for a handler.
pub trait Right: Send + Sync + 'static {
    /// The role.
    const ROLE: Role;
}

macro_rules! rights {
    ($($(#[doc = $doc:literal])+ $right:ident;)+) => {$(
        $(#[doc = $doc])+
        pub struct $right;

        impl Right for $right {
            const ROLE: Role = Role::$right;
        }
    )+};
}

rights! {
    /// Read access.
    Viewer;
    /// Upload, activate and configure plugins.
    Developer;
    /// Manage keys, tokens, grants and secrets.
    Owner;
    /// Run the host.
    Operator;
}

impl Actor {
    /// The id for the audit log.
    pub fn id(&self) -> String {
        self.0.to_string()
    }
}

impl FromRequestParts<Arc<AdminState>> for Authenticated {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<AdminState>) -> Result<Self, Problem> {
        let token = valid_token(parts, state).await?;
        match token.reach {
            Reach::Host | Reach::Tenant(..) => Ok(Self(token)),
            // This check is in the extractor, so that no handler can forget it.
            Reach::Metrics => Err(Problem::new(
                Code::InsufficientScope,
                "this token has the role metrics, with which `GET /metrics` can be read and nothing else",
            )
            .hint(Hint::MetricsOnly)),
        }
    }
}

impl FromRequestParts<Arc<AdminState>> for MetricsAccess {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<AdminState>) -> Result<Self, Problem> {
        match valid_token(parts, state).await?.reach.role().may(Role::Metrics) {
            true => Ok(Self),
            false => Err(insufficient(Role::Metrics)),
        }
    }
}

impl FromRequestParts<Arc<AdminState>> for HostAccess {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<AdminState>) -> Result<Self, Problem> {
        let Authenticated(token) = Authenticated::from_request_parts(parts, state).await?;
        match token.reach {
            Reach::Host => Ok(Self {
                actor: Actor(token.id),
            }),
            Reach::Tenant(..) | Reach::Metrics => Err(insufficient(Role::Operator)),
        }
    }
}

impl<R: Right> FromRequestParts<Arc<AdminState>> for TenantAccess<R> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<AdminState>) -> Result<Self, Problem> {
        let access = DeletedTenantAccess::from_request_parts(parts, state).await?.0;
        match access.tenant.deleted_at {
            None => Ok(access),
            Some(_) => Err(Problem::not_found(Resource::Tenant)),
        }
    }
}

impl<R: Right> FromRequestParts<Arc<AdminState>> for DeletedTenantAccess<R> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<AdminState>) -> Result<Self, Problem> {
        let Authenticated(token) = Authenticated::from_request_parts(parts, state).await?;
        let params = RawPathParams::from_request_parts(parts, state)
            .await
            .map_err(|_| Problem::not_found(Resource::Tenant))?;
        let name: TenantName = params
            .iter()
            .find(|(name, _)| *name == "tenant")
            .and_then(|(_, name)| name.parse().ok())
            .ok_or_else(|| Problem::not_found(Resource::Tenant))?;
        let tenant = state.db.tenant_even_deleted(&name).await?;
        // A tenant of somebody else is answered as not found, so that names of other tenants stay
        // secret.
        let tenant = tenant
            .filter(|tenant| token.reach.tenant().is_none_or(|own| own == tenant.id))
            .ok_or_else(|| Problem::not_found(Resource::Tenant))?;
        if !token.reach.role().may(R::ROLE) {
            return Err(insufficient(R::ROLE));
        }
        Ok(Self(TenantAccess {
            holder: match token.reach.tenant() {
                None => Holder::Operator(token.id),
                Some(tenant) => Holder::Tenant(tenant),
            },
            tenant,
            actor: Actor(token.id),
            token: token.id,
            role: token.reach.role(),
            right: PhantomData,
        }))
    }
}

async fn valid_token(parts: &Parts, state: &AdminState) -> Result<Token, Problem> {
    let presented = parts
        .headers
        .get(AUTHORIZATION)
        .and_then(|value| bearer(value))
        .ok_or_else(unauthenticated)?;
    let credential = Credential::<TokenId>::parse(presented).map_err(|_| unauthenticated())?;
    let token = state
        .db
        .token(credential.id())
        .await?
        .ok_or_else(unauthenticated)?;
    if token.hash.matches(&credential) && token.is_valid(state.clock.now()) {
        Ok(token)
    } else {
        Err(unauthenticated())
    }
}

fn unauthenticated() -> Problem {
    Problem::new(
        Code::Unauthenticated,
        "a valid token is needed: `Authorization: Bearer mt_…`",
    )
    .header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
}

fn insufficient(role: Role) -> Problem {
    Problem::new(
        Code::InsufficientScope,
        format!("this needs a token with the role {role}"),
    )
    .hint(Hint::NeedsRole(role))
}
