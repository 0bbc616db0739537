//! One tenant as the gateway sees it.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::admission::Gate;
use super::api_keys::ApiKeys;
use super::backlog::Backlog;
use super::bodies::Bodies;
use super::health::RouteHealth;
use super::rate::RateLimiter;
use crate::capability::ActiveVersion;
use crate::components::bundle::schema::Schema;
use crate::domain::generation::{Generation, Generations};
use crate::domain::id::{ApiKeyId, FunctionName, PluginName, TenantId, TenantName, VersionDigest};
use crate::domain::limits::LimitOverrides;
use crate::domain::manifest::{Auth, Rate};
use crate::domain::path::{decode, is_reserved};
use crate::sandbox::{KeptInstances, KeptValidators, LongRunning};

/// A tenant with everything that serving its requests takes.
#[derive(Clone)]
pub struct TenantRoutes {
    /// Its id.
    pub id: TenantId,
    /// The first segment of its URLs.
    pub name: TenantName,
    /// Which generation of what is stored this is, API keys excepted.
    pub generation: Generation,
    /// Whether its endpoints answer 503.
    pub suspended: bool,
    /// Why no request of it can be served, for the operator. Its endpoints answer 503.
    pub problem: Option<String>,
    /// Its plugins that have an active version which can be served.
    pub plugins: HashMap<PluginName, Arc<PluginRoutes>>,
    /// Its plugins whose active version cannot be served. They answer 503.
    pub unavailable: HashMap<PluginName, Unavailable>,
    /// Its API keys. They outlive this snapshot.
    pub api_keys: Arc<ApiKeys>,
    /// Its concurrency and its rate. It outlives this snapshot, unless the limits change.
    pub gate: Arc<Gate>,
    /// Its request bodies in memory. It outlives this snapshot.
    pub bodies: Arc<Bodies>,
    /// Its responses that are on their way. It outlives this snapshot.
    pub backlog: Arc<Backlog>,
    /// Its instances that wait for their next request. They go with this snapshot.
    pub kept: Arc<KeptInstances>,
    /// Its sandboxes for checks of bodies that wait for the next one. They go with this snapshot.
    pub kept_validators: Arc<KeptValidators>,
}

/// A plugin whose active version cannot be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unavailable {
    /// Which version; `None` if its row does not say.
    pub digest: Option<VersionDigest>,
    /// Why, for the operator and the people of the tenant.
    pub reason: String,
    /// Of what kind the reason is.
    pub cause: Cause,
}

/// What keeps a version from being served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Nothing, as far as is known: its routes are being made.
    Preparing,
    /// Something of it cannot be read or loaded.
    Failed,
    /// This host does not run it: the operator or a new version of the host refuses what it uses.
    Refused,
}

impl TenantRoutes {
    /// Which generations of what is stored are served.
    pub fn generations(&self) -> Generations {
        Generations {
            content: self.generation,
            keys: self.api_keys.generation(),
        }
    }
}

impl Unavailable {
    /// The version cannot be served for this reason.
    pub fn failed(digest: Option<VersionDigest>, reason: String) -> Self {
        Self {
            digest,
            reason,
            cause: Cause::Failed,
        }
    }

    /// This host does not run the version.
    pub fn refused(digest: VersionDigest, reason: String) -> Self {
        Self {
            digest: Some(digest),
            reason,
            cause: Cause::Refused,
        }
    }

    /// The routes of the version are being made.
    pub fn preparing(digest: VersionDigest) -> Self {
        Self {
            digest: Some(digest),
            reason: "it is being prepared".to_owned(),
            cause: Cause::Preparing,
        }
    }
}

/// The routes of a version.
#[derive(Clone, Default)]
pub struct Router {
    /// Each path with its methods.
    pub(super) paths: matchit::Router<Vec<Arc<MethodRoute>>>,
    /// All of them.
    pub(super) routes: Vec<Arc<MethodRoute>>,
    /// The functions, in the order of the manifest.
    pub(super) functions: Vec<Arc<FunctionEntry>>,
}

/// A plugin as the gateway sees it.
pub struct PluginRoutes {
    /// What runs.
    pub active: Arc<ActiveVersion>,
    /// Whether it answers 503.
    pub disabled: bool,
    /// Whether its instances serve one request after another.
    pub reuse: bool,
    pub(super) router: Arc<Router>,
    pub(super) functions: HashMap<FunctionName, CallableFunction>,
}

/// One method of one path.
pub struct MethodRoute {
    /// The method, upper case.
    pub method: String,
    /// The pattern as the manifest has it.
    pub pattern: Arc<str>,
    /// What it has in common with functions.
    pub entry: EntryPoint,
}

/// A function of a version.
pub struct FunctionEntry {
    /// Its name.
    pub name: FunctionName,
    /// Its limits, lower than those of the plugin.
    pub(super) limits: LimitOverrides,
    /// What it has in common with routes.
    pub entry: EntryPoint,
}

/// A function with what runs when it is called.
#[derive(Clone)]
pub struct CallableFunction {
    /// The function.
    pub function: Arc<FunctionEntry>,
    /// What runs, under the limits of the function.
    pub active: Arc<ActiveVersion>,
}

/// Where callers enter a plugin: a route or a function.
pub struct EntryPoint {
    /// Who may call.
    pub auth: Auth,
    /// Scopes that the caller needs.
    pub scopes: BTreeSet<String>,
    /// Checks the body of a request, or the input of a function.
    pub input_schema: Option<Arc<Schema>>,
    /// Checks the body of a response, or the output of a function.
    pub output_schema: Option<Arc<Schema>>,
    /// How often one principal may call, and the counts so far.
    pub rate: Option<RouteRate>,
    /// Whether calls of it fail all the time.
    pub health: RouteHealth,
    /// How long its guests run.
    pub long_running: Arc<LongRunning>,
}

/// The rate of a route, counted for each principal.
pub struct RouteRate {
    rate: Rate,
    principals: moka::sync::Cache<Option<ApiKeyId>, Arc<RateLimiter>>,
}

/// What a path and a method lead to.
pub enum RouteMatch {
    /// A route, and what its pattern captured.
    Found(Arc<MethodRoute>, Vec<(String, String)>),
    /// The path is there, with other methods.
    OtherMethods(Vec<String>),
    /// Nothing is there.
    Nothing,
}

/// More principals than this share the counts of those that called least lately.
const MAX_PRINCIPALS: u64 = 100_000;

impl PluginRoutes {
    /// All routes, in the order of the manifest.
    pub fn routes(&self) -> &[Arc<MethodRoute>] {
        &self.router.routes
    }

    /// All functions, in the order of the manifest.
    pub fn functions(&self) -> &[Arc<FunctionEntry>] {
        &self.router.functions
    }

    /// The function of this name.
    pub fn function(&self, name: &str) -> Option<&CallableFunction> {
        self.functions.get(name)
    }

    /// What `path`, which is decoded and below the mount point, and `method` lead to.
    pub fn find(&self, method: &str, path: &str) -> RouteMatch {
        let Ok(matched) = self.router.paths.at(path) else {
            return RouteMatch::Nothing;
        };
        // Only a version of an earlier host has a route of its own below `/-/`, which it keeps. A route such
        // as `/{*rest}` takes no path of the host.
        let is_explicit =
            |route: &Arc<MethodRoute>| decode(&route.pattern).is_ok_and(|pattern| is_reserved(&pattern));
        if is_reserved(path) && !matched.value.iter().any(is_explicit) {
            return RouteMatch::Nothing;
        }
        let by_method = |wanted: &str| matched.value.iter().find(|route| route.method == wanted);
        // What answers GET answers HEAD, without the body.
        let route = by_method(method).or_else(|| (method == "HEAD").then(|| by_method("GET")).flatten());
        match route {
            Some(route) => {
                let params = matched
                    .params
                    .iter()
                    .map(|(name, value)| (name.to_owned(), value.to_owned()));
                RouteMatch::Found(route.clone(), params.collect())
            }
            None => RouteMatch::OtherMethods(methods(matched.value)),
        }
    }
}

/// The methods that a path answers, `HEAD` included where it answers `GET`.
fn methods(routes: &[Arc<MethodRoute>]) -> Vec<String> {
    let mut methods: Vec<String> = routes.iter().map(|route| route.method.clone()).collect();
    if let Some(get) = methods.iter().position(|method| method == "GET")
        && !methods.iter().any(|method| method == "HEAD")
    {
        methods.insert(get + 1, "HEAD".to_owned());
    }
    methods
}

impl RouteRate {
    /// Nothing counted yet.
    pub fn new(rate: Rate) -> Self {
        let principals = moka::sync::Cache::builder()
            .max_capacity(MAX_PRINCIPALS)
            .time_to_idle(rate.per.0 * 2)
            .build();
        Self { rate, principals }
    }

    /// The counts of one principal; all callers of a public route are one.
    pub fn of(&self, principal: Option<ApiKeyId>) -> Arc<RateLimiter> {
        let Rate { calls, per } = self.rate;
        self.principals
            .get_with(principal, || Arc::new(RateLimiter::new(calls, per.0, calls)))
    }
}
