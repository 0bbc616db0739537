//! From a path to a tenant, a plugin and a route.

use std::sync::Arc;
use std::time::Duration;

use axum::http::header::{ALLOW, HeaderValue};

use super::path::{self, PluginPath};
use crate::components::LoadError;
use crate::http::problem::{Code, Problem};
use crate::tenants::{MethodRoute, PluginRoutes, RouteMatch, Routing, TenantRoutes};

/// When it may be worth to try again, where the plugin was replaced meanwhile.
const REPLACED_RETRY: Duration = Duration::from_secs(1);

/// What a request is for.
pub struct Target {
    /// Whose plugin.
    pub tenant: Arc<TenantRoutes>,
    /// Which plugin.
    pub plugin: Arc<PluginRoutes>,
    /// Which route of it.
    pub route: Arc<MethodRoute>,
    /// What the route captured, decoded.
    pub params: Vec<(String, String)>,
}

/// Finds what a request is for. Whatever is missing answers the same 404, so that nobody learns which names exist.
pub fn locate(routing: &Routing, method: &str, path: &PluginPath<'_>) -> Result<Target, Problem> {
    let nothing = || Problem::new(Code::NotFound, "there is no such tenant, plugin or route");
    let tenant = routing.tenant(path.tenant).ok_or_else(nothing)?;
    let plugin = tenant.plugins.get(path.plugin).ok_or_else(nothing)?.clone();
    let (route, params) = match plugin.find(method, path.rest) {
        RouteMatch::Found(route, params) => (route, params),
        RouteMatch::OtherMethods(methods) => return Err(method_not_allowed(&methods)),
        RouteMatch::Nothing => return Err(nothing()),
    };
    if tenant.suspended || plugin.disabled {
        let whose = if tenant.suspended { "tenant" } else { "plugin" };
        let problem = Problem::new(Code::PluginSuspended, format!("this {whose} is suspended"));
        return Err(problem.retry_after(Duration::from_secs(60)));
    }
    let decoded = params
        .into_iter()
        .map(|(name, value)| Ok((name, path::decode(&value)?)));
    let params = decoded.collect::<Result<_, Problem>>()?;
    Ok(Target {
        tenant,
        plugin,
        route,
        params,
    })
}

/// Why the component of `target` could not be loaded: it was removed while the request waited, or the host failed.
pub fn not_loaded(
    routing: &Routing,
    method: &str,
    path: &PluginPath<'_>,
    target: &Target,
    error: LoadError,
) -> Problem {
    if !matches!(error, LoadError::Missing(_)) {
        return Problem::internal(error);
    }
    match locate(routing, method, path) {
        Err(problem) => problem,
        Ok(now) if now.plugin.active.digest != target.plugin.active.digest => {
            let detail = "the plugin was replaced while this request waited";
            Problem::new(Code::Overloaded, detail).retry_after(REPLACED_RETRY)
        }
        // It still serves, so that its files should be there.
        Ok(_) => Problem::internal(error),
    }
}

fn method_not_allowed(methods: &[String]) -> Problem {
    let allowed = methods.join(", ");
    let problem = Problem::new(Code::MethodNotAllowed, format!("this path answers {allowed}"));
    match HeaderValue::from_str(&allowed) {
        Ok(value) => problem.header(ALLOW, value),
        Err(_) => problem,
    }
}
