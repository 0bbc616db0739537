//! Serves one request: locate, authenticate, limit, read, validate, invoke, respond.

use std::pin::pin;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::Response;
use axum::http::header::HeaderMap;

use super::locate::{Located, locate};
use super::{Gateway, authenticate, path, plugin_request, refusals, respond, trace_context, validate};
use crate::capability::http_client::DEPTH_HEADER;
use crate::domain::id::InvocationId;
use crate::domain::invocation::Usage;
use crate::domain::principal::Principal;
use crate::domain::units::as_u64;
use crate::http::problem::{Code, Problem};
use crate::invoke::{Call, NotRun, Ran, Target};
use crate::sandbox::{Failure, Side};
use crate::server::body;

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
    let rate = target.tenant.gate.check_rate(now);
    let rate = rate.map_err(|rate| refusals::rate_limited("tenant", rate))?;
    let principal = authenticate::authenticate(&target.tenant, &target.route, &parts.headers, now)?;
    if let Some(rate) = &target.route.rate {
        let caller = principal.as_ref().map(|Principal::ApiKey { id, .. }| *id);
        let rate = rate.of(caller).check(now);
        rate.map_err(|rate| refusals::rate_limited("route", rate))?;
    }
    target.route.health.check(now).map_err(refusals::unhealthy)?;
    let admission = gateway.invoker.admit(&target).map_err(refusals::not_run)?;
    let limit = target.plugin.active.limits.request_body;
    let bytes = {
        // In a block, as below, so that its room in this future is used again afterwards.
        let read = pin!(body::read(
            &parts.headers,
            request_body,
            limit,
            gateway.body_timeout
        ));
        read.await?
    };
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
        request: plugin_request::new(&parts, path.rest, &target.route, params, bytes),
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

/// Checks the response, writes the record, and gives what the caller gets.
fn answer(target: &Target, ran: Ran<'_>) -> Result<Response<Body>, Problem> {
    let Ran {
        outcome,
        mut unrecorded,
    } = ran;
    let result = match outcome {
        Ok(response) => {
            let limit = unrecorded.limits().response_body;
            respond::check(response, limit).map_err(|reason| {
                unrecorded.log_error(&format!("invalid response: {reason}"));
                let detail = "the plugin's response cannot be sent";
                Problem::new(Code::PluginInvalidResponse, detail).because(reason)
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
            if let Failure::Trapped(reason) | Failure::Limit(reason) = &failure {
                unrecorded.log_error(reason);
            }
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
