//! Plugins.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::{Developer, Owner, TenantAccess, Viewer};
use super::input::{At, Input, Params};
use super::page::{Items, Paging};
use super::state::AdminState;
use super::tenants::Deletion;
use crate::domain::audit::Change;
use crate::domain::circuit::Open;
use crate::domain::clock::Timestamp;
use crate::domain::id::{FunctionName, PluginName, TenantId, VersionDigest};
use crate::domain::plugin::Plugin;
use crate::http::problem::Problem;
use crate::lifecycle::{AilingFunction, AilingRoute};
use crate::tenants::Ailment;

/// A plugin.
#[derive(Serialize, ToSchema)]
pub struct PluginView {
    /// The second segment of its URLs.
    name: PluginName,
    /// The version that serves, if any.
    active: Option<VersionDigest>,
    /// A disabled plugin answers 503 and keeps everything else.
    disabled: bool,
    /// How many versions are kept of it.
    versions: u32,
    /// When its first version was uploaded.
    created_at: Timestamp,
    /// When it was deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted_at: Option<Timestamp>,
    /// How its active version fares.
    health: HealthView,
}

/// How the active version of a plugin fares.
#[derive(Serialize, ToSchema)]
pub struct HealthView {
    /// The worst of its routes and functions, or `unavailable`.
    state: HealthState,
    /// Why the active version cannot be served at all; absent if it can.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Routes that answer 503 because they failed time after time. The others serve.
    routes: Vec<AilingRouteView>,
    /// Functions for which the same holds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    functions: Vec<AilingFunctionView>,
}

/// Whether requests run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum HealthState {
    /// They do.
    Healthy,
    /// One does, to see whether the others may.
    Probing,
    /// They are answered with 503 `plugin-unhealthy`.
    Unhealthy,
    /// They are answered with 503 `unavailable`: what the host stores of the plugin cannot be read. The host
    /// tries again by itself; uploading the version again helps if its file is damaged.
    Unavailable,
}

/// A function that answers 503.
#[derive(Serialize, ToSchema)]
pub struct AilingFunctionView {
    /// Its name.
    name: FunctionName,
    /// `unhealthy` or `probing`.
    state: HealthState,
    /// Since when.
    since: Timestamp,
    /// The code of the problem that its last call ended with.
    reason: &'static str,
    /// From when on a call is let through to see whether it works again.
    next_probe_at: Timestamp,
}

/// A route that answers 503.
#[derive(Serialize, ToSchema)]
pub struct AilingRouteView {
    /// Its method.
    method: String,
    /// Its pattern.
    path: String,
    /// `unhealthy` or `probing`.
    state: HealthState,
    /// Since when.
    since: Timestamp,
    /// The code of the problem that its last request ended with.
    reason: &'static str,
    /// From when on a request is let through to see whether it works again.
    next_probe_at: Timestamp,
}

/// What to change.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PluginPatch {
    /// Disabled or not.
    disabled: bool,
}

/// Which plugins are wanted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PluginQuery {
    /// Those that were deleted and can be restored, in place of the others.
    #[serde(default)]
    deleted: bool,
    /// `next` of the page before; none for the first page.
    cursor: Option<String>,
    /// Items of a page: 1 to 200; 50 by default.
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
    Ok(Json(Items::new(
        found,
        &page,
        |plugin| plugin.name.clone(),
        |plugin| PluginView::new(plugin, &state, access.tenant.id),
    )))
}

/// Shows a plugin.
#[utoipa::path(get, path = "/tenants/{tenant}/plugins/{plugin}", tag = "plugins",
    responses((status = 200, body = PluginView)), security(("token" = ["viewer"])))]
async fn get(
    access: TenantAccess<Viewer>,
    State(state): State<Arc<AdminState>>,
    At(name): At<PluginName>,
) -> Result<Json<PluginView>, Problem> {
    let plugin = state.db.plugin(access.tenant.id, &name).await?;
    plugin
        .map(|plugin| Json(PluginView::new(plugin, &state, access.tenant.id)))
        .ok_or_else(|| Problem::not_found("plugin"))
}

/// Disables or enables a plugin.
#[utoipa::path(patch, path = "/tenants/{tenant}/plugins/{plugin}", tag = "plugins", request_body = PluginPatch,
    responses((status = 200, body = PluginView)), security(("token" = ["developer"])))]
async fn change(
    access: TenantAccess<Developer>,
    State(state): State<Arc<AdminState>>,
    At(name): At<PluginName>,
    Input(patch): Input<PluginPatch>,
) -> Result<Json<PluginView>, Problem> {
    let tenant = access.tenant.id;
    let former = state.db.plugin(tenant, &name).await?;
    if !state
        .db
        .set_plugin_disabled(tenant, &name, patch.disabled)
        .await?
    {
        return Err(Problem::not_found("plugin"));
    }
    let action = if patch.disabled {
        "plugin.disable"
    } else {
        "plugin.enable"
    };
    let disabled = |disabled: bool| json!({ "disabled": disabled });
    let change = Change::between(
        &former.map(|plugin| disabled(plugin.disabled)),
        &disabled(patch.disabled),
    );
    state
        .changed(&access.actor, Some(tenant), action, name.as_str(), change)
        .await?;
    let plugin = state.db.plugin(tenant, &name).await?;
    plugin
        .map(|plugin| Json(PluginView::new(plugin, &state, tenant)))
        .ok_or_else(|| Problem::not_found("plugin"))
}

/// Deletes a plugin. It is gone at once; its name stays reserved, and it can be restored during the grace
/// period (`retention.deleted`). With `purge` its versions, grants and settings go at once and for good. What
/// it stored in the tenant's database stays.
#[utoipa::path(delete, path = "/tenants/{tenant}/plugins/{plugin}", tag = "plugins", params(Deletion),
    responses((status = 204, description = "It is gone")), security(("token" = ["owner"])))]
async fn delete(
    access: TenantAccess<Owner>,
    State(state): State<Arc<AdminState>>,
    At(name): At<PluginName>,
    Params(deletion): Params<Deletion>,
) -> Result<StatusCode, Problem> {
    let lifecycle = &state.lifecycle;
    let (is_gone, action) = match deletion.purge {
        true => (
            lifecycle.purge_plugin(&access.tenant, &name).await?,
            "plugin.purge",
        ),
        false => (
            lifecycle.delete_plugin(&access.tenant, &name).await?,
            "plugin.delete",
        ),
    };
    if !is_gone {
        return Err(Problem::not_found("plugin"));
    }
    state
        .audit(&access.actor, Some(access.tenant.id), action, name.as_str())
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Restores a deleted plugin as it was. A plugin that is not deleted stays as it is.
#[utoipa::path(post, path = "/tenants/{tenant}/plugins/{plugin}/restore", tag = "plugins",
    responses((status = 200, body = PluginView)), security(("token" = ["owner"])))]
async fn restore(
    access: TenantAccess<Owner>,
    State(state): State<Arc<AdminState>>,
    At(name): At<PluginName>,
) -> Result<Json<PluginView>, Problem> {
    let tenant = access.tenant.id;
    if state.lifecycle.restore_plugin(&access.tenant, &name).await? {
        state
            .audit(&access.actor, Some(tenant), "plugin.restore", name.as_str())
            .await?;
    }
    let plugin = state.db.plugin(tenant, &name).await?;
    plugin
        .map(|plugin| Json(PluginView::new(plugin, &state, tenant)))
        .ok_or_else(|| Problem::not_found("plugin"))
}

pub fn router() -> OpenApiRouter<Arc<AdminState>> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(get, change, delete))
        .routes(routes!(restore))
}

impl PluginView {
    fn new(plugin: Plugin, state: &AdminState, tenant: TenantId) -> Self {
        let health = HealthView::new(
            state.lifecycle.ailing_routes(tenant, &plugin.name),
            state.lifecycle.ailing_functions(tenant, &plugin.name),
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
            disabled,
            versions,
            created_at,
            deleted_at,
            health,
        }
    }
}

impl HealthView {
    fn new(routes: Vec<AilingRoute>, functions: Vec<AilingFunction>, unavailable: Option<String>) -> Self {
        let routes: Vec<AilingRouteView> = routes.into_iter().map(AilingRouteView::from).collect();
        let functions: Vec<AilingFunctionView> =
            functions.into_iter().map(AilingFunctionView::from).collect();
        let of_functions = functions.iter().map(|function| function.state);
        let worst = routes.iter().map(|route| route.state).chain(of_functions).max();
        let worst = worst.unwrap_or(HealthState::Healthy);
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

impl From<AilingFunction> for AilingFunctionView {
    fn from(function: AilingFunction) -> Self {
        let AilingFunction {
            name,
            ailment: Ailment { open, reason },
        } = function;
        Self {
            name,
            state: HealthState::from(&open),
            since: open.since,
            reason: reason.as_str(),
            next_probe_at: open.next_probe,
        }
    }
}

impl From<AilingRoute> for AilingRouteView {
    fn from(route: AilingRoute) -> Self {
        let AilingRoute {
            method,
            pattern,
            ailment: Ailment { open, reason },
        } = route;
        Self {
            method,
            path: pattern,
            state: HealthState::from(&open),
            since: open.since,
            reason: reason.as_str(),
            next_probe_at: open.next_probe,
        }
    }
}
