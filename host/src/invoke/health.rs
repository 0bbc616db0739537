//! What an invocation says of the health of its route: which failures count, and what is logged.

use http::StatusCode;

use crate::capability::Invocation;
use crate::capability::log::append;
use crate::domain::clock::Clock;
use crate::domain::log_line::Level;
use crate::domain::problem::Code;
use crate::tenants::{Change, MethodRoute, Pass};

/// Reports how an invocation ended to the circuit breaker of its route: with the code of a problem,
/// or with `None` for a response. A change of the route's health goes to the log of the invocation
/// that caused it, and to the host's.
pub fn report(
    pass: Pass<'_>,
    failed_with: Option<Code>,
    route: &MethodRoute,
    invocation: &mut Invocation,
    clock: &dyn Clock,
) {
    let change = match failed_with {
        None => pass.succeeded(),
        Some(code) if is_fault_of_plugin(code) => pass.failed(clock.now(), code),
        // The host's fault says nothing of the plugin.
        Some(_) => None,
    };
    let Some(change) = change else { return };
    let active = invocation.active.clone();
    let (tenant, plugin, version) = (&active.tenant_name, &active.plugin, active.digest);
    let (method, pattern) = (&route.method, &*route.pattern);
    let reason = failed_with.map(Code::as_str);
    match change {
        Change::BecameUnhealthy => {
            tracing::warn!(%tenant, %plugin, %version, method, route = pattern, reason,
                "a route failed time after time and is left alone for a while");
            let message = format!(
                "{method} {pattern} failed time after time and answers 503 `{}` for a while",
                Code::PluginUnhealthy.as_str()
            );
            append(invocation, Level::Error, &message, &[]);
        }
        Change::Recovered => {
            tracing::info!(%tenant, %plugin, %version, method, route = pattern, "a route works again");
            let message = format!("{method} {pattern} works again");
            append(invocation, Level::Info, &message, &[]);
        }
    }
}

/// Whether the plugin itself failed or ran into a limit, which callers see as 502 or 504. A full
/// host and a caller who goes away say nothing of the plugin.
fn is_fault_of_plugin(code: Code) -> bool {
    matches!(
        code.status(),
        StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_counts_is_the_plugins_alone() {
        let counted = Code::ALL.iter().filter(|code| is_fault_of_plugin(**code));
        let counted: Vec<&str> = counted.map(|code| code.as_str()).collect();
        assert_eq!(
            counted,
            [
                "plugin-trapped",
                "plugin-memory",
                "plugin-limit",
                "plugin-invalid-response",
                "plugin-cpu",
                "plugin-timeout"
            ]
        );
    }
}
