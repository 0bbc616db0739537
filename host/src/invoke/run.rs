//! Runs an admitted invocation: load the component, wait for permits, run the guest.

use std::pin::pin;
use std::sync::Arc;

use http::Method;
use tokio::time::Instant;

use super::admit::{Admission, NotRun, Permits};
use super::record::{Recorder, Unrecorded};
use super::{Invoker, Target};
use crate::capability::Invocation;
use crate::capability::bindings::http_types;
use crate::components::bundle::schema::Schema;
use crate::deadline::within;
use crate::domain::id::InvocationId;
use crate::domain::invocation::{Trigger, Usage};
use crate::domain::principal::Principal;
use crate::domain::units::microseconds;
use crate::sandbox::Loaded;
use crate::sandbox::{Checks, Failure, Finished, Held, ResponseParts, Start};
use crate::tenants::BodyCharge;

/// A request to a plugin, and what is known of its caller.
pub struct Call {
    /// The id of the invocation.
    pub id: InvocationId,
    /// Who calls, on routes that ask.
    pub principal: Option<Principal>,
    /// The caller's trace context.
    pub traceparent: Option<String>,
    /// How many plugins called each other to get here.
    pub call_depth: u32,
    /// The method of the request, for the record.
    pub method: Method,
    /// What is known already of the usage: the bytes of the request, the tenant's rate.
    pub usage: Usage,
    /// The schema that the request's body is still to be checked against.
    pub request_schema: Option<Arc<Schema>>,
    /// The memory of the request's body, until the invocation begins.
    pub held: Option<BodyCharge>,
    /// The request as the plugin sees it.
    pub request: http_types::Request,
}

/// An invocation whose guest has ended.
pub struct Ran<'a> {
    /// The plugin's response, of which nothing is checked yet, or why there is none.
    pub outcome: Result<ResponseParts, Failure>,
    /// The rest of the invocation, until its record is written.
    pub unrecorded: Unrecorded<'a>,
}

impl Invoker {
    /// Runs the guest. An error means that it did not start.
    pub async fn run<'a>(
        self: &Arc<Self>,
        target: &'a Target,
        admission: Admission,
        call: Call,
    ) -> Result<Ran<'a>, NotRun> {
        let limits = &*target.plugin.active.limits;
        // Loaded before anything is held that others wait for: compiling a component again takes
        // long.
        let component = self.load(target).await?;
        let came = Instant::now();
        let Permits { turn, instance } = {
            let permits = pin!(self.permits(target, &admission));
            permits.await?
        };
        let started_at = self.clock.now();
        let pass = target.route.health.pass(started_at, limits.wall.0);
        let pass = pass.map_err(NotRun::Unhealthy)?;
        let usage = Usage {
            queued_us: microseconds(came.elapsed()),
            place: admission.admitted.place(),
            request_backlog_bytes: target.tenant.bodies.held(),
            backlog_bytes: target.tenant.backlog.held(),
            ..call.usage
        };
        drop(call.held);
        let invocation = Box::new(Invocation {
            id: call.id,
            active: target.plugin.active.clone(),
            trigger: Trigger::Http,
            principal: call.principal,
            traceparent: call.traceparent,
            call_depth: call.call_depth,
            started_at,
            deadline: Instant::now() + limits.wall.0,
            clock: self.clock.clone(),
            cpu_time: Arc::default(),
            usage,
            held: 0,
            last_calls: Default::default(),
            log_lines: Vec::new(),
            revealed: Vec::new(),
        });
        let recorder = Arc::new(Recorder {
            invoker: self.clone(),
            route: target.route.clone(),
            method: call.method,
        });
        let abandoned = {
            let recorder = recorder.clone();
            move |invocation| recorder.given_up(invocation)
        };
        let start = Start {
            lanes: &target.tenant.gate.lanes().guests,
            long_running: &target.route.long_running,
            held: Held {
                turn: (turn, admission),
                instance,
                kept: target.plugin.reuse.then(|| target.tenant.kept.clone()),
            },
            checks: checks(target, call.request_schema),
        };
        let Finished { outcome, invocation } = self
            .runtime
            .handle_http(component, start, invocation, call.request, abandoned)
            .await;
        Ok(Ran {
            outcome,
            unrecorded: Unrecorded::new(recorder, invocation, pass),
        })
    }

    async fn load(&self, target: &Target) -> Result<Arc<Loaded>, NotRun> {
        let wall = target.plugin.active.limits.wall.0;
        let load = pin!(self.runtime.load(target.plugin.active.digest));
        let loaded = within(wall, load).await;
        loaded
            .map_err(|_| NotRun::Preparing { retry_after: wall })?
            .map_err(NotRun::NotLoaded)
    }
}

/// The bodies that are checked before and after the plugin runs.
fn checks(target: &Target, request: Option<Arc<Schema>>) -> Checks {
    let response = target.route.response_schema.clone();
    let has_any = request.is_some() || response.is_some();
    Checks {
        request,
        response,
        kept: has_any.then(|| target.tenant.kept_validators.clone()),
    }
}
