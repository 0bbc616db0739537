//! Serves one request: locate, authenticate, limit, read, validate, invoke, respond.

use std::pin::pin;
use std::sync::Arc;

use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::Request;
use axum::http::Response;
use axum::http::header::HeaderMap;
use mortise_validator::without_bom;

use super::locate::{Located, locate};
use super::respond::Unsendable;
use super::{Gateway, authenticate, path, plugin_request, refusals, respond, trace_context, validate};
use crate::capability::http_client::DEPTH_HEADER;
use crate::domain::clock::Timestamp;
use crate::domain::function::FunctionOutcome;
use crate::domain::id::InvocationId;
use crate::domain::invocation::{Triggered, Usage};
use crate::domain::principal::Principal;
use crate::domain::problem::Code;
use crate::domain::units::as_u64;
use crate::http::problem::Problem;
use crate::invoke::{Call, Callee, NotRun, Ran, Target, Unrecorded};
use crate::sandbox::{Failure, FunctionError, Input, Output, Side};
use crate::server::{RemoteAddress, body};
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
    let (entry, kind) = (target.callee.entry(), target.callee.kind());
    let health = entry.health.check(now);
    health.map_err(|circuit| refusals::unhealthy(kind, circuit))?;
    // A first look, so that no body is read in vain. A place is taken once the body is there: a
    // caller that sends it slowly holds its connection and these bytes, and nothing that others
    // wait for.
    let not_run = |not_run| refusals::not_run(kind, not_run);
    gateway.invoker.look(&target).map_err(not_run)?;
    let (bytes, held) = match request_body.is_end_stream() {
        true => (Bytes::new(), None),
        false => {
            let limit = target.active.limits.request_body;
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
    let admission = gateway.invoker.admit(&target).map_err(not_run)?;
    let input_schema = match &entry.input_schema {
        Some(schema) => validate::request(schema, kind, &parts.headers, &bytes)?,
        None => None,
    };
    let request_bytes = as_u64(bytes.len());
    let (triggered, input) = match &target.callee {
        Callee::Route(route) => {
            let base_url = gateway
                .public_url
                .of_plugin(&target.active.tenant_name, &target.active.plugin);
            let triggered = Triggered::Http {
                method: parts.method.clone(),
                route: route.pattern.clone(),
            };
            let request = plugin_request::new(&parts, path.received, route, params, bytes, base_url);
            (triggered, Input::Http(request))
        }
        Callee::Function(function) => {
            let triggered = Triggered::Function {
                name: function.name.clone(),
                outcome: None,
            };
            let input = function_input(&bytes)?;
            let name = function.name.clone();
            (triggered, Input::Function { name, input })
        }
    };
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
        input,
    };
    let ran = {
        let run = pin!(gateway.invoker.run(&target, admission, call));
        run.await
    };
    match ran {
        Ok(ran) => answer(&target, ran),
        Err(NotRun::NotLoaded(error)) => Err(refusals::not_loaded(gateway, &parts, &path, &target, error)),
        Err(error) => Err(not_run(error)),
    }
}

/// The input of a function as it is handed to the plugin.
fn function_input(body: &[u8]) -> Result<String, Problem> {
    let text = str::from_utf8(without_bom(body)).map_err(|error| validate::not_json(&error.to_string()))?;
    Ok(text.to_owned())
}

/// Who calls, if the tenant's rate and that of the route or the function allow it. The credential
/// comes first: a missing or wrong one is counted apart, so that no number of these refuses a
/// caller with a valid one.
fn admitted_caller(
    target: &Target,
    headers: &HeaderMap,
    now: Timestamp,
) -> Result<(Option<Principal>, Standing), Problem> {
    let (gate, entry) = (&target.tenant.gate, target.callee.entry());
    let principal = match authenticate::authenticate(&target.tenant, entry, headers, now) {
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

/// Checks the answer, writes the record, and gives what the caller gets.
fn answer(target: &Target, ran: Ran<'_>) -> Result<Response<Body>, Problem> {
    let Ran {
        outcome,
        mut unrecorded,
    } = ran;
    let kind = target.callee.kind();
    let limit = unrecorded.limits().response_body;
    let result = match outcome {
        Ok(Output::Http(response)) => respond::check(response, limit)
            .map_err(|unsendable| cannot_be_sent(&mut unrecorded, unsendable))
            .map(|response| (None, response)),
        Ok(Output::Function(Ok(output))) => respond::output(output, limit)
            .map_err(|unsendable| cannot_be_sent(&mut unrecorded, unsendable))
            .map(|response| (Some(FunctionOutcome::Answered), response)),
        Ok(Output::Function(Err(error))) => return Err(no_output(unrecorded, error)),
        Err(Failure::Body(Side::Output, failure)) => {
            let (code, reason) = validate::response_problem(&failure);
            unrecorded.log_error(&format!("invalid response: {reason}"));
            Err(Problem::new(code, "the plugin's response cannot be sent").because(reason))
        }
        Err(Failure::Body(Side::Input, failure)) => {
            let problem = validate::request_problem(kind, failure);
            unrecorded.refused(problem.code());
            return Err(problem);
        }
        Err(failure) => {
            unrecorded.log_failure(&failure);
            Err(refusals::failed(kind, failure))
        }
    };
    match result {
        Ok((function, response)) => {
            let (status, bytes) = (response.status(), as_u64(response.body().len()));
            match function {
                None => unrecorded.answered(status, bytes),
                Some(outcome) => unrecorded.function_ended(outcome, status, bytes),
            }
            Ok(response.map(|bytes| Body::from(target.tenant.backlog.hold(bytes))))
        }
        Err(problem) => {
            unrecorded.failed(problem.code());
            Err(problem)
        }
    }
}

fn cannot_be_sent(unrecorded: &mut Unrecorded<'_>, unsendable: Unsendable) -> Problem {
    unrecorded.log_error(&format!("invalid response: {unsendable}"));
    refusals::unsendable(unsendable)
}

/// Writes the record of a function that gave no output, and gives what the caller gets.
fn no_output(mut unrecorded: Unrecorded<'_>, error: FunctionError) -> Problem {
    let (code, outcome, said) = match error {
        FunctionError::InvalidInput(said) => (Code::InvalidInput, FunctionOutcome::InvalidInput, said),
        FunctionError::Failed(said) => (Code::FunctionFailed, FunctionOutcome::Failed, said),
        FunctionError::Unknown => {
            unrecorded
                .log_error("the manifest has this function, and the plugin says that it does not know it");
            unrecorded.failed(Code::PluginInvalidResponse);
            return Problem::new(
                Code::PluginInvalidResponse,
                "the plugin does not know this function",
            );
        }
    };
    unrecorded.function_ended(outcome, code.status(), 0);
    Problem::new(code, respond::detail(said))
}

/// How many plugins called each other to get here. A caller can only make it larger, which harms the caller alone.
fn call_depth(headers: &HeaderMap) -> u32 {
    let value = headers.get(DEPTH_HEADER);
    value
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .unwrap_or(0)
}
