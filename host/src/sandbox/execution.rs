//! Executes one invocation: takes an instance, calls the guest and checks the bodies.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinError;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use wasmtime::component::ResourceTableError;
use wasmtime::{PoolConcurrencyLimitError, Trap, WasmBacktrace};

use super::handlers::{Input, Output};
use super::instance::{ReusableSandbox, Sandbox};
use super::loaded::Loaded;
use super::long_running::LongRunning;
use super::meter::{Meter, PollClock};
use super::placement::{GuestLanes, Placement};
use super::store::CpuSpent;
use super::validator::{Check, CheckFailure, Validators, WarmValidators};
use super::warm::WarmPool;
use crate::capability::bindings::http_types::{Body, Response};
use crate::capability::bindings::types::Content;
use crate::capability::{HostCallRefused, HostFault, Invocation, Services};
use crate::components::bundle::schema::{QuickCheck, Schema};
use crate::deadline::until;
use crate::domain::invocation::Trigger;
use crate::domain::limits::Limits;
use crate::domain::units::{ByteSize, as_u64, microseconds};
use crate::sandbox::deferred_drop;

/// An invocation that has ended.
pub struct Finished {
    /// The plugin's output, or the reason why there is none.
    pub outcome: Result<Output, Failure>,
    /// The invocation, with its usage and its log.
    pub invocation: Box<Invocation>,
}

/// Why an invocation returned no output.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The component exports no handler for what triggered the invocation.
    #[error("the component exports no handler")]
    NoHandler(Trigger),
    /// The guest trapped.
    #[error("the plugin trapped: {0}")]
    Trapped(Trapped),
    /// The guest trapped after it was refused memory.
    #[error("the plugin ran out of memory")]
    Memory,
    /// The guest exceeded a limit for which the contract has no error.
    #[error("the plugin exceeded its limit `{limit}`: {reason}")]
    Limit {
        /// The name of the limit.
        limit: &'static str,
        /// The explanation for the plugin's author.
        reason: String,
    },
    /// The response is so large that the host did not copy it out of the sandbox.
    #[error(transparent)]
    Response(TooLargeToLift),
    /// The guest used up its CPU budget.
    #[error("the plugin used up its {0:?} of CPU time")]
    Cpu(Duration),
    /// The guest exceeded its wall-clock limit.
    #[error("the plugin did not answer within {0:?}")]
    Timeout(Duration),
    /// All instances of the host are in use.
    #[error("all instances of the host are in use")]
    NoInstance,
    /// A body failed its check.
    #[error("{1}")]
    Body(Side, CheckFailure),
    /// The host failed.
    #[error("{0:#}")]
    Host(wasmtime::Error),
}

/// The trap of a guest.
#[derive(Debug)]
pub struct Trapped {
    /// The kind of trap and its causes.
    pub reason: String,
    /// The backtrace, one line per function.
    pub backtrace: Vec<String>,
}

impl std::fmt::Display for Trapped {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.reason)
    }
}

/// The response exceeds the size that may be copied out of the sandbox.
#[derive(Debug, thiserror::Error)]
#[error("it is larger than the limit `response_body` of {limit}")]
pub struct TooLargeToLift {
    /// The limit of the body.
    pub limit: ByteSize,
}

/// The body that is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The caller's input.
    Input,
    /// The plugin's output.
    Output,
}

/// The checks of bodies that belong to an invocation. Their time is charged to the invocation.
#[derive(Default)]
pub struct Checks {
    /// The schema of the input, unless the host knows already that the input matches.
    pub input: Option<Arc<Schema>>,
    /// The schema of successful output.
    pub output: Option<Arc<Schema>>,
    /// The tenant's warm sandboxes for checks, if there is a check to make.
    pub warm: Option<Arc<WarmValidators>>,
}

/// The parameters of an invocation's run.
pub struct Start<'a, T, I> {
    /// The lanes of the invocation's tenant.
    pub lanes: &'a Arc<GuestLanes>,
    /// Whether guests of this route or function run long.
    pub long_running: &'a Arc<LongRunning>,
    /// The permits that the invocation holds.
    pub permits: GuestPermits<T, I>,
    /// The checks of input and output.
    pub checks: Checks,
}

/// The warm instances of a tenant.
pub type WarmInstances = WarmPool<ReusableSandbox>;

/// The permits of an invocation.
pub struct GuestPermits<T, I> {
    /// Held until the invocation ends.
    pub admission: T,
    /// Held until the instance is dropped, shortly after the invocation, or becomes warm.
    pub instance: I,
    /// The tenant's warm instances, if this plugin allows reuse.
    pub warm: Option<Arc<WarmInstances>>,
}

/// A guest during its whole execution. It owns all its data, so it can move between threads. If it
/// is dropped before its end, `abandoned` receives its invocation.
pub struct Guest<T, I, F: FnOnce(Box<Invocation>)> {
    component: Arc<Loaded>,
    sandbox: Option<Sandbox>,
    warm: Option<Arc<WarmInstances>>,
    placement: Arc<Placement>,
    meter: Arc<Meter>,
    /// `None` after the guest was called.
    input: Option<Input>,
    checks: Checks,
    validators: Arc<Validators>,
    /// The body that is being checked.
    checking: Option<Side>,
    /// The end of the wall-clock limit.
    deadline: Instant,
    limits: Arc<Limits>,
    abandoned: Option<F>,
    _admission: T,
    /// Dropped after the sandbox.
    instance: Option<I>,
}

impl<T: Send + 'static, I: Send + 'static, F: FnOnce(Box<Invocation>) + Send + 'static> Guest<T, I, F> {
    /// A guest that has not started yet.
    #[expect(
        clippy::too_many_arguments,
        reason = "the arguments have nothing in common, and only the runtime calls this"
    )]
    pub fn new(
        component: Arc<Loaded>,
        services: Arc<Services>,
        placement: Placement,
        mut invocation: Box<Invocation>,
        input: Input,
        permits: GuestPermits<T, I>,
        checks: Checks,
        validators: Arc<Validators>,
        abandoned: F,
    ) -> Self {
        let meter = Arc::new(Meter::new(invocation.cpu_time.clone()));
        let placement = Arc::new(placement);
        let limits = invocation.active.limits.clone();
        let deadline = invocation.deadline;
        let mut waiting = None;
        if let Some(warm) = &permits.warm {
            invocation.usage.instances_kept = as_u64(warm.waiting());
            waiting = warm.take(&invocation.active);
        }
        let (of_meter, of_placement) = (meter.clone(), placement.clone());
        let sandbox = match waiting {
            Some(reusable) => Sandbox::again(reusable, services, invocation, of_meter, of_placement),
            None => Sandbox::fresh(&component, services, invocation, of_meter, of_placement),
        };
        Self {
            component,
            sandbox: Some(sandbox),
            warm: permits.warm,
            placement,
            meter,
            input: Some(input),
            checks,
            validators,
            checking: None,
            deadline,
            limits,
            abandoned: Some(abandoned),
            _admission: permits.admission,
            instance: Some(permits.instance),
        }
    }

    /// Runs the guest: on this thread while it is in the foreground, then on the threads of
    /// `background`. If the future is dropped, even before its first poll, the store is dropped and
    /// `abandoned` receives the invocation.
    pub fn run(self, background: &Handle) -> impl Future<Output = Finished> {
        let placement = self.placement.clone();
        // Boxed outside of the returned future, which then holds only a pointer to it.
        let guest = Box::pin(self.execute());
        in_front_then_in_background(guest, placement, background)
    }

    async fn execute(mut self) -> Finished {
        let (placement, meter, deadline) = (self.placement.clone(), self.meter.clone(), self.deadline);
        let clock = || match placement.is_in_background() {
            true => PollClock::Thread,
            false => PollClock::Wall,
        };
        let outcome = {
            // Each future is pinned here. These futures are large, and a future that is passed by
            // value takes its memory twice.
            let call = pin!(self.call());
            let measured = pin!(meter.measure(clock, call));
            let in_slices = pin!(placement.run(measured));
            // It encloses everything: the epoch does not interrupt a guest that waits for the host.
            until(deadline, in_slices).await
        };
        self.finish(outcome.ok())
    }

    async fn call(&mut self) -> Result<Output, Failure> {
        let input = self.input.take().expect("a guest is called once");
        if let Some(schema) = self.checks.input.take() {
            self.checking = Some(Side::Input);
            let check = self.check(&schema, mortise_validator::without_bom(input_to_check(&input)));
            let checked = Box::pin(self.validators.check(check)).await;
            checked.map_err(|failure| failed(Side::Input, failure))?;
            self.checking = None;
        }
        let output = self.handle(input).await?;
        if let Some(schema) = self.checks.output.take()
            && let Some(body) = output_to_check(&output, &self.limits)
        {
            self.checking = Some(Side::Output);
            let checked = match schema.quick_check(body) {
                QuickCheck::Valid => Ok(()),
                QuickCheck::NotJson(problem) => Err(CheckFailure::NotJson(problem)),
                QuickCheck::Unknown => {
                    let check = self.check(&schema, body);
                    Box::pin(self.validators.check(check)).await
                }
            };
            checked.map_err(|failure| failed(Side::Output, failure))?;
            self.checking = None;
        }
        Ok(output)
    }

    fn check<'a>(&'a self, schema: &'a Schema, body: &'a [u8]) -> Check<'a> {
        Check {
            schema,
            body,
            warm: self.checks.warm.as_deref(),
            limits: &self.limits,
            meter: &self.meter,
            placement: &self.placement,
        }
    }

    async fn handle(&mut self, input: Input) -> Result<Output, Failure> {
        let trigger = input.trigger();
        let sandbox = self
            .sandbox
            .as_mut()
            .expect("the sandbox is taken out only when this has ended");
        let called = sandbox.call(&self.component, input).await;
        match called {
            Ok(output) => output.ok_or(Failure::NoHandler(trigger)),
            Err(error) => Err(classify(error, &self.limits)),
        }
    }

    /// Ends the invocation. `outcome` is `None` if the time ran out.
    fn finish(mut self, outcome: Option<Result<Output, Failure>>) -> Finished {
        let mut sandbox = self.sandbox.take().expect("the sandbox is taken out only here");
        let outcome = match outcome {
            None => Err(match self.checking {
                Some(side) => Failure::Body(side, CheckFailure::Timeout(self.limits.wall.0)),
                None => Failure::Timeout(self.limits.wall.0),
            }),
            Some(Err(Failure::Trapped(_))) if sandbox.was_refused_memory() => Err(Failure::Memory),
            Some(outcome) => outcome,
        };
        let peak_memory = sandbox.peak_memory();
        let (mut invocation, used_up) = match &self.warm {
            // Only an instance that returned is used again: after a trap or a timeout it may have
            // stopped anywhere in its code. A body that does not match its schema says nothing
            // about the instance.
            Some(warm) if sandbox.has_instance() && matches!(outcome, Ok(_) | Err(Failure::Body(..))) => {
                match sandbox.end_well() {
                    (invocation, Ok(reusable)) => {
                        let oldest = warm.keep(invocation.active.clone(), reusable, Instant::now());
                        (invocation, oldest.map(ReusableSandbox::into_sandbox))
                    }
                    (invocation, Err(sandbox)) => (invocation, Some(sandbox)),
                }
            }
            _ => (sandbox.end(), Some(sandbox)),
        };
        self.settle(&mut invocation, peak_memory);
        if let Some(used_up) = used_up {
            // The sandbox comes first in the tuple, so the permit is released after the instance is
            // dropped.
            deferred_drop::drop_later((used_up, self.instance.take()));
        }
        Finished { outcome, invocation }
    }
}

impl<T, I, F: FnOnce(Box<Invocation>)> Guest<T, I, F> {
    /// Records the resources that the invocation used.
    fn settle(&self, invocation: &mut Invocation, peak_memory: usize) {
        let busy = self.meter.busy();
        self.placement.ended(busy);
        invocation.usage.cpu_us = microseconds(busy);
        invocation.usage.wall_us = microseconds(self.meter.elapsed());
        invocation.usage.memory_bytes = as_u64(peak_memory);
    }
}

impl<T, I, F: FnOnce(Box<Invocation>)> Drop for Guest<T, I, F> {
    fn drop(&mut self) {
        if let (Some(mut sandbox), Some(abandoned)) = (self.sandbox.take(), self.abandoned.take()) {
            let mut invocation = sandbox.end();
            self.settle(&mut invocation, sandbox.peak_memory());
            drop(sandbox);
            abandoned(invocation);
        }
    }
}

/// Runs a guest on this thread while its placement is in the foreground, then on the threads of
/// `background`.
async fn in_front_then_in_background(
    mut guest: Pin<Box<impl Future<Output = Finished> + Send + 'static>>,
    placement: Arc<Placement>,
    background: &Handle,
) -> Finished {
    let in_front = poll_fn(|context| {
        if placement.is_in_background() {
            return Poll::Ready(None);
        }
        match guest.as_mut().poll(context) {
            Poll::Ready(finished) => Poll::Ready(Some(finished)),
            Poll::Pending if placement.is_in_background() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    });
    if let Some(finished) = in_front.await {
        return finished;
    }
    // Dropping this future aborts the task.
    let task = AbortOnDropHandle::new(background.spawn(guest));
    match task.await.map_err(JoinError::try_into_panic) {
        Ok(finished) => finished,
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        // The background threads end only with the process, so there is nobody left to answer.
        Err(Err(_)) => std::future::pending().await,
    }
}

/// The bytes to check against the input schema.
fn input_to_check(input: &Input) -> &[u8] {
    match input {
        Input::Http(request) => match &request.body {
            None => &[],
            Some(Content::Text(text)) => text.as_bytes(),
            Some(Content::Bytes(bytes)) => bytes,
        },
        Input::Function { input, .. } => input.as_bytes(),
        // A kind of job has no schema.
        Input::Job(_) => &[],
    }
}

/// The bytes to check against the output schema, if it applies. Output above the size limit is
/// rejected elsewhere, so it is not checked.
fn output_to_check<'a>(output: &'a Output, limits: &Limits) -> Option<&'a [u8]> {
    let body = match output {
        Output::Http(response) => body_to_check(response)?,
        Output::Function(output) => output.as_ref().ok()?.as_bytes(),
        Output::Job(_) => return None,
    };
    (body.len() <= limits.response_body.as_usize()).then_some(body)
}

/// The body of a response, if the schema of its route applies to it.
fn body_to_check(response: &Response) -> Option<&[u8]> {
    let is_for_it = (200..300).contains(&response.status) && !BODILESS.contains(&response.status);
    let body = match &response.body {
        Body::Empty => &[][..],
        Body::Text(text) => text.as_bytes(),
        Body::Bytes(bytes) => bytes,
        Body::Channels(_) => return None,
    };
    is_for_it.then_some(body)
}

/// Success statuses without a body.
const BODILESS: [u16; 2] = [204, 205];

/// Converts a failed check to the failure of the invocation.
fn failed(side: Side, failure: CheckFailure) -> Failure {
    match failure {
        CheckFailure::NoInstance => Failure::NoInstance,
        CheckFailure::Host(error) => Failure::Host(wasmtime::Error::msg(error)),
        failure => Failure::Body(side, failure),
    }
}

/// Classifies an error of wasmtime by whose fault it is. Errors that are not known to come from the
/// host or a limit are the guest's: for example a trap, or a value that does not lift.
fn classify(error: wasmtime::Error, limits: &Limits) -> Failure {
    if error.is::<CpuSpent>() || matches!(error.downcast_ref(), Some(Trap::Interrupt)) {
        Failure::Cpu(limits.cpu.0)
    } else if error.is::<PoolConcurrencyLimitError>() {
        Failure::NoInstance
    } else if error.is::<HostFault>() {
        Failure::Host(error)
    } else if let Some(failure) = past_limit(&error, limits) {
        failure
    } else {
        Failure::Trapped(trapped(&error))
    }
}

/// The failure of a guest that exceeded a limit. wasmtime enforces two of these limits without a
/// type for their errors, so they are recognised by their text. That text means nothing to a
/// plugin's author and is replaced.
fn past_limit(error: &wasmtime::Error, limits: &Limits) -> Option<Failure> {
    const TOO_MUCH_COPIED: &str = "fuel allocated for hostcalls has been exhausted";
    const TOO_MANY_HANDLES: &str = "store handle limit exceeded";
    let text = error.root_cause().to_string();
    let (limit, reason) = if let Some(refused) = error.downcast_ref::<HostCallRefused>() {
        (refused.limit(), refused.to_string())
    } else if matches!(error.downcast_ref(), Some(ResourceTableError::Full))
        || text.contains(TOO_MANY_HANDLES)
    {
        let reason = format!("it holds more than {} resources; drop some", limits.handles);
        ("handles", reason)
    } else if text.contains(TOO_MUCH_COPIED) {
        // A host call is made by a function of the guest, so there is a backtrace. The response is
        // copied after all functions have returned.
        let is_response = error.downcast_ref::<WasmBacktrace>().is_none();
        if is_response {
            return Some(Failure::Response(TooLargeToLift {
                limit: limits.response_body,
            }));
        }
        let most = limits.host_call_bytes;
        let reason =
            format!("one host call hands over far more than {most}, with what its parts take in the host");
        ("host_call_bytes", reason)
    } else {
        return None;
    };
    Some(Failure::Limit { limit, reason })
}

fn trapped(error: &wasmtime::Error) -> Trapped {
    let backtrace = error.downcast_ref::<WasmBacktrace>().map(ToString::to_string);
    let backtrace = backtrace.unwrap_or_default();
    // The chain includes the backtrace, the only entry with several lines.
    let causes = error.chain().map(ToString::to_string);
    let causes: Vec<String> = causes.filter(|cause| !cause.contains('\n')).collect();
    Trapped {
        reason: causes.join(": "),
        backtrace: backtrace.lines().map(|line| line.trim_end().to_owned()).collect(),
    }
}
