//! Endpoints for plugins.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::{Developer, Owner, TenantAccess, Viewer};
use super::input::{At, Input, NoParams, Params};
use super::page::{Paging, limit};
use super::state::AdminState;
use super::tenants::Deletion;
use crate::domain::audit::Difference;
use crate::domain::circuit::Open;
use crate::domain::id::{PluginName, TenantId};
use crate::domain::plugin::Plugin;
use crate::domain::resource::Resource;
use crate::domain::tenant::Tenant;
use crate::http::problem::Problem;
use crate::lifecycle::{CalleeName, UnhealthyCallee};
use crate::tenants::OpenCircuit;
use crate::wire::page::Items;
use crate::wire::plugins::{
    CircuitView, HealthState, HealthView, PluginPatch, PluginView, UnhealthyFunctionView, UnhealthyRouteView,
};

/// Filter for plugins.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PluginQuery {
    /// Lists the deleted plugins that can be restored, instead of the others.
    #[serde(default)]
    deleted: bool,
    /// `next` of the previous page; absent for the first page.
    cursor: Option<String>,
    /// Items per page: 1 to 200; 50 by default.
    #[serde(default, deserialize_with = "limit")]
    limit: Option<u32>,
}

/// Lists plugins by name.
#[utoipa::path(get, path = "/tenants/{tenant}/plugins", tag = "plugins", params(PluginQuery),
    responses((status = 200, body = Items<PluginView>)), security(("token" = ["viewer"])))]
async fn list(
    access: TenantAccess<Viewer>,
    State(state): State<Arc<AdminState>>,
    Params(query): Params<PluginQuery>,
) -> Result<Json<Items<PluginView>>, Problem> {
    let paging = Paging {
        cursor: query.cursor,
        limit: query.limit,
    };
    let page = paging.page()?;
    let tenant = access.tenant.id;
    let found = match query.deleted {
        true => state.db.deleted_plugins(tenant, page.clone()).await?,
        false => state.db.plugins(tenant, page.clone()).await?,
    };
    let Items { items, next } = Items::new(
        found,
        &page,
        |plugin: &Plugin| plugin.name.clone(),
        |plugin| plugin,
    );
    let mut views = Vec::new();
    for plugin in items {
        views.push(PluginView::read(plugin, &state, tenant).await);
    }
    Ok(Json(Items { items: views, next }))
}

/// Shows a plugin.
#[utoipa::path(get, path = "/tenants/{tenant}/plugins/{plugin}", tag = "plugins",
    responses((status = 200, body = PluginView)), security(("token" = ["viewer"])))]
async fn get(
    access: TenantAccess<Viewer>,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
    At(name): At<PluginName>,
) -> Result<Json<PluginView>, Problem> {
    shown(&state, &access.tenant, &name).await
}

/// Disables or enables a plugin.
#[utoipa::path(patch, path = "/tenants/{tenant}/plugins/{plugin}", tag = "plugins", request_body = PluginPatch,
    responses((status = 200, body = PluginView)), security(("token" = ["developer"])))]
async fn change(
    access: TenantAccess<Developer>,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
    At(name): At<PluginName>,
    Input(patch): Input<PluginPatch>,
) -> Result<Json<PluginView>, Problem> {
    let tenant = access.tenant.id;
    let former = state.db.plugin(tenant, &name).await?;
    let action = if patch.disabled {
        "plugin.disable"
    } else {
        "plugin.enable"
    };
    let disabled = |disabled: bool| json!({ "disabled": disabled });
    let difference = Difference::between(
        &former.map(|plugin| disabled(plugin.disabled)),
        &disabled(patch.disabled),
    );
    let change = state
        .change(&access.actor, action, name.as_str())
        .with(difference);
    let is_there = state
        .db
        .set_plugin_disabled(tenant, &name, patch.disabled, &change);
    if !is_there.await? {
        return Err(Problem::not_found(Resource::Plugin));
    }
    state.lifecycle.refresh(tenant).await;
    shown(&state, &access.tenant, &name).await
}

/// Deletes a plugin. It stops serving at once, its name stays reserved, and it can be restored
/// during the grace period (`retention.deleted`). With `purge`, its versions, grants and settings
/// are deleted permanently. Its data in the tenant's database is kept.
#[utoipa::path(delete, path = "/tenants/{tenant}/plugins/{plugin}", tag = "plugins", params(Deletion),
    responses((status = 204, description = "Deleted")), security(("token" = ["owner"])))]
async fn delete(
    access: TenantAccess<Owner>,
    State(state): State<Arc<AdminState>>,
    At(name): At<PluginName>,
    Params(deletion): Params<Deletion>,
) -> Result<StatusCode, Problem> {
    let lifecycle = &state.lifecycle;
    let is_gone = match deletion.purge {
        true => {
            let purge = state.change(&access.actor, "plugin.purge", name.as_str());
            lifecycle.purge_plugin(&access.tenant, &name, &purge).await?
        }
        false => {
            let delete = state.change(&access.actor, "plugin.delete", name.as_str());
            lifecycle.delete_plugin(&access.tenant, &name, &delete).await?
        }
    };
    if !is_gone {
        return Err(Problem::not_found(Resource::Plugin));
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Restores a deleted plugin. A plugin that is not deleted stays as it is. 409 if its schedules,
/// with those of the other plugins, are more than the tenant may have.
#[utoipa::path(post, path = "/tenants/{tenant}/plugins/{plugin}/restore", tag = "plugins",
    responses((status = 200, body = PluginView)), security(("token" = ["owner"])))]
async fn restore(
    access: TenantAccess<Owner>,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
    At(name): At<PluginName>,
) -> Result<Json<PluginView>, Problem> {
    let restore = state.change(&access.actor, "plugin.restore", name.as_str());
    state
        .lifecycle
        .restore_plugin(&access.tenant, &name, &restore)
        .await?;
    shown(&state, &access.tenant, &name).await
}

pub fn router() -> OpenApiRouter<Arc<AdminState>> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(get, change, delete))
        .routes(routes!(restore))
}

async fn shown(state: &AdminState, tenant: &Tenant, name: &PluginName) -> Result<Json<PluginView>, Problem> {
    let plugin = state.db.plugin(tenant.id, name).await?;
    let plugin = plugin.ok_or_else(|| Problem::not_found(Resource::Plugin))?;
    let active = match plugin.active {
        Some(active) => state.db.version(tenant.id, name, active).await?,
        None => None,
    };
    let warnings = match &active {
        Some(version) => state.lifecycle.unset_secrets(tenant, version).await?,
        None => Vec::new(),
    };
    let view = PluginView::read(plugin, state, tenant.id).await;
    Ok(Json(PluginView { warnings, ..view }))
}

impl PluginView {
    async fn read(plugin: Plugin, state: &AdminState, tenant: TenantId) -> Self {
        let author_version = match plugin.active {
            Some(active) => state.author_version(tenant, &plugin.name, active).await,
            None => None,
        };
        let health = HealthView::new(
            state.lifecycle.unhealthy(tenant, &plugin.name),
            state.lifecycle.unavailable(tenant, &plugin.name),
        );
        let Plugin {
            name,
            active,
            disabled,
            versions,
            created_at,
            deleted_at,
        } = plugin;
        Self {
            name,
            active,
            author_version,
            disabled,
            versions,
            created_at,
            deleted_at,
            health,
            warnings: Vec::new(),
        }
    }
}

impl HealthView {
    fn new(unhealthy: Vec<UnhealthyCallee>, unavailable: Option<String>) -> Self {
        let (mut routes, mut functions) = (Vec::new(), Vec::new());
        let mut worst = HealthState::Healthy;
        for UnhealthyCallee { callee, open_circuit } in unhealthy {
            let circuit = CircuitView::from(open_circuit);
            worst = worst.max(circuit.state);
            match callee {
                CalleeName::Route { method, pattern } => routes.push(UnhealthyRouteView {
                    method,
                    path: pattern,
                    circuit,
                }),
                CalleeName::Function(name) => functions.push(UnhealthyFunctionView { name, circuit }),
            }
        }
        Self {
            state: match unavailable {
                Some(_) => HealthState::Unavailable,
                None => worst,
            },
            reason: unavailable,
            routes,
            functions,
        }
    }
}

impl From<&Open> for HealthState {
    fn from(open: &Open) -> Self {
        match open.is_probing {
            true => Self::Probing,
            false => Self::Unhealthy,
        }
    }
}

impl From<OpenCircuit> for CircuitView {
    fn from(open_circuit: OpenCircuit) -> Self {
        let OpenCircuit { open, reason } = open_circuit;
        Self {
            state: HealthState::from(&open),
            since: open.since,
            reason: reason.as_str().to_owned(),
            next_probe_at: open.next_probe,
        }
    }
}
