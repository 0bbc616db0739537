//! Serves one request: locate, authenticate, limit, read, validate, invoke, respond.

use std::pin::pin;
use std::sync::Arc;

use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::Request;
use axum::http::Response;
use axum::http::header::HeaderMap;
use axum::http::request::Parts;
use mortise_validator::without_bom;

use super::host_paths::HOST;
use super::locate::{Located, locate};
use super::{
    Gateway, answer, authenticate, host_paths, path, plugin_request, refusals, trace_context, validate,
};
use crate::capability::http_client::DEPTH_HEADER;
use crate::domain::clock::Timestamp;
use crate::domain::id::InvocationId;
use crate::domain::invocation::{Triggered, Usage};
use crate::domain::principal::Principal;
use crate::domain::units::as_u64;
use crate::http::problem::Problem;
use crate::invoke::{Call, Callee, NotRun, Target};
use crate::sandbox::Input;
use crate::server::{RemoteAddress, body};
use crate::tenants::{BodyCharge, Caller, RateDecision};

/// Passes a request to its plugin and returns the response.
pub async fn dispatch(
    gateway: &Arc<Gateway>,
    id: InvocationId,
    request: Request,
) -> Result<Response<Body>, Problem> {
    let (parts, request_body) = request.into_parts();
    let path = path::split(parts.uri.path())?;
    if path.plugin == HOST {
        // Boxed, so that these requests do not enlarge the future of all others.
        return Box::pin(host_paths::serve(gateway, &parts, request_body, &path)).await;
    }
    let Located { target, params } = locate(&gateway.routing, parts.method.as_str(), &path)?;
    let now = gateway.clock.now();
    let (principal, rate) = admitted_caller(&target, &parts.headers, now)?;
    let (entry, kind) = (target.callee.entry(), target.callee.kind());
    let health = entry.health.check(now);
    health.map_err(|circuit| refusals::unhealthy(kind, circuit))?;
    // Checked before the body is read, so that no body is read in vain. The queue position is taken
    // after the body has arrived. A slow caller therefore holds only its connection and these
    // bytes.
    let rejected = |rejected| refusals::rejected(kind, rejected);
    gateway.invoker.look(&target).map_err(rejected)?;
    let (bytes, held) = match request_body.is_end_stream() {
        true => (Bytes::new(), None),
        false => {
            let read = pin!(read_body(
                gateway,
                &target,
                &parts.headers,
                caller(principal.as_ref()),
                request_body
            ));
            let (bytes, held) = read.await?;
            (bytes, Some(held))
        }
    };
    let admission = gateway.invoker.admit(&target).map_err(rejected)?;
    let input_schema = match &entry.input_schema {
        Some(schema) => validate::request(schema, kind, &parts.headers, &bytes)?,
        None => None,
    };
    let request_bytes = as_u64(bytes.len());
    let (triggered, input) = input(gateway, &target, &parts, path.received, params, bytes)?;
    let call = Call {
        id,
        principal,
        traceparent: trace_context::traceparent(&parts.headers),
        call_depth: call_depth(&parts.headers),
        remote_address: parts.extensions.get::<RemoteAddress>().map(|remote| remote.0),
        triggered,
        usage: Usage {
            burst_taken: rate.burst.saturating_sub(rate.remaining),
            request_bytes,
            ..Usage::default()
        },
        input_schema,
        held,
        job: None,
        input,
    };
    let ran = {
        let run = pin!(gateway.invoker.run(&target, admission, call));
        run.await
    };
    match ran {
        Ok(ran) => answer::answer(&target, ran),
        Err(NotRun::NotLoaded(error)) => Err(refusals::not_loaded(gateway, &parts, &path, &target, error)),
        Err(NotRun::Rejected(error)) => Err(rejected(error)),
    }
}

/// Reads the body of a request. The returned charge counts its bytes against the tenant.
async fn read_body(
    gateway: &Gateway,
    target: &Target,
    headers: &HeaderMap,
    caller: Caller,
    request_body: Body,
) -> Result<(Bytes, BodyCharge), Problem> {
    let limit = target.active.limits.request_body;
    let mut held = target.tenant.bodies.open(caller);
    let hold = |bytes| held.add(bytes).map_err(refusals::no_room_for_body);
    let bytes = {
        // Pinned here, as in `dispatch`, because a future that is passed by value takes its memory
        // twice.
        let read = pin!(body::read(headers, request_body, limit, gateway.pace, hold));
        read.await
            .map_err(|problem| refusals::unread_body(problem, limit))?
    };
    Ok((bytes, held))
}

/// The trigger for the record, and the input for the plugin.
fn input(
    gateway: &Gateway,
    target: &Target,
    parts: &Parts,
    path: &str,
    params: Vec<(String, String)>,
    bytes: Bytes,
) -> Result<(Triggered, Input), Problem> {
    match &target.callee {
        Callee::Route(route) => {
            let base_url = gateway
                .public_url
                .of_plugin(&target.active.tenant_name, &target.active.plugin);
            let triggered = Triggered::Http {
                method: parts.method.clone(),
                route: route.pattern.clone(),
            };
            let request = plugin_request::new(parts, path, route, params, bytes, base_url);
            Ok((triggered, Input::Http(request)))
        }
        Callee::Function(function) => {
            let triggered = Triggered::Function {
                name: function.name.clone(),
                outcome: None,
            };
            let input = function_input(&bytes)?;
            let name = function.name.clone();
            Ok((triggered, Input::Function { name, input }))
        }
        // No address leads to a job: `locate` finds routes and functions only.
        Callee::Job(_) => Err(Problem::internal("a request was located at a job")),
    }
}

/// The input of a function as text.
fn function_input(body: &[u8]) -> Result<String, Problem> {
    let text = str::from_utf8(without_bom(body)).map_err(|error| validate::not_json(&error.to_string()))?;
    Ok(text.to_owned())
}

/// Authenticates the caller and checks the rates of the tenant and of the callee. The credential is
/// checked first. Requests without a valid credential have their own rate, so that they cannot
/// exhaust the rate of valid callers.
fn admitted_caller(
    target: &Target,
    headers: &HeaderMap,
    now: Timestamp,
) -> Result<(Option<Principal>, RateDecision), Problem> {
    let (admission, entry) = (&target.tenant.admission, target.callee.entry());
    let principal = match authenticate::authenticate(&target.tenant, entry, headers, now) {
        Ok(principal) => principal,
        Err(unauthenticated) => {
            let failures = admission.check_failures(now);
            failures.map_err(refusals::too_many_failures)?;
            return Err(unauthenticated);
        }
    };
    let rate = admission.check_rate(caller(principal.as_ref()), now);
    let rate = rate.map_err(|rate| refusals::rate_limited("tenant", rate))?;
    if let Some(principal) = &principal {
        authenticate::check_scopes(principal, entry)?;
    }
    if let Some(rate) = &entry.rate {
        let caller = principal.as_ref().map(|Principal::ApiKey { id, .. }| *id);
        let rate = rate.of(caller).check(now);
        rate.map_err(|rate| refusals::rate_limited(target.callee.kind(), rate))?;
    }
    Ok((principal, rate))
}

fn caller(principal: Option<&Principal>) -> Caller {
    match principal {
        Some(_) => Caller::Authenticated,
        None => Caller::Anonymous,
    }
}

/// The number of plugins that called each other to get here. A caller can only increase it, which
/// harms only that caller.
fn call_depth(headers: &HeaderMap) -> u32 {
    let value = headers.get(DEPTH_HEADER);
    value
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .unwrap_or(0)
}
