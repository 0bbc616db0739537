//! Builds the routing snapshot of a tenant from the rows of the control plane.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::admission::{AdmissionSize, TenantAdmission};
use super::api_keys::ApiKeys;
use super::background::BackgroundEntries;
use super::bodies::Bodies;
use super::budget::SharedBudget;
use super::health::{Breaker, RouteHealth};
use super::snapshot::{
    CallableFunction, EntryPoint, FunctionEntry, MethodRoute, PluginRoutes, RouteRate, Router, TenantRoutes,
    Unavailable,
};
use crate::capability::ActiveVersion;
use crate::components::LoadError;
use crate::components::bundle::schema::{Schema, Schemas};
use crate::components::bundle::{BundleError, StoredBundle};
use crate::domain::function::Function;
use crate::domain::generation::Generation;
use crate::domain::grant::Grants;
use crate::domain::id::{FunctionName, TenantId, TenantName, VersionDigest};
use crate::domain::limits::{LimitOverrides, Limits};
use crate::domain::mail_address::{Address, Sender};
use crate::domain::manifest::{Auth, Manifest, Public, Rate, Route};
use crate::domain::plugin::Version;
use crate::domain::template::Templates;
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
    /// The number of snapshots built so far.
    snapshots: AtomicU64,
}

/// A new snapshot of a tenant, and the versions that it still lacks.
pub struct Built {
    /// The snapshot.
    pub tenant: TenantRoutes,
    /// Active versions whose routes have to be built first. Their plugins are unavailable until
    /// then.
    pub missing: Vec<Version>,
}

/// Why a plugin cannot be served. The other plugins of its tenant are served.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The component cannot be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The bundle inside the component cannot be read.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The path of a route is not a valid pattern.
    #[error("{0}")]
    Pattern(String),
    /// Two routes of the manifest conflict.
    #[error("the routes conflict with each other: {0}")]
    Routes(#[from] matchit::InsertError),
    /// A schema that the manifest names is missing.
    #[error("the schema {0} is not in the component")]
    Schema(String),
}

impl BuildError {
    /// The reason for the tenant's users, without details that belong only in the operator's log.
    pub fn reason(&self) -> String {
        match self {
            Self::Load(LoadError::Missing(_)) => {
                "its component is missing on this host; upload it again".to_owned()
            }
            Self::Load(LoadError::Io(_) | LoadError::Store(_)) => {
                "its component cannot be read; the host's log says why".to_owned()
            }
            Self::Load(LoadError::Refused(refusal)) => refusal.message.clone(),
            Self::Load(LoadError::Compile(_)) => "its component could not be compiled again".to_owned(),
            Self::Bundle(_) => format!("{self}; upload the component again"),
            Self::Pattern(_) | Self::Routes(_) | Self::Schema(..) => self.to_string(),
        }
    }
}

impl Builder {
    /// Creates a builder. `defaults`, `ceiling` and `breaker` are the operator's settings. `bodies`
    /// is the memory for the request bodies of all tenants.
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
            snapshots: AtomicU64::new(0),
        }
    }

    /// The limits that no plan and no override can exceed on this host.
    pub fn ceiling(&self) -> &Limits {
        &self.ceiling
    }

    /// The limits of a tenant on this plan.
    pub fn limits(&self, tenant: &Tenant, plan: &Plan) -> Limits {
        self.defaults
            .with(&plan.limits, &self.ceiling)
            .with(&tenant.limits, &self.ceiling)
    }

    /// Builds the snapshot of a tenant. `known` is its previous snapshot: its admission state and
    /// the routes of versions that stay active are reused. The routes of other versions come from
    /// `routes`. A version without routes is left out and returned, so that the caller can build
    /// them.
    pub fn tenant(
        &self,
        stored: RoutedTenant,
        api_keys: Arc<ApiKeys>,
        known: Option<&TenantRoutes>,
        routes: impl Fn(VersionDigest) -> Option<Result<Arc<Router>, Unavailable>>,
    ) -> Built {
        let limits = self.limits(&stored.tenant, &stored.plan);
        let snapshot = self.snapshots.fetch_add(1, Ordering::Relaxed);
        let mut tenant = self.empty(
            stored.tenant.id,
            stored.tenant.name.clone(),
            &limits,
            api_keys,
            known,
        );
        let secrets = Arc::new(stored.secrets.clone());
        let mut missing = Vec::new();
        for plugin in &stored.plugins {
            let name = &plugin.plugin.name;
            let version = match &plugin.active {
                Ok(Some(version)) => version,
                Ok(None) => continue,
                Err(reason) => {
                    let unavailable = Unavailable::failed(plugin.plugin.active, reason.clone());
                    tenant.unavailable.insert(name.clone(), unavailable);
                    continue;
                }
            };
            let served = known.and_then(|known| known.plugins.get(name));
            let router = match served.filter(|served| served.active.digest == version.digest) {
                // The routes belong to the version, so they are reused, including the counts of
                // their rates.
                Some(served) => Ok(served.router.clone()),
                None => match routes(version.digest) {
                    Some(routes) => routes,
                    None => {
                        missing.push(version.clone());
                        // An earlier failure of this version stays the reason until the version is
                        // known to work.
                        let failed = known.and_then(|known| known.unavailable.get(name));
                        let failed = failed.filter(|failed| failed.digest == Some(version.digest));
                        Err(failed
                            .cloned()
                            .unwrap_or_else(|| Unavailable::preparing(version.digest)))
                    }
                },
            };
            match router {
                Ok(router) => {
                    let active = ActiveVersion {
                        jobs: router.background.specs.clone(),
                        templates: router.templates.clone(),
                        ..active_version(snapshot, &stored, plugin, version, &limits, secrets.clone())
                    };
                    let active = Arc::new(active);
                    let functions = router.functions.iter();
                    let functions = functions.map(|function| callable(function, &active));
                    let routes = PluginRoutes {
                        functions: functions.collect(),
                        jobs: router.background.callable(&active),
                        active,
                        disabled: plugin.plugin.disabled,
                        reuse: version.manifest.plugin.reuse,
                        paused: plugin.paused.clone(),
                        router,
                    };
                    tenant.plugins.insert(name.clone(), Arc::new(routes));
                }
                Err(unavailable) => {
                    tenant.unavailable.insert(name.clone(), unavailable);
                }
            }
        }
        tenant.endpoints = stored.endpoints.as_slice().into();
        tenant.suspended = stored.tenant.suspended;
        tenant.generation = stored.generations.content;
        Built { tenant, missing }
    }

    /// The snapshot of a tenant whose rows cannot be read. Its endpoints answer 503.
    pub fn unreadable(&self, id: TenantId, name: TenantName, problem: String) -> TenantRoutes {
        TenantRoutes {
            problem: Some(problem),
            ..self.empty(id, name, &self.defaults, Arc::default(), None)
        }
    }

    fn empty(
        &self,
        id: TenantId,
        name: TenantName,
        limits: &Limits,
        api_keys: Arc<ApiKeys>,
        known: Option<&TenantRoutes>,
    ) -> TenantRoutes {
        let size = AdmissionSize::from(limits);
        let admission = known
            .map(|known| known.admission.clone())
            .filter(|admission| admission.size() == size);
        let backlog = known.map(|known| known.backlog.clone()).unwrap_or_default();
        backlog.limit(limits.response_backlog);
        let bodies = match known {
            Some(known) => known.bodies.clone(),
            None => Arc::new(Bodies::new(&self.bodies, limits.request_backlog)),
        };
        bodies.limit(limits.request_backlog);
        TenantRoutes {
            id,
            name,
            generation: Generation::default(),
            limits: Arc::new(limits.clone()),
            suspended: false,
            problem: None,
            plugins: HashMap::new(),
            unavailable: HashMap::new(),
            endpoints: Arc::default(),
            api_keys,
            admission: admission.unwrap_or_else(|| Arc::new(TenantAdmission::new(size))),
            bodies,
            backlog,
            warm: self.runtime.warm_pool(limits.instances_kept),
            warm_validators: self.runtime.validators().warm_pool(limits.instances_kept),
        }
    }

    /// Builds the routes of a version. An error means that the version cannot be served.
    pub(crate) async fn router(&self, version: &Version) -> Result<Router, BuildError> {
        let manifest = &version.manifest;
        let (schemas, templates) = if names_schemas(manifest) || manifest.templates().is_some() {
            let bundle = StoredBundle::open(&self.runtime.components().source(version.digest).await?)?;
            if !bundle.schemas.is_empty() {
                self.runtime.validators().prepare();
            }
            if !bundle.templates.is_empty() {
                self.runtime.renderers().prepare();
            }
            (Schemas::of(manifest, bundle.schemas), bundle.templates)
        } else {
            (BTreeMap::new(), BTreeMap::new())
        };
        let mut routes = Vec::new();
        let mut by_path: Vec<(String, Vec<Arc<MethodRoute>>)> = Vec::new();
        for route in &manifest.routes {
            let method_route = Arc::new(MethodRoute {
                method: route.method.clone(),
                pattern: route.path.as_str().into(),
                entry: self.entry_point(Declared::from(route), &schemas)?,
            });
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
        let function = |function: &Function| -> Result<Arc<FunctionEntry>, BuildError> {
            Ok(Arc::new(FunctionEntry {
                name: function.name.clone(),
                limits: function.limits.overrides(),
                entry: self.entry_point(Declared::from(function), &schemas)?,
            }))
        };
        let functions = manifest.functions.iter().map(function);
        Ok(Router {
            paths,
            routes,
            functions: functions.collect::<Result<_, _>>()?,
            templates: Arc::new(Templates::new(templates)),
            background: BackgroundEntries::new(manifest, version.digest, || self.job_entry_point()),
        })
    }

    /// The entry point of a kind of job. The host alone calls it.
    fn job_entry_point(&self) -> EntryPoint {
        EntryPoint {
            auth: Auth::Public(Public::Public),
            scopes: BTreeSet::new(),
            input_schema: None,
            output_schema: None,
            rate: None,
            health: RouteHealth::new(self.breaker.clone()),
            long_running: Arc::default(),
        }
    }

    fn entry_point(
        &self,
        declared: Declared<'_>,
        schemas: &BTreeMap<String, Arc<Schema>>,
    ) -> Result<EntryPoint, BuildError> {
        Ok(EntryPoint {
            auth: declared.auth.clone(),
            scopes: declared.scopes.clone(),
            input_schema: schema(declared.input, schemas)?,
            output_schema: schema(declared.output, schemas)?,
            rate: declared.rate.map(RouteRate::new),
            health: RouteHealth::new(self.breaker.clone()),
            long_running: Arc::default(),
        })
    }
}

/// What the manifest declares of every entry point.
struct Declared<'a> {
    auth: &'a Auth,
    scopes: &'a BTreeSet<String>,
    input: Option<&'a str>,
    output: Option<&'a str>,
    rate: Option<Rate>,
}

impl<'a> From<&'a Route> for Declared<'a> {
    fn from(route: &'a Route) -> Self {
        Self {
            auth: &route.auth,
            scopes: &route.scopes,
            input: route.request.as_deref(),
            output: route.response.as_deref(),
            rate: route.rate,
        }
    }
}

impl<'a> From<&'a Function> for Declared<'a> {
    fn from(function: &'a Function) -> Self {
        Self {
            auth: &function.auth,
            scopes: &function.scopes,
            input: Some(&function.input),
            output: Some(&function.output),
            rate: function.rate,
        }
    }
}

fn active_version(
    snapshot: u64,
    tenant: &RoutedTenant,
    plugin: &RoutedPlugin,
    version: &Version,
    limits: &Limits,
    secrets: Arc<BTreeMap<String, Sealed>>,
) -> ActiveVersion {
    let grants = plugin.grants.effective_for(&version.manifest);
    ActiveVersion {
        snapshot,
        tenant: tenant.tenant.id,
        tenant_name: tenant.tenant.name.clone(),
        plugin: plugin.plugin.name.clone(),
        digest: version.digest,
        version: version.manifest.plugin.version.clone(),
        limits: Arc::new(limits.lowered_by(&version.manifest.limits)),
        mail_from: first_sender(&version.manifest, &grants),
        grants: Arc::new(grants),
        config: Arc::new(plugin.config.clone()),
        secrets,
        jobs: Arc::default(),
        templates: Arc::default(),
    }
}

/// A function and the version that runs when it is called. Without limits of its own, that is the
/// plugin's active version.
fn callable(function: &Arc<FunctionEntry>, active: &Arc<ActiveVersion>) -> (FunctionName, CallableFunction) {
    let active = match function.limits == LimitOverrides::default() {
        true => active.clone(),
        false => Arc::new(ActiveVersion {
            limits: Arc::new(active.limits.lowered_by(&function.limits)),
            ..ActiveVersion::clone(active)
        }),
    };
    let callable = CallableFunction {
        function: function.clone(),
        active,
    };
    (function.name.clone(), callable)
}

/// The first address of the manifest from which the tenant lets the plugin send.
fn first_sender(manifest: &Manifest, grants: &Grants) -> Option<Address> {
    let mut addresses = manifest.email.from.iter().filter_map(Sender::address);
    let is_granted = |address: &&Address| grants.email.iter().any(|sender| sender.covers(address));
    addresses.find(is_granted).cloned()
}

fn names_schemas(manifest: &Manifest) -> bool {
    let mut routes = manifest.routes.iter();
    !manifest.functions.is_empty() || routes.any(|route| route.request.is_some() || route.response.is_some())
}

fn schema(
    name: Option<&str>,
    schemas: &BTreeMap<String, Arc<Schema>>,
) -> Result<Option<Arc<Schema>>, BuildError> {
    let Some(name) = name else { return Ok(None) };
    let missing = || BuildError::Schema(name.to_owned());
    schemas.get(name).cloned().map(Some).ok_or_else(missing)
}
