//! The routing snapshot of one tenant: its plugins, routes, functions, keys and limits.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::admission::TenantAdmission;
use super::api_keys::ApiKeys;
use super::background::{BackgroundEntries, CallableJob};
use super::backlog::Backlog;
use super::bodies::Bodies;
use super::health::RouteHealth;
use super::rate::RateLimiter;
use crate::capability::ActiveVersion;
use crate::components::bundle::schema::Schema;
use crate::domain::generation::{Generation, Generations};
use crate::domain::id::{ApiKeyId, FunctionName, JobName, PluginName, TenantId, TenantName, VersionDigest};
use crate::domain::limits::{LimitOverrides, Limits};
use crate::domain::manifest::{Auth, Rate};
use crate::domain::path::{decode, is_reserved};
use crate::domain::template::Templates;
use crate::domain::webhook_out::EndpointTopics;
use crate::sandbox::{LongRunning, WarmInstances, WarmValidators};
use crate::storage::PausedJobs;

/// A tenant with all data that serving its requests needs.
#[derive(Clone)]
pub struct TenantRoutes {
    /// Its id.
    pub id: TenantId,
    /// The first segment of its URLs.
    pub name: TenantName,
    /// The generation of the stored data in this snapshot, without the API keys.
    pub generation: Generation,
    /// Its limits: those of its plan with its own. Plugins may have lower ones.
    pub limits: Arc<Limits>,
    /// Whether its endpoints answer 503.
    pub suspended: bool,
    /// Why no request can be served, for the operator. The tenant's endpoints answer 503.
    pub problem: Option<String>,
    /// Its plugins whose active version can be served.
    pub plugins: HashMap<PluginName, Arc<PluginRoutes>>,
    /// Its plugins whose active version cannot be served. They answer 503.
    pub unavailable: HashMap<PluginName, Unavailable>,
    /// Its enabled endpoints for webhooks.
    pub endpoints: Arc<[EndpointTopics]>,
    /// Its API keys. They outlive this snapshot.
    pub api_keys: Arc<ApiKeys>,
    /// Its concurrency and rate limits. The value outlives this snapshot, unless the limits change.
    pub admission: Arc<TenantAdmission>,
    /// Its request bodies in memory. The value outlives this snapshot.
    pub bodies: Arc<Bodies>,
    /// Its unsent responses. The value outlives this snapshot.
    pub backlog: Arc<Backlog>,
    /// Its warm instances. They are dropped with this snapshot.
    pub warm: Arc<WarmInstances>,
    /// Its warm sandboxes for checks of bodies. They are dropped with this snapshot.
    pub warm_validators: Arc<WarmValidators>,
}

/// A plugin whose active version cannot be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unavailable {
    /// The version, or `None` if its row does not contain one.
    pub digest: Option<VersionDigest>,
    /// The reason, for the operator and the tenant's users.
    pub reason: String,
    /// The kind of the reason.
    pub cause: Cause,
}

/// Why a version cannot be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Its routes are being built; no problem is known.
    Preparing,
    /// Its data cannot be read or loaded.
    Failed,
    /// This host refuses it: the operator or a newer host forbids a feature that it uses.
    Refused,
}

impl TenantRoutes {
    /// The generations of the stored data that are served.
    pub fn generations(&self) -> Generations {
        Generations {
            content: self.generation,
            keys: self.api_keys.generation(),
        }
    }
}

impl Unavailable {
    /// The version cannot be served because its data is missing or broken.
    pub fn failed(digest: Option<VersionDigest>, reason: String) -> Self {
        Self {
            digest,
            reason,
            cause: Cause::Failed,
        }
    }

    /// This host refuses the version.
    pub fn refused(digest: VersionDigest, reason: String) -> Self {
        Self {
            digest: Some(digest),
            reason,
            cause: Cause::Refused,
        }
    }

    /// The routes of the version are being built.
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
    /// The paths with their methods.
    pub(super) paths: matchit::Router<Vec<Arc<MethodRoute>>>,
    /// All routes, in the order of the manifest.
    pub(super) routes: Vec<Arc<MethodRoute>>,
    /// The functions, in the order of the manifest.
    pub(super) functions: Vec<Arc<FunctionEntry>>,
    /// The kinds of jobs, the schedules and the subscriptions.
    pub(super) background: BackgroundEntries,
    /// The mail templates.
    pub(super) templates: Arc<Templates>,
}

/// A plugin's routes, functions and jobs, with its active version.
pub struct PluginRoutes {
    /// The version that runs.
    pub active: Arc<ActiveVersion>,
    /// Whether it answers 503.
    pub disabled: bool,
    /// Whether its instances are reused.
    pub reuse: bool,
    /// Its paused jobs.
    pub paused: PausedJobs,
    pub(super) router: Arc<Router>,
    pub(super) functions: HashMap<FunctionName, CallableFunction>,
    pub(super) jobs: HashMap<JobName, CallableJob>,
}

/// One method of one path.
pub struct MethodRoute {
    /// The method, upper case.
    pub method: String,
    /// The path pattern from the manifest.
    pub pattern: Arc<str>,
    /// The data that routes and functions share.
    pub entry: EntryPoint,
}

/// A function of a version.
pub struct FunctionEntry {
    /// Its name.
    pub name: FunctionName,
    /// Its limits, lower than those of the plugin.
    pub(super) limits: LimitOverrides,
    /// The data that routes and functions share.
    pub entry: EntryPoint,
}

/// A function and the version that runs when it is called.
#[derive(Clone)]
pub struct CallableFunction {
    /// The function.
    pub function: Arc<FunctionEntry>,
    /// The version that runs, with the limits of the function.
    pub active: Arc<ActiveVersion>,
}

/// An entry point of a plugin: the data that routes, functions and jobs share.
pub struct EntryPoint {
    /// The required authentication.
    pub auth: Auth,
    /// Scopes that the caller needs.
    pub scopes: BTreeSet<String>,
    /// The schema of a request body or of a function's input.
    pub input_schema: Option<Arc<Schema>>,
    /// The schema of a response body or of a function's output.
    pub output_schema: Option<Arc<Schema>>,
    /// The rate for each principal, with the counts so far.
    pub rate: Option<RouteRate>,
    /// The circuit breaker.
    pub health: RouteHealth,
    /// Whether its guests run long.
    pub long_running: Arc<LongRunning>,
}

/// The rate of a route or function, counted for each principal.
pub struct RouteRate {
    rate: Rate,
    principals: moka::sync::Cache<Option<ApiKeyId>, Arc<RateLimiter>>,
}

/// The result of matching a path and a method.
pub enum RouteMatch {
    /// A route, and the captured parameters.
    Found(Arc<MethodRoute>, Vec<(String, String)>),
    /// The path exists with other methods.
    OtherMethods(Vec<String>),
    /// No route has this path.
    Nothing,
}

/// The most principals with counts of their own. Beyond that, the counts of the least recently
/// active principals are evicted.
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

    /// Finds the route for `method` and `path`. The path is decoded and relative to the mount
    /// point.
    pub fn find(&self, method: &str, path: &str) -> RouteMatch {
        let Ok(matched) = self.router.paths.at(path) else {
            return RouteMatch::Nothing;
        };
        // Only a version of an earlier host has a route of its own below `/-/`, which it keeps. A
        // route such as `/{*rest}` takes no path of the host.
        let is_explicit =
            |route: &Arc<MethodRoute>| decode(&route.pattern).is_ok_and(|pattern| is_reserved(&pattern));
        if is_reserved(path) && !matched.value.iter().any(is_explicit) {
            return RouteMatch::Nothing;
        }
        let by_method = |wanted: &str| matched.value.iter().find(|route| route.method == wanted);
        // A route for `GET` also answers `HEAD`, without the body.
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

/// The methods of a path, including `HEAD` if it has `GET`.
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
    /// A rate with no calls counted yet.
    pub fn new(rate: Rate) -> Self {
        let principals = moka::sync::Cache::builder()
            .max_capacity(MAX_PRINCIPALS)
            .time_to_idle(rate.per.0 * 2)
            .build();
        Self { rate, principals }
    }

    /// The rate limiter of one principal. All callers of a public route share one.
    pub fn of(&self, principal: Option<ApiKeyId>) -> Arc<RateLimiter> {
        let Rate { calls, per } = self.rate;
        self.principals
            .get_with(principal, || Arc::new(RateLimiter::new(calls, per.0, calls)))
    }
}
