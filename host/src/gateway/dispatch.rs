//! Serves one request: locate, authenticate, limit, read, validate, invoke, respond.

use std::pin::pin;
use std::sync::Arc;

use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::Request;
use axum::http::Response;
use axum::http::header::HeaderMap;

use super::locate::{Located, locate};
use super::{Gateway, authenticate, path, plugin_request, refusals, respond, trace_context, validate};
use crate::capability::http_client::DEPTH_HEADER;
use crate::domain::clock::Timestamp;
use crate::domain::id::InvocationId;
use crate::domain::invocation::Usage;
use crate::domain::principal::Principal;
use crate::domain::units::as_u64;
use crate::http::problem::Problem;
use crate::invoke::{Call, NotRun, Ran, Target};
use crate::sandbox::{Failure, Side};
use crate::server::body;
use crate::tenants::{Caller, Standing};

/// Takes a request to the plugin that it is for.
pub async fn dispatch(
    gateway: &Arc<Gateway>,
    id: InvocationId,
    request: Request,
) -> Result<Response<Body>, Problem> {
    let (parts, request_body) = request.into_parts();
    let path = path::split(parts.uri.path())?;
    let Located { target, params } = locate(&gateway.routing, parts.method.as_str(), &path)?;
    let now = gateway.clock.now();
    let (principal, rate) = admitted_caller(&target, &parts.headers, now)?;
    target.route.health.check(now).map_err(refusals::unhealthy)?;
    // A first look, so that no body is read in vain. A place is taken once the body is there: a
    // caller that sends it slowly holds its connection and these bytes, and nothing that others
    // wait for.
    gateway.invoker.look(&target).map_err(refusals::not_run)?;
    let (bytes, held) = match request_body.is_end_stream() {
        true => (Bytes::new(), None),
        false => {
            let limit = target.plugin.active.limits.request_body;
            let mut held = target.tenant.bodies.open(caller(principal.as_ref()));
            let hold = |bytes| held.add(bytes).map_err(refusals::no_room_for_body);
            let bytes = {
                // Pinned where it is made, as below: a future that is handed over by value takes
                // its room twice.
                let read = pin!(body::read(
                    &parts.headers,
                    request_body,
                    limit,
                    gateway.pace,
                    hold
                ));
                read.await
                    .map_err(|problem| refusals::unread_body(problem, limit))?
            };
            (bytes, Some(held))
        }
    };
    let admission = gateway.invoker.admit(&target).map_err(refusals::not_run)?;
    let request_schema = match &target.route.request_schema {
        Some(schema) => validate::request(schema, &parts.headers, &bytes)?,
        None => None,
    };
    let call = Call {
        id,
        principal,
        traceparent: trace_context::traceparent(&parts.headers),
        call_depth: call_depth(&parts.headers),
        method: parts.method.clone(),
        usage: Usage {
            burst_taken: rate.burst.saturating_sub(rate.remaining),
            request_bytes: as_u64(bytes.len()),
            ..Usage::default()
        },
        request_schema,
        held,
        request: plugin_request::new(&parts, path.received, &target.route, params, bytes),
    };
    let ran = {
        let run = pin!(gateway.invoker.run(&target, admission, call));
        run.await
    };
    match ran {
        Ok(ran) => answer(&target, ran),
        Err(NotRun::NotLoaded(error)) => Err(refusals::not_loaded(gateway, &parts, &path, &target, error)),
        Err(not_run) => Err(refusals::not_run(not_run)),
    }
}

/// Who calls, if the tenant's and the route's rates allow it. The credential comes first: a missing
/// or wrong one is counted apart, so that no number of these refuses a caller with a valid one.
fn admitted_caller(
    target: &Target,
    headers: &HeaderMap,
    now: Timestamp,
) -> Result<(Option<Principal>, Standing), Problem> {
    let gate = &target.tenant.gate;
    let principal = match authenticate::authenticate(&target.tenant, &target.route, headers, now) {
        Ok(principal) => principal,
        Err(unauthenticated) => {
            let failures = gate.check_failures(now);
            failures.map_err(refusals::too_many_failures)?;
            return Err(unauthenticated);
        }
    };
    let rate = gate.check_rate(caller(principal.as_ref()), now);
    let rate = rate.map_err(|rate| refusals::rate_limited("tenant", rate))?;
    if let Some(principal) = &principal {
        authenticate::check_scopes(principal, &target.route)?;
    }
    if let Some(rate) = &target.route.rate {
        let caller = principal.as_ref().map(|Principal::ApiKey { id, .. }| *id);
        let rate = rate.of(caller).check(now);
        rate.map_err(|rate| refusals::rate_limited("route", rate))?;
    }
    Ok((principal, rate))
}

fn caller(principal: Option<&Principal>) -> Caller {
    match principal {
        Some(_) => Caller::Authenticated,
        None => Caller::Anonymous,
    }
}

/// Checks the response, writes the record, and gives what the caller gets.
fn answer(target: &Target, ran: Ran<'_>) -> Result<Response<Body>, Problem> {
    let Ran {
        outcome,
        mut unrecorded,
    } = ran;
    let result = match outcome {
        Ok(response) => {
            let limit = unrecorded.limits().response_body;
            respond::check(response, limit).map_err(|unsendable| {
                unrecorded.log_error(&format!("invalid response: {unsendable}"));
                refusals::unsendable(unsendable)
            })
        }
        Err(Failure::Body(Side::Response, failure)) => {
            let (code, reason) = validate::response_problem(&failure);
            unrecorded.log_error(&format!("invalid response: {reason}"));
            Err(Problem::new(code, "the plugin's response cannot be sent").because(reason))
        }
        Err(Failure::Body(Side::Request, failure)) => {
            let problem = validate::request_problem(failure);
            unrecorded.refused(problem.code());
            return Err(problem);
        }
        Err(failure) => {
            unrecorded.log_failure(&failure);
            Err(refusals::failed(failure))
        }
    };
    match result {
        Ok(response) => {
            unrecorded.answered(response.status(), as_u64(response.body().len()));
            Ok(response.map(|bytes| Body::from(target.tenant.backlog.hold(bytes))))
        }
        Err(problem) => {
            unrecorded.failed(problem.code());
            Err(problem)
        }
    }
}

/// How many plugins called each other to get here. A caller can only make it larger, which harms the caller alone.
fn call_depth(headers: &HeaderMap) -> u32 {
    let value = headers.get(DEPTH_HEADER);
    value
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .unwrap_or(0)
}
