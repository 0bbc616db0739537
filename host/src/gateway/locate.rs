//! From a path to a tenant, a plugin, and a route or a function.

use std::time::Duration;

use axum::http::header::{ALLOW, HeaderValue};

use super::path::PluginPath;
use crate::domain::function;
use crate::domain::problem::Code;
use crate::http::problem::Problem;
use crate::invoke::{Callee, Target};
use crate::tenants::{Cause, RouteMatch, Routing};

/// When to retry if the host refuses the version: another version has to be activated, or the host
/// to be restarted with another configuration.
const REFUSED_RETRY: Duration = Duration::from_secs(60);

/// `Retry-After` of a plugin that cannot be served: until somebody mends it.
const UNAVAILABLE_RETRY: Duration = Duration::from_secs(60);

/// What a request is for.
pub struct Located {
    /// The tenant, the plugin, and what of it is called.
    pub target: Target,
    /// What the route captured of the decoded path.
    pub params: Vec<(String, String)>,
}

/// Finds what a request is for. Whatever is missing answers the same 404, so that nobody learns which names exist.
pub fn locate(routing: &Routing, method: &str, path: &PluginPath<'_>) -> Result<Located, Problem> {
    let nothing = || Problem::new(Code::NotFound, "there is no such tenant, plugin or route");
    let tenant = routing.tenant(&path.tenant).ok_or_else(nothing)?;
    if tenant.problem.is_some() {
        return Err(unavailable());
    }
    let Some(plugin) = tenant.plugins.get(&*path.plugin).cloned() else {
        let failed = tenant.unavailable.get(&*path.plugin);
        return Err(match failed.map(|failed| failed.cause) {
            Some(Cause::Refused) => refused(),
            Some(Cause::Failed | Cause::Preparing) => unavailable(),
            None => nothing(),
        });
    };
    // An upload with a route below `/-/` is refused, but a catch-all route matches these paths too.
    // If the plugin has no functions, that route answers them: versions that were stored before
    // there were functions may rely on it.
    let function_name = path
        .rest
        .strip_prefix(function::FUNCTIONS)
        .filter(|_| !plugin.functions().is_empty());
    let (active, callee, params) = match function_name {
        Some(name) => {
            let callable = plugin.function(name).ok_or_else(nothing)?;
            if method != function::METHOD.as_str() {
                return Err(method_not_allowed(&[function::METHOD.to_string()]));
            }
            let callee = Callee::Function(callable.function.clone());
            (callable.active.clone(), callee, Vec::new())
        }
        None => match plugin.find(method, &path.rest) {
            RouteMatch::Found(route, params) => (plugin.active.clone(), Callee::Route(route), params),
            RouteMatch::OtherMethods(methods) => return Err(method_not_allowed(&methods)),
            RouteMatch::Nothing => return Err(nothing()),
        },
    };
    if tenant.suspended || plugin.disabled {
        let whose = if tenant.suspended { "tenant" } else { "plugin" };
        let problem = Problem::new(Code::PluginSuspended, format!("this {whose} is suspended"));
        return Err(problem.retry_after(Duration::from_secs(60)));
    }
    let target = Target {
        tenant,
        plugin,
        active,
        callee,
    };
    Ok(Located { target, params })
}

/// The tenant, or the active version of the plugin, cannot be served. The reason is in the host's log and in
/// the admin API.
fn unavailable() -> Problem {
    let detail = "the active version of this plugin cannot be served; the tenant's admin API says why";
    Problem::new(Code::Unavailable, detail).retry_after(UNAVAILABLE_RETRY)
}

/// The version was accepted once, but this host does not run it any more.
pub fn refused() -> Problem {
    let detail = "this host does not run the active version of the plugin any more; the plugin's health in the admin \
                  API says why";
    Problem::new(Code::PluginSuspended, detail).retry_after(REFUSED_RETRY)
}

fn method_not_allowed(methods: &[String]) -> Problem {
    let allowed = methods.join(", ");
    let problem = Problem::new(Code::MethodNotAllowed, format!("this path answers {allowed}"));
    match HeaderValue::from_str(&allowed) {
        Ok(value) => problem.header(ALLOW, value),
        Err(_) => problem,
    }
}
