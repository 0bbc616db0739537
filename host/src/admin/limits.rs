//! Endpoints for the effective limits of a tenant and of its plugins.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::{TenantAccess, Viewer};
use super::input::{At, NoParams, Params};
use super::settings::version_in_question;
use super::state::AdminState;
use crate::domain::effective::{Effective, Source};
use crate::domain::id::PluginName;
use crate::domain::limits::{LimitOverrides, Limits};
use crate::domain::resource::Resource;
use crate::domain::tenant::{Plan, Tenant};
use crate::domain::version_name::VersionName;
use crate::http::problem::Problem;
use crate::wire::limits::{LimitView, PluginLimits, TenantLimits};

/// The version of the plugin.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LimitsQuery {
    /// A version: its digest, the first digits of the digest, or the author's version. By default
    /// the active one, otherwise the newest.
    #[param(value_type = Option<String>)]
    version: Option<VersionName>,
}

/// Shows the effective limits of a tenant, what set each, and the host's ceilings.
#[utoipa::path(get, path = "/tenants/{tenant}/limits", tag = "limits",
    responses((status = 200, body = TenantLimits)), security(("token" = ["viewer"])))]
async fn get(
    access: TenantAccess<Viewer>,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
) -> Result<Json<TenantLimits>, Problem> {
    let tenant = access.tenant;
    let plan = plan_of(&state, &tenant).await?;
    let layers = [(Source::Plan, &plan.limits), (Source::Tenant, &tenant.limits)];
    let limits = state.limits.effective(&layers);
    Ok(Json(TenantLimits {
        plan,
        overrides: tenant.limits,
        limits,
    }))
}

/// Shows which limits hold for a plugin: those of its tenant, lowered by the manifest of a version;
/// and those that the manifest lowers further for single functions.
#[utoipa::path(get, path = "/tenants/{tenant}/plugins/{plugin}/limits", tag = "limits", params(LimitsQuery),
    responses((status = 200, body = PluginLimits)), security(("token" = ["viewer"])))]
async fn get_of_plugin(
    access: TenantAccess<Viewer>,
    State(state): State<Arc<AdminState>>,
    At(plugin): At<PluginName>,
    Params(query): Params<LimitsQuery>,
) -> Result<Json<PluginLimits>, Problem> {
    let tenant = access.tenant;
    let version = match query.version {
        Some(name) => Some(state.lifecycle.named_version(&tenant, &plugin, &name).await?),
        None => version_in_question(&state, tenant.id, &plugin).await?,
    };
    let plan = plan_of(&state, &tenant).await?;
    let mut layers = vec![(Source::Plan, &plan.limits), (Source::Tenant, &tenant.limits)];
    if let Some(version) = &version {
        layers.push((Source::Manifest, &version.manifest.limits));
    }
    let limits = state.limits.effective(&layers);
    let mut functions = BTreeMap::new();
    for function in version.iter().flat_map(|version| &version.manifest.functions) {
        let overrides = function.limits.overrides();
        let of_function = [&layers[..], &[(Source::Manifest, &overrides)]].concat();
        let mut lowered = state.limits.effective(&of_function);
        lowered.retain(|name, limit| limits.get(name).is_none_or(|plugin| plugin.value != limit.value));
        if !lowered.is_empty() {
            functions.insert(function.name.to_string(), lowered);
        }
    }
    Ok(Json(PluginLimits {
        limits,
        functions,
        version: version.map(|version| version.digest),
    }))
}

pub fn router() -> OpenApiRouter<Arc<AdminState>> {
    OpenApiRouter::new()
        .routes(routes!(get))
        .routes(routes!(get_of_plugin))
}

/// The limits in the operator's configuration.
#[derive(Clone, Debug)]
pub struct HostLimits {
    /// Default limits of tenants, which their plan may change.
    pub defaults: Limits,
    /// The highest values that plans can set.
    pub ceiling: Limits,
}

impl HostLimits {
    fn effective(&self, layers: &[(Source, &LimitOverrides)]) -> BTreeMap<String, LimitView> {
        let all = self.defaults.effective(layers, &self.ceiling);
        all.into_iter()
            .map(|limit| (limit.name.to_owned(), limit.into()))
            .collect()
    }

    /// Refuses limits that are out of range. `place` is the prefix of their names in the body: a
    /// path with a dot at the end, or nothing.
    pub fn check(&self, place: &str, limits: &LimitOverrides) -> Result<(), Problem> {
        let checked = limits.check(&self.ceiling);
        checked.map_err(|error| super::error::invalid(format!("{place}{error}")))
    }
}

impl Default for HostLimits {
    fn default() -> Self {
        Self {
            defaults: Limits::default(),
            ceiling: Limits::ceiling(),
        }
    }
}

impl From<Effective> for LimitView {
    fn from(limit: Effective) -> Self {
        Self {
            value: limit.value,
            source: limit.source,
            ceiling: limit.ceiling,
            floor: limit.floor,
            bounds: limit.owner,
            note: limit.note,
        }
    }
}

async fn plan_of(state: &AdminState, tenant: &Tenant) -> Result<Plan, Problem> {
    let plan = state.db.plan(&tenant.plan).await?;
    plan.ok_or_else(|| Problem::not_found(Resource::Plan))
}
