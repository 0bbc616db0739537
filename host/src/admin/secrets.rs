//! Endpoints for secrets. They can be written but never read.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use secrecy::SecretString;
use serde_json::json;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::{Owner, TenantAccess, Viewer};
use super::bounds::{self, Kind};
use super::error::invalid;
use super::input::{At, Input, NoParams, SecretName};
use super::state::AdminState;
use crate::domain::audit::Difference;
use crate::domain::clock::Timestamp;
use crate::domain::resource::Resource;
use crate::http::problem::Problem;
use crate::wire::page::Items;
use crate::wire::secrets::{NewSecret, SecretView};

/// The largest secret in bytes.
const MAX_SECRET_BYTES: usize = 64 * 1024;

/// Lists the names of all secrets.
#[utoipa::path(get, path = "/tenants/{tenant}/secrets", tag = "secrets",
    responses((status = 200, body = Items<SecretView>)), security(("token" = ["viewer"])))]
async fn list(
    access: TenantAccess<Viewer>,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
) -> Result<Json<Items<SecretView>>, Problem> {
    let tenant = access.tenant.id;
    let names = state.db.secret_names(tenant).await?;
    let sealed = state.db.sealed_secrets(tenant).await?;
    let vault = state.vault.clone();
    let view = move |(name, updated_at): (String, Timestamp)| SecretView {
        // A secret that was deleted between the two queries counts as readable.
        readable: sealed
            .get(&name)
            .is_none_or(|sealed| vault.open(tenant, &name, sealed).is_ok()),
        name,
        updated_at,
    };
    // Decrypting many large secrets takes long, so it runs on a blocking thread.
    let views = tokio::task::spawn_blocking(move || names.into_iter().map(view).collect());
    Ok(Json(Items::all(views.await.map_err(Problem::internal)?)))
}

/// Creates or replaces a secret.
#[utoipa::path(put, path = "/tenants/{tenant}/secrets/{name}", tag = "secrets", request_body = NewSecret,
    responses((status = 204, description = "Set")), security(("token" = ["owner"])))]
async fn put(
    access: TenantAccess<Owner>,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
    At(SecretName(name)): At<SecretName>,
    Input(input): Input<NewSecret>,
) -> Result<StatusCode, Problem> {
    if !(1..=MAX_SECRET_BYTES).contains(&input.value.len()) {
        return Err(invalid(format!(
            "value: 1 to {MAX_SECRET_BYTES} bytes are needed"
        )));
    }
    let tenant = access.tenant.id;
    let names = state.db.secret_names(tenant).await?;
    let former = names.iter().find(|(known, _)| *known == name);
    let former = former.map(|(_, updated_at)| *updated_at);
    let added = u32::from(former.is_none());
    let counting = bounds::room_for(&state, &access.tenant, Kind::Secrets, added).await?;
    let sealed = state
        .vault
        .seal(tenant, &name, &SecretString::from(input.value))?;
    let change = state.change(&access.actor, "secret.put", name.as_str());
    let set = |at: Timestamp| json!({ "updated_at": at });
    let difference = Difference {
        before: former.map(set),
        after: Some(set(change.at)),
    };
    let change = change.with(difference);
    state.db.put_secret(tenant, &name, &sealed, &change).await?;
    drop(counting);
    state.lifecycle.refresh(tenant).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Deletes a secret.
#[utoipa::path(delete, path = "/tenants/{tenant}/secrets/{name}", tag = "secrets",
    responses((status = 204, description = "Deleted")), security(("token" = ["owner"])))]
async fn delete(
    access: TenantAccess<Owner>,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
    At(SecretName(name)): At<SecretName>,
) -> Result<StatusCode, Problem> {
    let tenant = access.tenant.id;
    let change = state.change(&access.actor, "secret.delete", name.as_str());
    if !state.db.delete_secret(tenant, &name, &change).await? {
        return Err(Problem::not_found(Resource::Secret));
    }
    state.lifecycle.refresh(tenant).await;
    Ok(StatusCode::NO_CONTENT)
}

pub fn router() -> OpenApiRouter<Arc<AdminState>> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(put, delete))
}
