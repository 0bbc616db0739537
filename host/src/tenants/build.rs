//! Builds what the gateway knows of a tenant from what the control plane stores.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::admission::{Gate, GateSize};
use super::api_keys::ApiKeys;
use super::bodies::Bodies;
use super::budget::SharedBudget;
use super::health::{Breaker, RouteHealth};
use super::snapshot::{MethodRoute, PluginRoutes, RouteRate, Router, TenantRoutes};
use crate::capability::ActiveVersion;
use crate::components::LoadError;
use crate::components::bundle::schema::{Schema, Schemas};
use crate::components::bundle::{Bundle, BundleError};
use crate::domain::limits::Limits;
use crate::domain::manifest::{Manifest, Route};
use crate::domain::plugin::Version;
use crate::domain::tenant::{Plan, Tenant};
use crate::sandbox::Runtime;
use crate::storage::vault::Sealed;
use crate::storage::{RoutedPlugin, RoutedTenant};

/// Builds snapshots.
pub struct Builder {
    runtime: Arc<Runtime>,
    defaults: Limits,
    ceiling: Limits,
    breaker: Breaker,
    bodies: Arc<SharedBudget>,
}

/// Why a plugin cannot be served. The others of its tenant are.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The component cannot be had.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// What rides inside the component cannot be read.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The path of a route cannot be matched.
    #[error("{0}")]
    Pattern(String),
    /// Two routes of the manifest contradict each other.
    #[error("the routes contradict each other: {0}")]
    Routes(#[from] matchit::InsertError),
    /// A schema that the manifest names is not there.
    #[error("the schema {0} is not in the component")]
    Schema(String),
}

impl BuildError {
    /// The reason for the people of the tenant: without what only the operator's log should hold.
    fn reason(&self) -> String {
        match self {
            Self::Load(LoadError::Missing(_)) => {
                "its component is not on this host any more; upload it again".to_owned()
            }
            Self::Load(LoadError::Io(_)) => {
                "its component cannot be read; the host's log says why".to_owned()
            }
            Self::Load(LoadError::Unsupported(reason)) => reason.clone(),
            Self::Load(LoadError::Compile(_)) => "its component could not be compiled again".to_owned(),
            Self::Bundle(_) => format!("{self}; upload the component again"),
            Self::Pattern(_) | Self::Routes(_) | Self::Schema(..) => self.to_string(),
        }
    }
}

impl Builder {
    /// `defaults`, `ceiling` and `breaker` are the operator's, and `bodies` is what the request
    /// bodies of all tenants may take.
    pub fn new(
        runtime: Arc<Runtime>,
        defaults: Limits,
        ceiling: Limits,
        breaker: Breaker,
        bodies: Arc<SharedBudget>,
    ) -> Self {
        Self {
            runtime,
            defaults,
            ceiling,
            breaker,
            bodies,
        }
    }

    /// The limits of a tenant on this plan.
    pub fn limits(&self, tenant: &Tenant, plan: &Plan) -> Limits {
        self.defaults
            .with(&plan.limits, &self.ceiling)
            .with(&tenant.limits, &self.ceiling)
    }

    /// A tenant as it is to be served, with these keys. `known` is how it was served so far: its
    /// admission goes on, with the requests that it let in. A plugin that cannot be served is
    /// unavailable, which is logged.
    pub async fn tenant(
        &self,
        stored: RoutedTenant,
        api_keys: Arc<ApiKeys>,
        known: Option<&TenantRoutes>,
    ) -> TenantRoutes {
        let limits = self.limits(&stored.tenant, &stored.plan);
        let size = GateSize::from(&limits);
        let gate = known
            .map(|known| known.gate.clone())
            .filter(|gate| gate.size() == size);
        let backlog = known.map(|known| known.backlog.clone()).unwrap_or_default();
        backlog.limit(limits.response_backlog);
        let bodies = match known {
            Some(known) => known.bodies.clone(),
            None => Arc::new(Bodies::new(&self.bodies, limits.request_backlog)),
        };
        bodies.limit(limits.request_backlog);
        let secrets = Arc::new(stored.secrets.clone());
        let (mut plugins, mut unavailable) = (HashMap::new(), HashMap::new());
        for plugin in &stored.plugins {
            let Some(version) = &plugin.active else { continue };
            let active = Arc::new(active_version(&stored, plugin, version, &limits, secrets.clone()));
            let disabled = plugin.plugin.disabled;
            let known = known.and_then(|known| known.plugins.get(&plugin.plugin.name));
            let router = match known.filter(|known| known.active.digest == version.digest) {
                // The routes are the version's own, so they go on, with the counts of their rates.
                Some(known) => Ok(known.router.clone()),
                None => self.router(version).await.map(Arc::new),
            };
            match router {
                Ok(router) => {
                    let routes = PluginRoutes {
                        active,
                        disabled,
                        reuse: version.manifest.plugin.reuse,
                        router,
                    };
                    plugins.insert(plugin.plugin.name.clone(), Arc::new(routes));
                }
                Err(error) => {
                    let (tenant, plugin) = (&stored.tenant.name, &plugin.plugin.name);
                    tracing::error!(%tenant, %plugin, version = %version.digest, %error, "a plugin cannot be served");
                    unavailable.insert(plugin.clone(), error.reason());
                }
            }
        }
        TenantRoutes {
            id: stored.tenant.id,
            name: stored.tenant.name,
            suspended: stored.tenant.suspended,
            plugins,
            unavailable,
            api_keys,
            gate: gate.unwrap_or_else(|| Arc::new(Gate::new(size))),
            bodies,
            backlog,
            kept: self.runtime.kept(limits.instances_kept),
            kept_validators: self.runtime.validators().kept(limits.instances_kept),
        }
    }

    /// The routes of a version, and with that whether it can be served.
    pub(crate) async fn router(&self, version: &Version) -> Result<Router, BuildError> {
        let manifest = &version.manifest;
        let schemas = if names_schemas(manifest) {
            let bundle = Bundle::extract(&self.runtime.component(version.digest).await?)?;
            self.runtime.validators().prepare();
            Schemas::of(manifest, bundle.schemas)
        } else {
            BTreeMap::new()
        };
        let mut routes = Vec::new();
        let mut by_path: Vec<(String, Vec<Arc<MethodRoute>>)> = Vec::new();
        for route in &manifest.routes {
            let health = RouteHealth::new(self.breaker.clone());
            let method_route = Arc::new(method_route(route, &schemas, health)?);
            routes.push(method_route.clone());
            let pattern = route.pattern().map_err(BuildError::Pattern)?;
            match by_path.iter_mut().find(|(path, _)| *path == pattern) {
                Some((_, methods)) => methods.push(method_route),
                None => by_path.push((pattern, vec![method_route])),
            }
        }
        let mut paths = matchit::Router::new();
        for (path, methods) in by_path {
            paths.insert(path, methods)?;
        }
        Ok(Router { paths, routes })
    }
}

fn active_version(
    tenant: &RoutedTenant,
    plugin: &RoutedPlugin,
    version: &Version,
    limits: &Limits,
    secrets: Arc<BTreeMap<String, Sealed>>,
) -> ActiveVersion {
    ActiveVersion {
        tenant: tenant.tenant.id,
        tenant_name: tenant.tenant.name.clone(),
        plugin: plugin.plugin.name.clone(),
        digest: version.digest,
        version: version.manifest.plugin.version.clone(),
        limits: Arc::new(limits.lowered_by(&version.manifest.limits)),
        grants: Arc::new(plugin.grants.effective_for(&version.manifest)),
        config: Arc::new(plugin.config.clone()),
        secrets,
    }
}

fn names_schemas(manifest: &Manifest) -> bool {
    manifest
        .routes
        .iter()
        .any(|route| route.request.is_some() || route.response.is_some())
}

fn method_route(
    route: &Route,
    schemas: &BTreeMap<String, Arc<Schema>>,
    health: RouteHealth,
) -> Result<MethodRoute, BuildError> {
    let schema = |name: &Option<String>| -> Result<Option<Arc<Schema>>, BuildError> {
        let Some(name) = name else { return Ok(None) };
        let missing = || BuildError::Schema(name.clone());
        schemas.get(name).cloned().map(Some).ok_or_else(missing)
    };
    Ok(MethodRoute {
        method: route.method.clone(),
        pattern: route.path.as_str().into(),
        auth: route.auth.clone(),
        scopes: route.scopes.clone(),
        request_schema: schema(&route.request)?,
        response_schema: schema(&route.response)?,
        rate: route.rate.map(RouteRate::new),
        health,
        stamina: Arc::default(),
    })
}
