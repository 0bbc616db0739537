//! What callers get in the plugin's place: rates, admission, and failures of the plugin as
//! problems.

use std::time::Duration;

use axum::http::header::{HeaderName, HeaderValue};
use axum::http::request::Parts;

use super::Gateway;
use super::locate::{Located, locate, refused};
use super::path::PluginPath;
use super::respond::Unsendable;
use super::validate;
use crate::components::LoadError;
use crate::domain::units::ByteSize;
use crate::http::problem::{Code, Problem};
use crate::invoke::{NotRun, Target};
use crate::sandbox::{Failure, TooLargeToLift};
use crate::tenants::budget::Exhausted;
use crate::tenants::{Standing, Unavailable, Unhealthy};

/// `Retry-After` if the host has no instance left.
const NO_INSTANCE_RETRY: Duration = Duration::from_secs(1);

/// `Retry-After` if the plugin was replaced while the request waited.
const REPLACED_RETRY: Duration = Duration::from_secs(1);

/// `Retry-After` if there is no memory for a body.
const NO_ROOM_RETRY: Duration = Duration::from_secs(1);

/// There are more requests than the rate of the tenant or of the route allows.
pub fn rate_limited(whose: &str, standing: Standing) -> Problem {
    past_rate(whose, &format!("this {whose} has too many requests"), standing)
}

/// There are more requests without a valid credential than are answered with 401.
pub fn too_many_failures(standing: Standing) -> Problem {
    past_rate(
        "credentials",
        "too many requests come without a valid credential",
        standing,
    )
}

fn past_rate(name: &str, detail: &str, standing: Standing) -> Problem {
    let Standing {
        remaining,
        burst,
        reset,
    } = standing;
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

/// There is no memory for more bytes of request bodies.
pub fn no_room_for_body(exhausted: Exhausted) -> Problem {
    let detail = match exhausted {
        Exhausted::Tenant => "the bodies of this tenant's requests take all the memory that they may",
        Exhausted::Shared => "the bodies of all requests take all the memory that this host has for them",
    };
    Problem::new(Code::Overloaded, detail).retry_after(NO_ROOM_RETRY)
}

/// The body could not be read up to its end.
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

/// The circuit breaker of the route or the function, which `kind` says, is open.
pub fn unhealthy(kind: &str, unhealthy: Unhealthy) -> Problem {
    let detail = format!("the plugin failed on this {kind} time after time and is left alone for a while");
    Problem::new(Code::PluginUnhealthy, detail).retry_after(unhealthy.retry_after)
}

/// The invocation did not run.
pub fn not_run(kind: &str, not_run: NotRun) -> Problem {
    let detail = not_run.to_string();
    match not_run {
        NotRun::Full { retry_after } | NotRun::Unread { retry_after } | NotRun::Preparing { retry_after } => {
            Problem::new(Code::Overloaded, detail).retry_after(retry_after)
        }
        NotRun::NotLoaded(error) => Problem::internal(error),
        NotRun::Unhealthy(circuit) => unhealthy(kind, circuit),
    }
}

/// The component of `target` could not be loaded: it was removed while the request waited, or the
/// host failed.
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
        // It still serves, so its files should be there. Further requests do not try to load it: the lifecycle
        // tries again at intervals.
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

/// The guest of a route or a function, which `kind` says, gave no answer. What the plugin's author
/// should know besides is in its log.
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
            format!("the plugin went past its limit `{limit}`"),
        ),
        Failure::Response(TooLargeToLift { limit }) => {
            Problem::new(Code::PluginInvalidResponse, too_large(limit))
        }
        Failure::Memory => Problem::new(
            Code::PluginMemory,
            "the plugin needed more memory than it may have",
        ),
        Failure::Cpu(_) => Problem::new(Code::PluginCpu, failure.to_string()),
        Failure::Timeout(_) => Problem::new(Code::PluginTimeout, failure.to_string()),
        Failure::Body(_, failure) => validate::request_problem(kind, failure),
        Failure::NoInstance => {
            Problem::new(Code::Overloaded, "all instances are in use").retry_after(NO_INSTANCE_RETRY)
        }
        Failure::Host(error) => Problem::internal(format!("{error:#}")),
    }
}
