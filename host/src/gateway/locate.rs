//! Finds the tenant, the plugin, and the route or function for the path of a request.

use std::time::Duration;

use axum::http::header::{ALLOW, HeaderValue};

use super::path::PluginPath;
use crate::domain::function;
use crate::domain::problem::Code;
use crate::http::problem::Problem;
use crate::invoke::{Callee, Target};
use crate::tenants::{Cause, RouteMatch, Routing};

/// `Retry-After` if the host refuses the version. An operator has to change the configuration, or
/// another version has to be activated.
const REFUSED_RETRY: Duration = Duration::from_secs(60);

/// `Retry-After` of a plugin that cannot be served until somebody repairs it.
const UNAVAILABLE_RETRY: Duration = Duration::from_secs(60);

/// The target of a request.
pub struct Located {
    /// The tenant, the plugin, and the route or function.
    pub target: Target,
    /// The parameters that the route captured from the decoded path.
    pub params: Vec<(String, String)>,
}

/// Finds the target of a request. A missing tenant, plugin or route gives the same 404 response, so
/// that callers cannot find out which names exist.
pub fn locate(routing: &Routing, method: &str, path: &PluginPath<'_>) -> Result<Located, Problem> {
    let nothing = || {
        Problem::new(
            Code::NotFound,
            "there is no such tenant, plugin, route or function",
        )
    };
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
    // A version without functions, stored by an earlier host, may have a route of its own below
    // `/-/`. The router finds it.
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

/// The tenant or the active version of the plugin cannot be served. The host's log and the admin
/// API have the reason.
pub fn unavailable() -> Problem {
    let detail = "the active version of this plugin cannot be served; the tenant's admin API says why";
    Problem::new(Code::Unavailable, detail).retry_after(UNAVAILABLE_RETRY)
}

/// The host accepted the version in the past and refuses it now.
pub fn refused() -> Problem {
    let detail = "this host does not run the active version of the plugin any more; the plugin's health in the admin \
                  API says why";
    Problem::new(Code::PluginSuspended, detail).retry_after(REFUSED_RETRY)
}

pub fn method_not_allowed(methods: &[String]) -> Problem {
    let allowed = methods.join(", ");
    let problem = Problem::new(Code::MethodNotAllowed, format!("this path answers {allowed}"));
    match HeaderValue::from_str(&allowed) {
        Ok(value) => problem.header(ALLOW, value),
        Err(_) => problem,
    }
}
