//! Endpoints for a plugin's grants and settings.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::{Developer, Owner, TenantAccess, Viewer};
use super::bounds::{self, Kind};
use super::error::invalid;
use super::input::{At, Input, NoParams, SettingName};
use super::state::AdminState;
use crate::domain::audit::Difference;
use crate::domain::grant::Grants;
use crate::domain::id::{PluginName, TenantId};
use crate::domain::manifest_checks::MAX_GRANTED;
use crate::domain::plugin::Version;
use crate::domain::resource::Resource;
use crate::domain::secret::is_plain_name;
use crate::http::problem::Problem;
use crate::storage::Page;
use crate::wire::settings::{GrantsView, NewSetting};

/// The largest settings of a plugin: all names and values in bytes.
const MAX_CONFIG_BYTES: usize = 64 * 1024;

/// Shows the grants of a plugin, and the missing ones.
#[utoipa::path(get, path = "/tenants/{tenant}/plugins/{plugin}/grants", tag = "settings",
    responses((status = 200, body = GrantsView)), security(("token" = ["viewer"])))]
async fn get_grants(
    access: TenantAccess<Viewer>,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
    At(plugin): At<PluginName>,
) -> Result<Json<GrantsView>, Problem> {
    let grants = state.db.grants(access.tenant.id, &plugin).await?;
    grants_view(&state, access.tenant.id, &plugin, grants).await
}

/// Replaces the grants of a plugin. The change takes effect at once, also for removed grants.
#[utoipa::path(put, path = "/tenants/{tenant}/plugins/{plugin}/grants", tag = "settings", request_body = Grants,
    responses((status = 200, body = GrantsView)), security(("token" = ["owner"])))]
async fn put_grants(
    access: TenantAccess<Owner>,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
    At(plugin): At<PluginName>,
    Input(grants): Input<Grants>,
) -> Result<Json<GrantsView>, Problem> {
    check_grants(&grants)?;
    let tenant = access.tenant.id;
    let former = state.db.grants(tenant, &plugin).await?;
    let change = state.change(&access.actor, "grants.put", plugin.as_str());
    let change = change.with(Difference::between(&former, &grants));
    state.db.put_grants(tenant, &plugin, &grants, &change).await?;
    state.lifecycle.refresh(tenant).await;
    grants_view(&state, tenant, &plugin, grants).await
}

/// Shows a plugin's settings.
#[utoipa::path(get, path = "/tenants/{tenant}/plugins/{plugin}/config", tag = "settings",
    responses((status = 200, body = BTreeMap<String, String>)), security(("token" = ["viewer"])))]
async fn get_config(
    access: TenantAccess<Viewer>,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
    At(plugin): At<PluginName>,
) -> Result<Json<BTreeMap<String, String>>, Problem> {
    if state.db.plugin(access.tenant.id, &plugin).await?.is_none() {
        return Err(Problem::not_found(Resource::Plugin));
    }
    Ok(Json(state.db.config(access.tenant.id, &plugin).await?))
}

/// Replaces all of a plugin's settings.
#[utoipa::path(put, path = "/tenants/{tenant}/plugins/{plugin}/config", tag = "settings",
    request_body = BTreeMap<String, String>,
    responses((status = 200, body = BTreeMap<String, String>)), security(("token" = ["developer"])))]
async fn put_config(
    access: TenantAccess<Developer>,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
    At(plugin): At<PluginName>,
    Input(config): Input<BTreeMap<String, String>>,
) -> Result<Json<BTreeMap<String, String>>, Problem> {
    let tenant = access.tenant.id;
    let former = state.db.config(tenant, &plugin).await?;
    check_config(&config, &former)?;
    // The new settings replace the former ones, so only the difference in number is added.
    let added = u32::try_from(config.len().saturating_sub(former.len())).unwrap_or(u32::MAX);
    let counting = bounds::room_for(&state, &access.tenant, Kind::ConfigEntries, added).await?;
    let change = state.change(&access.actor, "config.put", plugin.as_str());
    let change = change.with(Difference::of_settings(&former, &config));
    state.db.put_config(tenant, &plugin, &config, &change).await?;
    drop(counting);
    state.lifecycle.refresh(tenant).await;
    Ok(Json(config))
}

/// Sets one of a plugin's settings and keeps the others.
#[utoipa::path(put, path = "/tenants/{tenant}/plugins/{plugin}/config/{setting}", tag = "settings",
    request_body = NewSetting,
    responses((status = 200, body = BTreeMap<String, String>)), security(("token" = ["developer"])))]
async fn put_setting(
    access: TenantAccess<Developer>,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
    At(plugin): At<PluginName>,
    At(SettingName(name)): At<SettingName>,
    Input(input): Input<NewSetting>,
) -> Result<Json<BTreeMap<String, String>>, Problem> {
    let tenant = access.tenant.id;
    let former = state.db.config(tenant, &plugin).await?;
    let mut config = former.clone();
    config.insert(name.clone(), input.value.clone());
    check_config(&config, &former)?;
    let added = u32::from(!former.contains_key(&name));
    let counting = bounds::room_for(&state, &access.tenant, Kind::ConfigEntries, added).await?;
    let change = state.change(&access.actor, "config.put", plugin.as_str());
    let change = change.with(Difference::of_settings(&former, &config));
    state
        .db
        .put_config_value(tenant, &plugin, &name, Some(&input.value), &change)
        .await?;
    drop(counting);
    state.lifecycle.refresh(tenant).await;
    Ok(Json(config))
}

/// Removes one of a plugin's settings.
#[utoipa::path(delete, path = "/tenants/{tenant}/plugins/{plugin}/config/{setting}", tag = "settings",
    responses((status = 204, description = "Deleted")), security(("token" = ["developer"])))]
async fn delete_setting(
    access: TenantAccess<Developer>,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
    At(plugin): At<PluginName>,
    At(SettingName(name)): At<SettingName>,
) -> Result<StatusCode, Problem> {
    let tenant = access.tenant.id;
    if state.db.plugin(tenant, &plugin).await?.is_none() {
        return Err(Problem::not_found(Resource::Plugin));
    }
    let former = state.db.config(tenant, &plugin).await?;
    if !former.contains_key(&name) {
        return Err(Problem::not_found(Resource::Setting));
    }
    let mut left = former.clone();
    left.remove(&name);
    let change = state.change(&access.actor, "config.delete", plugin.as_str());
    let change = change.with(Difference::of_settings(&former, &left));
    state
        .db
        .put_config_value(tenant, &plugin, &name, None, &change)
        .await?;
    state.lifecycle.refresh(tenant).await;
    Ok(StatusCode::NO_CONTENT)
}

pub fn router() -> OpenApiRouter<Arc<AdminState>> {
    OpenApiRouter::new()
        .routes(routes!(get_grants, put_grants))
        .routes(routes!(get_config, put_config))
        .routes(routes!(put_setting, delete_setting))
}

async fn grants_view(
    state: &AdminState,
    tenant: TenantId,
    plugin: &PluginName,
    grants: Grants,
) -> Result<Json<GrantsView>, Problem> {
    let version = version_in_question(state, tenant, plugin).await?;
    let missing = version
        .as_ref()
        .map_or_else(Vec::new, |version| grants.missing_for(&version.manifest));
    Ok(Json(GrantsView {
        grants,
        version: version.map(|version| version.digest),
        missing,
    }))
}

/// The active version of a plugin, otherwise its newest.
pub(super) async fn version_in_question(
    state: &AdminState,
    tenant: TenantId,
    plugin: &PluginName,
) -> Result<Option<Version>, Problem> {
    let found = state.db.plugin(tenant, plugin).await?;
    match found.ok_or_else(|| Problem::not_found(Resource::Plugin))?.active {
        Some(active) => Ok(state.db.version(tenant, plugin, active).await?),
        None => {
            let newest = state.db.versions(tenant, plugin, Page::first(1)).await?;
            Ok(newest.into_iter().next())
        }
    }
}

fn check_grants(grants: &Grants) -> Result<(), Problem> {
    let names = |place: &str, names: &[&String]| {
        if names.len() > MAX_GRANTED || names.iter().any(|name| name.is_empty() || name.len() > 128) {
            return Err(invalid(format!(
                "{place}: at most {MAX_GRANTED} names of 1 to 128 bytes are allowed"
            )));
        }
        Ok(())
    };
    if grants.http.len() > MAX_GRANTED {
        return Err(invalid(format!(
            "http: at most {MAX_GRANTED} origins are allowed"
        )));
    }
    if grants.events.len() > MAX_GRANTED {
        return Err(invalid(format!(
            "events: at most {MAX_GRANTED} topics are allowed"
        )));
    }
    if grants.email.len() > MAX_GRANTED {
        return Err(invalid(format!(
            "email: at most {MAX_GRANTED} addresses are allowed"
        )));
    }
    if grants
        .secrets
        .usable
        .iter()
        .any(|(_, origins)| origins.count() > MAX_GRANTED)
    {
        return Err(invalid(format!(
            "secrets.use: at most {MAX_GRANTED} origins are allowed for each secret"
        )));
    }
    let usable: Vec<&String> = grants.secrets.usable.iter().map(|(name, _)| name).collect();
    names("secrets.use", &usable)?;
    let revealed: Vec<&String> = grants.secrets.reveal.iter().collect();
    names("secrets.reveal", &revealed)
}

/// Refuses invalid names of settings, but keeps those that an earlier host stored.
fn check_config(config: &BTreeMap<String, String>, former: &BTreeMap<String, String>) -> Result<(), Problem> {
    let is_odd = |name: &&String| !is_plain_name(name) && !former.contains_key(*name);
    if let Some(name) = config.keys().find(is_odd) {
        let shown: String = name.chars().take(128).collect();
        return Err(invalid(format!(
            "{shown:?} is not the name of a setting: 1 to 128 of a-z, A-Z, 0-9, `_`, `-` and `.`"
        )));
    }
    let bytes: usize = config.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > MAX_CONFIG_BYTES {
        return Err(invalid(format!(
            "the settings have {bytes} bytes together; at most {MAX_CONFIG_BYTES} are allowed"
        )));
    }
    Ok(())
}
