//! Builds the problems for requests that are rejected or fail: rates, admission, and failures of
//! the plugin.

use std::time::Duration;

use axum::http::header::{HeaderName, HeaderValue};
use axum::http::request::Parts;

use super::Gateway;
use super::locate::{Located, locate, refused};
use super::path::PluginPath;
use super::respond::Unsendable;
use super::validate;
use crate::components::LoadError;
use crate::domain::problem::Code;
use crate::domain::units::ByteSize;
use crate::http::problem::Problem;
use crate::invoke::{Rejected, Target};
use crate::sandbox::{Failure, Side, TooLargeToLift};
use crate::tenants::budget::Exhausted;
use crate::tenants::{RateDecision, Unavailable, Unhealthy};

/// `Retry-After` if the host has no free instance.
const NO_INSTANCE_RETRY: Duration = Duration::from_secs(1);

/// `Retry-After` if the plugin was replaced while the request waited.
const REPLACED_RETRY: Duration = Duration::from_secs(1);

/// `Retry-After` if there is no memory for a body.
const NO_ROOM_RETRY: Duration = Duration::from_secs(1);

/// The request exceeds the rate of the tenant or of the callee.
pub fn rate_limited(whose: &str, decision: RateDecision) -> Problem {
    past_rate(whose, &format!("this {whose} has too many requests"), decision)
}

/// The request has no valid credential, and exceeds the rate of such requests that are answered
/// with 401.
pub fn too_many_failures(decision: RateDecision) -> Problem {
    past_rate(
        "credentials",
        "too many requests come without a valid credential",
        decision,
    )
}

fn past_rate(name: &str, detail: &str, decision: RateDecision) -> Problem {
    let RateDecision {
        remaining,
        burst,
        reset,
    } = decision;
    let seconds = reset.as_millis().div_ceil(1_000);
    let problem = Problem::new(Code::RateLimited, detail);
    let fields = [
        ("ratelimit", format!("\"{name}\";r={remaining};t={seconds}")),
        ("ratelimit-policy", format!("\"{name}\";q={burst}")),
    ];
    fields.into_iter().fold(
        problem.retry_after(reset),
        |problem, (name, value)| match HeaderValue::from_str(&value) {
            Ok(value) => problem.header(HeaderName::from_static(name), value),
            Err(_) => problem,
        },
    )
}

/// There is no memory for more request bodies.
pub fn no_room_for_body(exhausted: Exhausted) -> Problem {
    let detail = match exhausted {
        Exhausted::Tenant => "the request bodies of this tenant have reached their memory limit",
        Exhausted::Shared => "the request bodies of all tenants have reached the memory limit of this host",
    };
    Problem::new(Code::Overloaded, detail).retry_after(NO_ROOM_RETRY)
}

/// The body could not be read completely.
pub fn unread_body(problem: Problem, limit: ByteSize) -> Problem {
    match problem.code() {
        Code::BodyTooLarge => {
            let detail = format!(
                "the body has more than {limit} (limit `request_body`); send less, or ask the operator of the host for a \
                 higher limit"
            );
            Problem::new(Code::BodyTooLarge, detail)
        }
        _ => problem,
    }
}

/// The circuit breaker of the route or function is open; `kind` names which of the two.
pub fn unhealthy(kind: &str, unhealthy: Unhealthy) -> Problem {
    let detail =
        format!("the plugin failed on this {kind} repeatedly, so the {kind} is not called for a while");
    Problem::new(Code::PluginUnhealthy, detail).retry_after(unhealthy.retry_after)
}

/// The invocation of a route or a function, which `kind` says, was rejected.
pub fn rejected(kind: &str, rejected: Rejected) -> Problem {
    let detail = rejected.to_string();
    match rejected {
        Rejected::Full { retry_after }
        | Rejected::Unread { retry_after }
        | Rejected::Preparing { retry_after } => {
            Problem::new(Code::Overloaded, detail).retry_after(retry_after)
        }
        Rejected::Unhealthy(circuit) => unhealthy(kind, circuit),
    }
}

/// The component of `target` could not be loaded. It was removed while the request waited, or the
/// host refuses it or failed.
pub fn not_loaded(
    gateway: &Gateway,
    parts: &Parts,
    path: &PluginPath<'_>,
    target: &Target,
    error: LoadError,
) -> Problem {
    if let LoadError::Refused(refusal) = error {
        let active = &target.active;
        let unavailable = Unavailable::refused(active.digest, refusal.message.clone());
        gateway
            .routing
            .version_fails(active.tenant, &active.plugin, &unavailable);
        return refused();
    }
    match locate(&gateway.routing, parts.method.as_str(), path) {
        Err(problem) => problem,
        Ok(Located { target: now, .. }) if now.active.digest != target.active.digest => {
            let detail = "the plugin was replaced while this request waited";
            Problem::new(Code::Overloaded, detail).retry_after(REPLACED_RETRY)
        }
        // It still serves, so its files should be there. Further requests do not try to load it:
        // the lifecycle tries again at intervals.
        Ok(_) => {
            let active = &target.active;
            let unavailable = Unavailable::failed(Some(active.digest), error.to_string());
            gateway
                .routing
                .version_fails(active.tenant, &active.plugin, &unavailable);
            Problem::unavailable(error)
        }
    }
}

/// The response of the plugin cannot be sent.
pub fn unsendable(unsendable: Unsendable) -> Problem {
    let detail = match &unsendable {
        Unsendable::TooLarge { limit, .. } => too_large(*limit),
        Unsendable::Malformed(_) => "the plugin's response cannot be sent".to_owned(),
    };
    Problem::new(Code::PluginInvalidResponse, detail).because(unsendable)
}

fn too_large(limit: ByteSize) -> String {
    format!("the plugin's response is larger than its limit `response_body` of {limit}")
}

/// The guest returned no output. `kind` names the callee. The plugin's log has further details for
/// its author.
pub fn failed(kind: &str, failure: Failure) -> Problem {
    match failure {
        Failure::NoHandler(_) => Problem::new(
            Code::PluginTrapped,
            format!("the plugin exports no handler of its {kind}s"),
        ),
        Failure::Trapped(_) => {
            Problem::new(Code::PluginTrapped, "the plugin stopped with a fault of its own")
        }
        Failure::Limit { limit, .. } => Problem::new(
            Code::PluginLimit,
            format!("the plugin exceeded its limit `{limit}`"),
        ),
        Failure::Response(TooLargeToLift { limit }) => {
            Problem::new(Code::PluginInvalidResponse, too_large(limit))
        }
        Failure::Memory => Problem::new(Code::PluginMemory, "the plugin exceeded its memory limit"),
        Failure::Cpu(_) => Problem::new(Code::PluginCpu, failure.to_string()),
        Failure::Timeout(_) => Problem::new(Code::PluginTimeout, failure.to_string()),
        Failure::Body(Side::Input, failure) => validate::request_problem(kind, failure),
        Failure::Body(Side::Output, failure) => validate::response_problem(&failure),
        Failure::NoInstance => {
            Problem::new(Code::Overloaded, "all instances are in use").retry_after(NO_INSTANCE_RETRY)
        }
        Failure::Host(error) => Problem::internal(format!("{error:#}")),
    }
}
