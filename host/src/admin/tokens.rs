//! Endpoints for tokens of the admin API, those of tenants and those of the host.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::json;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::{Actor, Authenticated, HostAccess, Owner, TenantAccess};
use super::bounds::{self, DEAD_CREDENTIALS, Kind};
use super::error::{invalid, revoked_before};
use super::input::{At, Input, NoParams, Params, check_expiry, check_label};
use super::page::Paging;
use super::state::AdminState;
use crate::domain::audit::Difference;
use crate::domain::clock::Timestamp;
use crate::domain::credential::Credential;
use crate::domain::id::{TenantId, TokenId};
use crate::domain::problem::Code;
use crate::domain::resource::Resource;
use crate::domain::token::{FIRST_OPERATOR, Reach, Token};
use crate::http::problem::Problem;
use crate::wire::page::Items;
use crate::wire::tokens::{CreatedToken, HostRole, NewHostToken, NewTenantToken, TokenView, WhoAmI};

/// Shows the token of the request.
#[utoipa::path(get, path = "/whoami", tag = "tokens",
    responses((status = 200, body = WhoAmI)), security(("token" = [])))]
async fn whoami(
    Authenticated(token): Authenticated,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
) -> Result<Json<WhoAmI>, Problem> {
    let tenant = match token.reach.tenant() {
        Some(tenant) => state.db.tenant(tenant).await?.map(|tenant| tenant.name),
        None => None,
    };
    Ok(Json(WhoAmI {
        token: token.into(),
        tenant,
    }))
}

/// Lists a tenant's tokens, the oldest first. Revoked tokens are included.
#[utoipa::path(get, path = "/tenants/{tenant}/tokens", tag = "tokens", params(Paging),
    responses((status = 200, body = Items<TokenView>)), security(("token" = ["owner"])))]
async fn list(
    access: TenantAccess<Owner>,
    State(state): State<Arc<AdminState>>,
    Params(paging): Params<Paging>,
) -> Result<Json<Items<TokenView>>, Problem> {
    page_of(&state, Some(access.tenant.id), &paging).await
}

/// Creates a token of a tenant. Only this response contains the credential.
#[utoipa::path(post, path = "/tenants/{tenant}/tokens", tag = "tokens", request_body = NewTenantToken,
    responses((status = 201, body = CreatedToken)), security(("token" = ["owner"])))]
async fn create(
    access: TenantAccess<Owner>,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
    Input(input): Input<NewTenantToken>,
) -> Result<(StatusCode, Json<CreatedToken>), Problem> {
    let tenant = access.tenant.id;
    let role = input
        .role
        .ok_or_else(|| invalid("role: it is missing; use viewer, developer or owner"))?;
    let counting = bounds::room_for(&state, &access.tenant, Kind::Tokens, 1).await?;
    let reach = Reach::Tenant(tenant, role);
    let made = make(&state, &access.actor, reach, input.name, input.expires_at).await?;
    drop(counting);
    state
        .db
        .forget_dead_credentials(tenant, state.clock.now(), DEAD_CREDENTIALS)
        .await?;
    Ok(made)
}

/// Revokes a token of a tenant. It stops working at once.
#[utoipa::path(delete, path = "/tenants/{tenant}/tokens/{token}", tag = "tokens",
    responses((status = 204, description = "Revoked")), security(("token" = ["owner"])))]
async fn revoke(
    access: TenantAccess<Owner>,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
    At(id): At<TokenId>,
) -> Result<StatusCode, Problem> {
    unmake(&state, &access.actor, Some(access.tenant.id), id).await
}

/// Lists the tokens that belong to no tenant, the oldest first. Revoked tokens are included.
#[utoipa::path(get, path = "/tokens", tag = "tokens", params(Paging),
    responses((status = 200, body = Items<TokenView>)), security(("token" = ["operator"])))]
async fn list_host(
    _: HostAccess,
    State(state): State<Arc<AdminState>>,
    Params(paging): Params<Paging>,
) -> Result<Json<Items<TokenView>>, Problem> {
    page_of(&state, None, &paging).await
}

/// Creates a token for an operator or for reading metrics. Only this response contains the
/// credential.
#[utoipa::path(post, path = "/tokens", tag = "tokens", request_body = NewHostToken,
    responses((status = 201, body = CreatedToken)), security(("token" = ["operator"])))]
async fn create_host(
    access: HostAccess,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
    Input(input): Input<NewHostToken>,
) -> Result<(StatusCode, Json<CreatedToken>), Problem> {
    if input.name == FIRST_OPERATOR {
        let detail = format!(
            "the host names the token that it creates `{}`; choose another name",
            input.name
        );
        return Err(Problem::new(Code::Conflict, detail));
    }
    let reach = match input.role {
        HostRole::Operator => Reach::Host,
        HostRole::Metrics => Reach::Metrics,
    };
    make(&state, &access.actor, reach, input.name, input.expires_at).await
}

/// Revokes a token that belongs to no tenant. It stops working at once.
#[utoipa::path(delete, path = "/tokens/{token}", tag = "tokens",
    responses((status = 204, description = "Revoked")), security(("token" = ["operator"])))]
async fn revoke_host(
    access: HostAccess,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
    At(id): At<TokenId>,
) -> Result<StatusCode, Problem> {
    unmake(&state, &access.actor, None, id).await
}

pub fn router() -> OpenApiRouter<Arc<AdminState>> {
    OpenApiRouter::new()
        .routes(routes!(whoami))
        .routes(routes!(list, create))
        .routes(routes!(revoke))
        .routes(routes!(list_host, create_host))
        .routes(routes!(revoke_host))
}

impl From<Token> for TokenView {
    fn from(token: Token) -> Self {
        Self {
            id: token.id,
            name: token.name,
            role: token.reach.role(),
            created_at: token.created_at,
            expires_at: token.expires_at,
            revoked_at: token.revoked_at,
        }
    }
}

async fn page_of(
    state: &AdminState,
    tenant: Option<TenantId>,
    paging: &Paging,
) -> Result<Json<Items<TokenView>>, Problem> {
    let page = paging.page()?;
    let found = state.db.tokens(tenant, page.clone()).await?;
    Ok(Json(Items::new(found, &page, |token| token.id, TokenView::from)))
}

async fn make(
    state: &AdminState,
    actor: &Actor,
    reach: Reach,
    name: String,
    expires_at: Option<Timestamp>,
) -> Result<(StatusCode, Json<CreatedToken>), Problem> {
    let now = state.clock.now();
    check_label("name", &name)?;
    check_expiry(expires_at, now)?;
    let credential = Credential::generate(TokenId::generate()).map_err(Problem::internal)?;
    let token = Token {
        id: credential.id(),
        name,
        reach,
        hash: credential.hash(),
        created_at: now,
        expires_at,
        revoked_at: None,
    };
    let change = state.change(actor, "token.create", token.id.to_string());
    let change = change.with(Difference::made(&json!({
        "name": token.name, "role": token.reach.role(), "expires_at": token.expires_at,
    })));
    // Serving requests does not use tokens, so no refresh is needed.
    state.db.insert_token(&token, &change).await?;
    let created = CreatedToken {
        token: token.into(),
        credential: credential.reveal(),
    };
    Ok((StatusCode::CREATED, Json(created)))
}

async fn unmake(
    state: &AdminState,
    actor: &Actor,
    tenant: Option<TenantId>,
    id: TokenId,
) -> Result<StatusCode, Problem> {
    let former = state.db.token(id).await?;
    let former = former.filter(|token| token.reach.tenant() == tenant);
    let former = former.ok_or_else(|| Problem::not_found(Resource::Token))?;
    if let Some(at) = former.revoked_at {
        return Err(revoked_before("token", &former.name, at));
    }
    let (name, change) = (&former.name, state.change(actor, "token.revoke", id.to_string()));
    let difference = Difference {
        before: Some(json!({ "name": name, "revoked_at": null })),
        after: Some(json!({ "name": name, "revoked_at": change.at })),
    };
    if !state
        .db
        .revoke_token(tenant, id, &change.with(difference))
        .await?
    {
        return Err(Problem::not_found(Resource::Token));
    }
    Ok(StatusCode::NO_CONTENT)
}
