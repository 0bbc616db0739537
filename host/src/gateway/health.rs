//! What the gateway makes of the health of a route: which failures count, what callers get, what is logged.

use axum::http::StatusCode;

use crate::capability::Invocation;
use crate::capability::log::append;
use crate::domain::clock::Clock;
use crate::domain::log_line::Level;
use crate::http::problem::{Code, Problem};
use crate::tenants::{Change, MethodRoute, Pass, Unhealthy};

/// What a caller gets of a route that is left alone.
pub fn problem(unhealthy: Unhealthy) -> Problem {
    let detail = "the plugin failed on this route time after time and is left alone for a while";
    Problem::new(Code::PluginUnhealthy, detail).retry_after(unhealthy.retry_after)
}

/// Reports how an invocation ended, with the code of its problem where there is one. A change of the route's health
/// goes to the log of the invocation that brought it about, and to the host's.
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

/// Its own fault, or a limit that it ran into by itself: what the gateway says with 502 and 504. Not what others can
/// bring it to: a full host, a caller who goes away.
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
