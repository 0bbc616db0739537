//! Plugins.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::{Developer, Owner, TenantAccess, Viewer};
use super::input::{At, Input, Params};
use super::page::{Items, Paging};
use super::state::AdminState;
use crate::domain::clock::Timestamp;
use crate::domain::id::{PluginName, VersionDigest};
use crate::domain::plugin::Plugin;
use crate::problem::Problem;

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
}

/// What to change.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PluginPatch {
    /// Disabled or not.
    disabled: bool,
}

/// Lists plugins by name.
#[utoipa::path(get, path = "/tenants/{tenant}/plugins", tag = "plugins", params(Paging),
    responses((status = 200, body = Items<PluginView>)), security(("token" = ["viewer"])))]
async fn list(
    access: TenantAccess<Viewer>,
    State(state): State<Arc<AdminState>>,
    Params(paging): Params<Paging>,
) -> Result<Json<Items<PluginView>>, Problem> {
    let page = paging.page()?;
    let found = state.db.plugins(access.tenant.id, page.clone()).await?;
    Ok(Json(Items::new(
        found,
        &page,
        |plugin| plugin.name.clone(),
        PluginView::from,
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
        .map(|plugin| Json(plugin.into()))
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
    state
        .changed(&access.actor, Some(tenant), action, name.as_str())
        .await?;
    let plugin = state.db.plugin(tenant, &name).await?;
    plugin
        .map(|plugin| Json(plugin.into()))
        .ok_or_else(|| Problem::not_found("plugin"))
}

/// Deletes a plugin with its versions, grants and settings. What it stored in the tenant's database stays.
#[utoipa::path(delete, path = "/tenants/{tenant}/plugins/{plugin}", tag = "plugins",
    responses((status = 204, description = "It is gone")), security(("token" = ["owner"])))]
async fn delete(
    access: TenantAccess<Owner>,
    State(state): State<Arc<AdminState>>,
    At(name): At<PluginName>,
) -> Result<StatusCode, Problem> {
    if !state.lifecycle.delete_plugin(&access.tenant, &name).await? {
        return Err(Problem::not_found("plugin"));
    }
    let tenant = Some(access.tenant.id);
    state
        .audit(&access.actor, tenant, "plugin.delete", name.as_str())
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

pub fn router() -> OpenApiRouter<Arc<AdminState>> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(get, change, delete))
}

impl From<Plugin> for PluginView {
    fn from(plugin: Plugin) -> Self {
        let Plugin {
            name,
            active,
            disabled,
            versions,
            created_at,
        } = plugin;
        Self {
            name,
            active,
            disabled,
            versions,
            created_at,
        }
    }
}
