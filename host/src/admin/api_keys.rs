//! Endpoints for the API keys of a tenant.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::json;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::{Owner, TenantAccess, Viewer};
use super::bounds::{self, DEAD_CREDENTIALS, Kind};
use super::error::{invalid, revoked_before};
use super::input::{At, Input, NoParams, Params, check_expiry, check_label};
use super::page::Paging;
use super::state::AdminState;
use crate::domain::api_key::{ApiKey, is_scope};
use crate::domain::audit::Difference;
use crate::domain::credential::Credential;
use crate::domain::id::ApiKeyId;
use crate::domain::resource::Resource;
use crate::http::problem::Problem;
use crate::wire::api_keys::{ApiKeyView, CreatedApiKey, NewApiKey};
use crate::wire::page::Items;

/// The most scopes of one key.
const MAX_SCOPES: usize = 50;

/// Lists API keys, the oldest first. Revoked keys are included.
#[utoipa::path(get, path = "/tenants/{tenant}/api-keys", tag = "api-keys", params(Paging),
    responses((status = 200, body = Items<ApiKeyView>)), security(("token" = ["viewer"])))]
async fn list(
    access: TenantAccess<Viewer>,
    State(state): State<Arc<AdminState>>,
    Params(paging): Params<Paging>,
) -> Result<Json<Items<ApiKeyView>>, Problem> {
    let page = paging.page()?;
    let found = state.db.api_keys(access.tenant.id, page.clone()).await?;
    Ok(Json(Items::new(found, &page, |key| key.id, ApiKeyView::from)))
}

/// Creates an API key. Only this response contains the credential.
#[utoipa::path(post, path = "/tenants/{tenant}/api-keys", tag = "api-keys", request_body = NewApiKey,
    responses((status = 201, body = CreatedApiKey)), security(("token" = ["owner"])))]
async fn create(
    access: TenantAccess<Owner>,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
    Input(input): Input<NewApiKey>,
) -> Result<(StatusCode, Json<CreatedApiKey>), Problem> {
    let now = state.clock.now();
    check_label("name", &input.name)?;
    check_scopes(&input.scopes)?;
    check_expiry(input.expires_at, now)?;
    let credential = Credential::generate(ApiKeyId::generate()).map_err(Problem::internal)?;
    let key = ApiKey {
        id: credential.id(),
        name: input.name,
        scopes: input.scopes.into(),
        hash: credential.hash(),
        created_at: now,
        expires_at: input.expires_at,
        revoked_at: None,
    };
    let tenant = access.tenant.id;
    let counting = bounds::room_for(&state, &access.tenant, Kind::ApiKeys, 1).await?;
    let change = state.change(&access.actor, "api-key.create", key.id.to_string());
    let change = change.with(Difference::made(&json!({
        "name": key.name, "scopes": *key.scopes, "expires_at": key.expires_at,
    })));
    state.lifecycle.add_api_key(tenant, key.clone(), &change).await?;
    drop(counting);
    state
        .db
        .forget_dead_credentials(tenant, now, DEAD_CREDENTIALS)
        .await?;
    let created = CreatedApiKey {
        key: key.into(),
        credential: credential.reveal(),
    };
    Ok((StatusCode::CREATED, Json(created)))
}

/// Revokes an API key. It stops working at once.
#[utoipa::path(delete, path = "/tenants/{tenant}/api-keys/{api_key}", tag = "api-keys",
    responses((status = 204, description = "Revoked")), security(("token" = ["owner"])))]
async fn revoke(
    access: TenantAccess<Owner>,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
    At(id): At<ApiKeyId>,
) -> Result<StatusCode, Problem> {
    let tenant = access.tenant.id;
    let former = state.db.api_key(tenant, id).await?;
    let former = former.ok_or_else(|| Problem::not_found(Resource::ApiKey))?;
    if let Some(at) = former.revoked_at {
        return Err(revoked_before("API key", &former.name, at));
    }
    let (name, change) = (
        &former.name,
        state.change(&access.actor, "api-key.revoke", id.to_string()),
    );
    let difference = Difference {
        before: Some(json!({ "name": name, "revoked_at": null })),
        after: Some(json!({ "name": name, "revoked_at": change.at })),
    };
    let change = change.with(difference);
    if !state.lifecycle.revoke_api_key(tenant, id, &change).await? {
        return Err(Problem::not_found(Resource::ApiKey));
    }
    Ok(StatusCode::NO_CONTENT)
}

pub fn router() -> OpenApiRouter<Arc<AdminState>> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(revoke))
}

impl From<ApiKey> for ApiKeyView {
    fn from(key: ApiKey) -> Self {
        let ApiKey {
            id,
            name,
            scopes,
            hash: _,
            created_at,
            expires_at,
            revoked_at,
        } = key;
        Self {
            id,
            name,
            scopes: scopes.to_vec(),
            created_at,
            expires_at,
            revoked_at,
        }
    }
}

fn check_scopes(scopes: &[String]) -> Result<(), Problem> {
    if scopes.len() > MAX_SCOPES {
        return Err(invalid(format!("scopes: at most {MAX_SCOPES} are allowed")));
    }
    match scopes.iter().position(|scope| !is_scope(scope)) {
        Some(index) => Err(invalid(format!(
            "scopes[{index}]: 1 to 100 visible ASCII characters without spaces are needed"
        ))),
        None => Ok(()),
    }
}
