//! The way of a request.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Method, Response, StatusCode};
use bytes::Bytes;
use tokio::time::Instant;

use super::locate::{Target, locate, not_loaded};
use super::{Gateway, authenticate, health, path, respond, trace_context, validate};
use crate::capability::Invocation;
use crate::capability::bindings::http_types;
use crate::capability::content::content_of;
use crate::capability::http_client::DEPTH_HEADER;
use crate::capability::log::append;
use crate::domain::id::InvocationId;
use crate::domain::invocation::{ABANDONED, Blame, InvocationRecord, Trigger, Usage};
use crate::domain::log_line::Level;
use crate::domain::principal::Principal;
use crate::domain::units::{as_u64, microseconds};
use crate::http::problem::{Code, Problem};
use crate::invoke::deadline::within;
use crate::metrics::Ended;
use crate::sandbox::{Failure, Finished, Held, Start};
use crate::server::body;
use crate::storage::Entry;
use crate::tenants::{MethodRoute, Pass, Standing};

/// When it may be worth to try again, where the host has no instance left.
const NO_INSTANCE_RETRY: Duration = Duration::from_secs(1);

/// Takes a request to the plugin that it is for.
pub async fn dispatch(
    gateway: &Arc<Gateway>,
    id: InvocationId,
    request: Request,
) -> Result<Response<Body>, Problem> {
    let (parts, request_body) = request.into_parts();
    let path = path::split(parts.uri.path())?;
    let target = locate(&gateway.routing, parts.method.as_str(), &path)?;
    let now = gateway.clock.now();
    let standing = target
        .tenant
        .gate
        .check_rate(now)
        .map_err(|standing| rate_limited("tenant", standing))?;
    let principal = authenticate::authenticate(&target.tenant, &target.route, &parts.headers, now)?;
    if let Some(rate) = &target.route.rate {
        let caller = principal.as_ref().map(|Principal::ApiKey { id, .. }| *id);
        check_route_rate(rate.of(caller).check(now))?;
    }

    target.route.health.check(now).map_err(health::problem)?;

    let limits = &*target.plugin.active.limits;
    let overloaded =
        |after| Problem::new(Code::Overloaded, "too many requests are running").retry_after(after);
    let check_backlog = || match target.tenant.backlog.has_room() {
        true => Ok(()),
        false => Err(Problem::new(
            Code::Overloaded,
            "too many responses wait for callers to read them",
        )
        .retry_after(limits.queue_wait.0)),
    };
    check_backlog()?;
    let admitted = target
        .tenant
        .gate
        .admit()
        .map_err(|full| overloaded(full.retry_after))?;
    let counted = gateway.requests.admitted.hold();
    let bytes = body::read(
        &parts.headers,
        request_body,
        limits.request_body,
        gateway.body_timeout,
    )
    .await?;
    if let Some(schema) = &target.route.request_schema {
        validate::request(schema, &parts.headers, &bytes)?;
    }
    // Loaded before anything is held that others wait for: a component that has to be compiled again takes long.
    let component = {
        // In a block, as below, so that its room is used again once it is there.
        let load = pin!(gateway.runtime.load(target.plugin.active.digest));
        within(limits.wall.0, load).await
    };
    let component = component
        .map_err(|_| {
            Problem::new(Code::Overloaded, "the plugin is being prepared").retry_after(limits.wall.0)
        })?
        .map_err(|error| not_loaded(&gateway.routing, parts.method.as_str(), &path, &target, error))?;

    let came = Instant::now();
    let waiting = gateway.requests.waiting.hold();
    let turn = admitted
        .turn()
        .await
        .map_err(|full| overloaded(full.retry_after))?;
    let lanes = target.tenant.gate.lanes();
    let instance = {
        let acquire = pin!(gateway.instances.acquire(&lanes.instances));
        within(limits.queue_wait.0, acquire).await
    };
    let instance = instance.map_err(|_| overloaded(limits.queue_wait.0))?;
    drop(waiting);
    // Once more: those that waited in the queue would otherwise add a response each.
    check_backlog()?;

    let started_at = gateway.clock.now();
    let pass = target.route.health.pass(started_at, limits.wall.0);
    let pass = pass.map_err(health::problem)?;
    let usage = Usage {
        queued_us: microseconds(came.elapsed()),
        place: admitted.place(),
        burst_taken: standing.burst.saturating_sub(standing.remaining),
        backlog_bytes: target.tenant.backlog.held(),
        request_bytes: as_u64(bytes.len()),
        ..Usage::default()
    };
    let invocation = Box::new(Invocation {
        id,
        active: target.plugin.active.clone(),
        trigger: Trigger::Http,
        principal,
        traceparent: trace_context::traceparent(&parts.headers),
        call_depth: call_depth(&parts.headers),
        started_at,
        deadline: Instant::now() + limits.wall.0,
        clock: gateway.clock.clone(),
        cpu_time: Arc::default(),
        usage,
        held: 0,
        log_lines: Vec::new(),
        revealed: Vec::new(),
    });
    let plugin_request = plugin_request(&parts, &path, &target, bytes);
    let recorder = Arc::new(Recorder {
        gateway: gateway.clone(),
        route: target.route.clone(),
        method: parts.method.clone(),
    });
    let abandoned = {
        let recorder = recorder.clone();
        move |invocation| {
            // A panic of the host drops an invocation as a caller who goes away does.
            let ending = match std::thread::panicking() {
                true => Ending::Failed(Code::Internal),
                false => Ending::Abandoned,
            };
            recorder.record(invocation, ending);
        }
    };
    let start = Start {
        lanes: &lanes.guests,
        stamina: &target.route.stamina,
        held: Held {
            turn: (turn, admitted, counted),
            instance,
            kept: target.plugin.reuse.then(|| target.tenant.kept.clone()),
        },
    };
    let finished = gateway
        .runtime
        .handle_http(component, start, invocation, plugin_request, abandoned)
        .await;
    finish(&recorder, &target, pass, finished)
}

/// The request as the plugin sees it: without what belongs to the connection, and without the host's credentials.
fn plugin_request(
    parts: &axum::http::request::Parts,
    path: &path::PluginPath<'_>,
    target: &Target,
    bytes: Bytes,
) -> http_types::Request {
    let visible = |(name, value): &(&HeaderName, &HeaderValue)| {
        !HIDDEN_HEADERS.contains(&name.as_str())
            && **name != DEPTH_HEADER
            && !authenticate::is_credential(name, value)
    };
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let content_type = parts
        .headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let mut headers = Vec::with_capacity(parts.headers.len());
    let named = |(name, value): (&HeaderName, &HeaderValue)| (name.as_str().to_owned(), text(value));
    headers.extend(parts.headers.iter().filter(visible).map(named));
    http_types::Request {
        // A `HEAD` that a route for `GET` answers: the HTTP layer leaves the body out.
        method: target.route.method.clone(),
        route: target.route.pattern.to_string(),
        path: path.rest.to_owned(),
        query: parts.uri.query().map(str::to_owned),
        params: target.params.clone(),
        headers,
        body: (!bytes.is_empty()).then(|| content_of(content_type, bytes.into())),
    }
}

/// What belongs to one connection.
const HIDDEN_HEADERS: [&str; 8] = [
    "connection",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// How an invocation ended, for its record.
enum Ending {
    /// With a response of the plugin.
    Answered(StatusCode),
    /// With a problem in the plugin's place.
    Failed(Code),
    /// The caller went away.
    Abandoned,
}

/// The status in the record of an invocation whose caller went away, as proxies log it. Nobody receives it.
const ABANDONED_STATUS: u16 = 499;

/// Checks the response, writes the record, and gives what the caller gets.
fn finish(
    recorder: &Recorder,
    target: &Target,
    pass: Pass<'_>,
    finished: Finished,
) -> Result<Response<Body>, Problem> {
    let Finished {
        outcome,
        mut invocation,
    } = finished;
    let limit = invocation.limits().response_body;
    let result = match outcome {
        Ok(response) => respond::check(&target.route, response, limit).map_err(|reason| {
            append(
                &mut invocation,
                Level::Error,
                &format!("invalid response: {reason}"),
                &[],
            );
            Problem::new(
                Code::PluginInvalidResponse,
                "the plugin's response cannot be sent",
            )
            .because(reason)
        }),
        Err(failure) => {
            if let Failure::Trapped(reason) | Failure::Limit(reason) = &failure {
                append(&mut invocation, Level::Error, reason, &[]);
            }
            Err(problem(failure))
        }
    };
    let failed_with = result.as_ref().err().map(Problem::code);
    health::report(
        pass,
        failed_with,
        &target.route,
        &mut invocation,
        &*recorder.gateway.clock,
    );
    match result {
        Ok(response) => {
            invocation.usage.response_bytes = u64::try_from(response.body().len()).unwrap_or(u64::MAX);
            recorder.record(invocation, Ending::Answered(response.status()));
            Ok(response.map(|bytes| Body::from(target.tenant.backlog.hold(bytes))))
        }
        Err(problem) => {
            recorder.record(invocation, Ending::Failed(problem.code()));
            Err(problem)
        }
    }
}

/// Writes down what became of an invocation. It has all that takes, since a guest can outlive its request by a moment.
struct Recorder {
    gateway: Arc<Gateway>,
    route: Arc<MethodRoute>,
    method: Method,
}

impl Recorder {
    fn record(&self, invocation: Box<Invocation>, ending: Ending) {
        let ended = match &ending {
            Ending::Answered(_) => Ended::Answered,
            Ending::Failed(_) => Ended::Failed,
            Ending::Abandoned => Ended::Abandoned,
        };
        self.gateway.requests.invocation(ended, invocation.usage.cpu_us);
        let (status, code, blame) = match ending {
            Ending::Answered(status) => (status.as_u16(), None, None),
            Ending::Failed(code) => (code.status().as_u16(), Some(code.as_str()), Some(code.blame())),
            Ending::Abandoned => (ABANDONED_STATUS, Some(ABANDONED), Some(Blame::Client)),
        };
        let active = invocation.active;
        let entry = Entry {
            record: InvocationRecord {
                id: invocation.id,
                tenant: active.tenant,
                plugin: active.plugin.clone(),
                version: active.digest,
                trigger: invocation.trigger,
                method: self.method.clone(),
                route: self.route.pattern.clone(),
                status,
                code,
                blame,
                principal: invocation.principal.as_ref().map(Principal::id),
                started_at: invocation.started_at,
                usage: invocation.usage,
            },
            log_lines: invocation.log_lines,
        };
        self.gateway.ledger.record(entry, &active.limits);
    }
}

/// What the caller learns of a failure. What the plugin's author should know besides is in its log.
fn problem(failure: Failure) -> Problem {
    match failure {
        Failure::NoHandler => Problem::new(Code::PluginTrapped, "the plugin does not answer HTTP requests"),
        Failure::Trapped(_) => {
            Problem::new(Code::PluginTrapped, "the plugin stopped with a fault of its own")
        }
        Failure::Limit(_) => Problem::new(Code::PluginLimit, "the plugin went past one of its limits"),
        Failure::Memory => Problem::new(
            Code::PluginMemory,
            "the plugin needed more memory than it may have",
        ),
        Failure::Cpu(_) | Failure::Timeout(_) => {
            let code = if matches!(failure, Failure::Cpu(_)) {
                Code::PluginCpu
            } else {
                Code::PluginTimeout
            };
            Problem::new(code, failure.to_string())
        }
        Failure::NoInstance => {
            Problem::new(Code::Overloaded, "all instances are in use").retry_after(NO_INSTANCE_RETRY)
        }
        Failure::Host(error) => Problem::internal(format!("{error:#}")),
    }
}

fn rate_limited(whose: &str, standing: Standing) -> Problem {
    let Standing {
        remaining,
        burst,
        reset,
    } = standing;
    let seconds = reset.as_millis().div_ceil(1_000);
    let problem = Problem::new(Code::RateLimited, format!("this {whose} has too many requests"));
    let fields = [
        ("ratelimit", format!("\"{whose}\";r={remaining};t={seconds}")),
        ("ratelimit-policy", format!("\"{whose}\";q={burst}")),
    ];
    fields.into_iter().fold(
        problem.retry_after(reset),
        |problem, (name, value)| match HeaderValue::from_str(&value) {
            Ok(value) => problem.header(HeaderName::from_static(name), value),
            Err(_) => problem,
        },
    )
}

fn check_route_rate(standing: Result<Standing, Standing>) -> Result<(), Problem> {
    standing
        .map(|_| ())
        .map_err(|standing| rate_limited("route", standing))
}

/// How many plugins called each other to get here. A caller can only make it larger, which harms the caller alone.
fn call_depth(headers: &HeaderMap) -> u32 {
    let value = headers.get(DEPTH_HEADER);
    value
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .unwrap_or(0)
}
