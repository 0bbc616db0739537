//! Runs an admitted invocation: load the component, wait for permits, run the guest.

use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::admit::{Admission, NotRun, Permits, Rejected};
use super::record::{Recorder, Unrecorded};
use super::{Invoker, Target};
use crate::capability::{Invocation, RunningJob};
use crate::components::bundle::schema::Schema;
use crate::deadline::within;
use crate::domain::clock::Timestamp;
use crate::domain::id::InvocationId;
use crate::domain::invocation::{Triggered, Usage};
use crate::domain::principal::Principal;
use crate::domain::units::microseconds;
use crate::sandbox::{Checks, Failure, Finished, GuestPermits, Input, Loaded, Output, Start};
use crate::tenants::BodyCharge;

/// A call of a plugin, with the data about its caller.
pub struct Call {
    /// The id of the invocation.
    pub id: InvocationId,
    /// The caller, if the callee requires authentication.
    pub principal: Option<Principal>,
    pub traceparent: Option<String>,
    /// The number of plugins that called each other to get here.
    pub call_depth: u32,
    /// The address of the caller, if the call came over the network.
    pub remote_address: Option<IpAddr>,
    /// The data of the trigger, for the record.
    pub triggered: Triggered,
    /// The usage so far: the bytes of the input and the tenant's rate.
    pub usage: Usage,
    /// The schema, if the input still has to be checked.
    pub input_schema: Option<Arc<Schema>>,
    /// The charge for the memory of the input, until the invocation begins.
    pub held: Option<BodyCharge>,
    /// The job, if one is the trigger.
    pub job: Option<RunningJob>,
    pub input: Input,
}

/// An invocation whose guest has ended.
pub struct Ran<'a> {
    /// The plugin's output, of which only the schema was checked, or the reason why there is none.
    pub outcome: Result<Output, Failure>,
    /// The rest of the invocation, whose record is not written yet.
    pub unrecorded: Unrecorded<'a>,
}

/// An admitted invocation that has everything it waits for, and can start at once.
pub struct Prepared {
    admission: Admission,
    permits: Permits,
    component: Arc<Loaded>,
    /// How long it waited for its permits.
    queued: Duration,
}

impl Invoker {
    /// Runs the guest. An error means that the guest did not start.
    pub async fn run<'a>(
        self: &Arc<Self>,
        target: &'a Target,
        admission: Admission,
        call: Call,
    ) -> Result<Ran<'a>, NotRun> {
        let prepared = {
            let prepare = pin!(self.prepare(target, admission));
            prepare.await?
        };
        let start = pin!(self.start(target, prepared, call));
        Ok(start.await?)
    }

    /// Loads the component and waits for the permits.
    pub async fn prepare(&self, target: &Target, admission: Admission) -> Result<Prepared, NotRun> {
        // Loaded before anything is held that others wait for: compiling a component again takes
        // long.
        let component = match &admission {
            Admission::Request(_) => self.load(target).await?,
            Admission::Job => self.load_however_long(target).await?,
        };
        let came = Instant::now();
        let permits = {
            let permits = pin!(self.permits(target, &admission));
            permits.await?
        };
        Ok(Prepared {
            admission,
            permits,
            component,
            queued: came.elapsed(),
        })
    }

    /// Runs the guest of a prepared invocation. An error means that the guest did not start.
    pub async fn start<'a>(
        self: &Arc<Self>,
        target: &'a Target,
        prepared: Prepared,
        mut call: Call,
    ) -> Result<Ran<'a>, Rejected> {
        let Prepared {
            admission,
            permits: Permits {
                concurrency,
                instance,
            },
            component,
            queued,
        } = prepared;
        let started_at = self.clock.now();
        let entry = target.callee.entry();
        let (health, long_running) = match &admission {
            Admission::Request(_) => {
                let permit = entry.health.permit(started_at, target.active.limits.wall.0);
                let permit = permit.map_err(Rejected::Unhealthy)?;
                (Some(permit), &entry.long_running)
            }
            // The back-off of a job takes the place of a circuit breaker.
            Admission::Job => (None, &self.background),
        };
        call.usage = Usage {
            queued_us: microseconds(queued),
            place: admission.queue_position(),
            request_backlog_bytes: target.tenant.bodies.held(),
            backlog_bytes: target.tenant.backlog.held(),
            ..call.usage
        };
        drop(call.held.take());
        let invocation = self.invocation(target, &mut call, started_at);
        let recorder = Arc::new(Recorder {
            invoker: self.clone(),
            callee: target.callee.clone(),
            triggered: call.triggered,
        });
        let abandoned = {
            let recorder = recorder.clone();
            move |invocation| recorder.given_up(invocation)
        };
        let start = Start {
            lanes: &target.tenant.admission.lanes().guests,
            long_running,
            permits: GuestPermits {
                admission: (concurrency, admission),
                instance,
                warm: target.plugin.reuse.then(|| target.tenant.warm.clone()),
            },
            checks: checks(target, call.input_schema),
        };
        let Finished { outcome, invocation } = self
            .runtime
            .call(component, start, invocation, call.input, abandoned)
            .await;
        Ok(Ran {
            outcome,
            unrecorded: Unrecorded::new(recorder, invocation, health),
        })
    }

    /// The state of an invocation that begins now. It takes the caller out of `call`.
    fn invocation(&self, target: &Target, call: &mut Call, started_at: Timestamp) -> Box<Invocation> {
        Box::new(Invocation {
            id: call.id,
            active: target.active.clone(),
            trigger: call.triggered.trigger(),
            principal: call.principal.take(),
            traceparent: call.traceparent.take(),
            remote_address: call.remote_address,
            call_depth: call.call_depth,
            started_at,
            deadline: Instant::now() + target.active.limits.wall.0,
            clock: self.clock.clone(),
            cpu_time: Arc::default(),
            usage: call.usage,
            held: 0,
            job: call.job.take(),
            last_calls: Default::default(),
            log_lines: Vec::new(),
            revealed: Vec::new(),
        })
    }

    async fn load(&self, target: &Target) -> Result<Arc<Loaded>, NotRun> {
        let wall = target.active.limits.wall.0;
        let load = pin!(self.runtime.load(target.active.digest));
        let loaded = within(wall, load).await;
        loaded
            .map_err(|_| Rejected::Preparing { retry_after: wall })?
            .map_err(NotRun::NotLoaded)
    }

    /// Loads a component for a job. Nobody waits for the job, so compiling may take its time.
    async fn load_however_long(&self, target: &Target) -> Result<Arc<Loaded>, NotRun> {
        let loaded = self.runtime.load(target.active.digest).await;
        loaded.map_err(NotRun::NotLoaded)
    }
}

fn checks(target: &Target, input: Option<Arc<Schema>>) -> Checks {
    let output = target.callee.entry().output_schema.clone();
    let has_any = input.is_some() || output.is_some();
    Checks {
        input,
        output,
        warm: has_any.then(|| target.tenant.warm_validators.clone()),
    }
}
