//! Endpoints for activations: the active version of a plugin, and rollback.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::{Developer, TenantAccess, Viewer};
use super::input::{At, Input, NoParams, Params};
use super::page::Paging;
use super::state::AdminState;
use crate::domain::id::PluginName;
use crate::domain::plugin::Activation;
use crate::domain::resource::Resource;
use crate::http::problem::Problem;
use crate::lifecycle::Activated;
use crate::storage::Page;
use crate::wire::activations::{ActivatedView, ActivationView, NewActivation};
use crate::wire::page::Items;

/// Shows the latest activation of a plugin.
#[utoipa::path(get, path = "/tenants/{tenant}/plugins/{plugin}/activation", tag = "activations",
    responses((status = 200, body = ActivationView)), security(("token" = ["viewer"])))]
async fn get(
    access: TenantAccess<Viewer>,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
    At(plugin): At<PluginName>,
) -> Result<Json<ActivationView>, Problem> {
    let newest = state
        .db
        .activations(access.tenant.id, &plugin, Page::first(1))
        .await?;
    newest
        .into_iter()
        .next()
        .map(|activation| Json(activation.into()))
        .ok_or_else(|| Problem::not_found(Resource::Activation))
}

/// Activates a version: checks the grants, applies the migrations, and then serves new requests
/// with it. Running requests finish with their version.
#[utoipa::path(put, path = "/tenants/{tenant}/plugins/{plugin}/activation", tag = "activations",
    request_body = NewActivation,
    responses((status = 200, body = ActivatedView)), security(("token" = ["developer"])))]
async fn put(
    access: TenantAccess<Developer>,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
    At(plugin): At<PluginName>,
    Input(input): Input<NewActivation>,
) -> Result<Json<ActivatedView>, Problem> {
    let actor = access.actor.id();
    let activated = state
        .lifecycle
        .activate(&access.tenant, &plugin, &input.version, &actor)
        .await?;
    Ok(Json(
        ActivatedView::read(&state, &access, &plugin, activated).await,
    ))
}

/// Rolls back to the version that was active before and was not itself rolled back from. 409 if
/// there is none. An explicit activation restarts the search.
#[utoipa::path(post, path = "/tenants/{tenant}/plugins/{plugin}/activation/back", tag = "activations",
    responses((status = 200, body = ActivatedView)), security(("token" = ["developer"])))]
async fn roll_back(
    access: TenantAccess<Developer>,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
    At(plugin): At<PluginName>,
) -> Result<Json<ActivatedView>, Problem> {
    let actor = access.actor.id();
    let activated = state.lifecycle.roll_back(&access.tenant, &plugin, &actor).await?;
    Ok(Json(
        ActivatedView::read(&state, &access, &plugin, activated).await,
    ))
}

/// Lists activations, the newest first.
#[utoipa::path(get, path = "/tenants/{tenant}/plugins/{plugin}/activations", tag = "activations", params(Paging),
    responses((status = 200, body = Items<ActivationView>)), security(("token" = ["viewer"])))]
async fn list(
    access: TenantAccess<Viewer>,
    State(state): State<Arc<AdminState>>,
    At(plugin): At<PluginName>,
    Params(paging): Params<Paging>,
) -> Result<Json<Items<ActivationView>>, Problem> {
    let page = paging.page()?;
    if state.db.plugin(access.tenant.id, &plugin).await?.is_none() {
        return Err(Problem::not_found(Resource::Plugin));
    }
    let found = state
        .db
        .activations(access.tenant.id, &plugin, page.clone())
        .await?;
    Ok(Json(Items::new(
        found,
        &page,
        |activation| activation.sequence,
        ActivationView::from,
    )))
}

pub fn router() -> OpenApiRouter<Arc<AdminState>> {
    OpenApiRouter::new()
        .routes(routes!(get, put))
        .routes(routes!(roll_back))
        .routes(routes!(list))
}

impl From<Activation> for ActivationView {
    fn from(activation: Activation) -> Self {
        let Activation {
            sequence,
            digest,
            previous,
            rolled_back_to,
            actor,
            at,
        } = activation;
        Self {
            sequence,
            version: digest,
            previous,
            rolled_back_to,
            actor,
            at,
        }
    }
}

impl ActivatedView {
    async fn read(
        state: &AdminState,
        access: &TenantAccess<Developer>,
        plugin: &PluginName,
        activated: Activated,
    ) -> Self {
        let previous_author_version = match activated.activation.previous {
            Some(previous) => state.author_version(access.tenant.id, plugin, previous).await,
            None => None,
        };
        Self {
            activation: activated.activation.into(),
            author_version: activated.author_version,
            previous_author_version,
            migrations: activated.migrations,
            warnings: activated.warnings,
            url: state.plugin_url(&access.tenant.name, plugin),
        }
    }
}
