//! Reports the outcome of an invocation to the circuit breaker of its route or function, and logs
//! changes.

use http::StatusCode;

use super::Callee;
use crate::capability::Invocation;
use crate::capability::log::append;
use crate::domain::clock::Clock;
use crate::domain::log_line::Level;
use crate::domain::problem::Code;
use crate::tenants::{Change, HealthPermit};

/// Reports the outcome of an invocation to its circuit breaker: the code of a problem, or `None`
/// for a response. If the breaker opens or closes, that is logged in the log of this invocation and
/// in the host's log.
pub fn report(
    permit: HealthPermit<'_>,
    failed_with: Option<Code>,
    callee: &Callee,
    invocation: &mut Invocation,
    clock: &dyn Clock,
) {
    let change = match failed_with {
        None => permit.succeeded(),
        Some(code) if is_fault_of_plugin(code) => permit.failed(clock.now(), code),
        // A fault of the host says nothing about the plugin.
        Some(_) => None,
    };
    let Some(change) = change else { return };
    let active = invocation.active.clone();
    let (tenant, plugin, version) = (&active.tenant_name, &active.plugin, active.digest);
    let reason = failed_with.map(Code::as_str);
    match change {
        Change::BecameUnhealthy => {
            tracing::warn!(%tenant, %plugin, %version, %callee, reason,
                "the circuit breaker opened: the plugin failed repeatedly");
            let message = format!(
                "{callee} failed repeatedly and answers 503 `{}` for a while",
                Code::PluginUnhealthy.as_str()
            );
            append(invocation, Level::Error, &message, &[]);
        }
        Change::Recovered => {
            tracing::info!(%tenant, %plugin, %version, %callee,
                "the circuit breaker closed: the plugin works again");
            let message = format!("{callee} works again");
            append(invocation, Level::Info, &message, &[]);
        }
    }
}

/// Whether the plugin failed or exceeded a limit, which callers see as status 502 or 504. A full
/// host or a cancelled request says nothing about the plugin.
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
