//! What an invocation says of the health of its route or function: which failures count, and what
//! is logged.

use http::StatusCode;

use super::Callee;
use crate::capability::Invocation;
use crate::capability::log::append;
use crate::domain::clock::Clock;
use crate::domain::log_line::Level;
use crate::domain::problem::Code;
use crate::tenants::{Change, Pass};

/// Reports how an invocation ended to the circuit breaker of its callee: with the code of a
/// problem, or with `None` for an answer. A change of its health goes to the log of the invocation
/// that caused it, and to the host's.
pub fn report(
    pass: Pass<'_>,
    failed_with: Option<Code>,
    callee: &Callee,
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
    let reason = failed_with.map(Code::as_str);
    match change {
        Change::BecameUnhealthy => {
            tracing::warn!(%tenant, %plugin, %version, %callee, reason,
                "a plugin failed here time after time and is not called for a while");
            let message = format!(
                "{callee} failed time after time and answers 503 `{}` for a while",
                Code::PluginUnhealthy.as_str()
            );
            append(invocation, Level::Error, &message, &[]);
        }
        Change::Recovered => {
            tracing::info!(%tenant, %plugin, %version, %callee, "a plugin works again here");
            let message = format!("{callee} works again");
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
