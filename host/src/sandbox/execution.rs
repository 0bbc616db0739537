//! One invocation: an instance, the call, and what came of it.

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
use super::instance::{Ended, Sandbox};
use super::loaded::Loaded;
use super::long_running::LongRunning;
use super::meter::{Meter, PollClock};
use super::placement::{GuestLanes, Placement};
use super::store::CpuSpent;
use super::validator::{Check, CheckFailure, KeptValidators, Validators};
use super::warm::Kept;
use crate::capability::bindings::http_types::{Body, Response};
use crate::capability::bindings::types::Content;
use crate::capability::{HostCallRefused, HostFault, Invocation, Services};
use crate::components::bundle::schema::{Glance, Schema};
use crate::deadline::until;
use crate::domain::invocation::Trigger;
use crate::domain::limits::Limits;
use crate::domain::units::{ByteSize, as_u64, microseconds};
use crate::sandbox::deferred_drop;

/// An invocation that has ended.
pub struct Finished {
    /// What the plugin answered, or why it did not.
    pub outcome: Result<Output, Failure>,
    /// The invocation, with its usage and its log.
    pub invocation: Box<Invocation>,
}

/// Why an invocation gave no answer.
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
    /// The guest went past a limit that no error of the contract tells it of.
    #[error("the plugin went past its limit `{limit}`: {reason}")]
    Limit {
        /// The name of the limit.
        limit: &'static str,
        /// A sentence for the plugin's author.
        reason: String,
    },
    /// The response is so large that it was not copied out of the sandbox.
    #[error(transparent)]
    Response(TooLargeToLift),
    /// The CPU budget was spent.
    #[error("the plugin used up its {0:?} of CPU time")]
    Cpu(Duration),
    /// The wall clock ran out.
    #[error("the plugin did not answer within {0:?}")]
    Timeout(Duration),
    /// All instances of the host are in use.
    #[error("all instances of the host are in use")]
    NoInstance,
    /// A body was not found to match its schema.
    #[error("{1}")]
    Body(Side, CheckFailure),
    /// The host failed.
    #[error("{0:#}")]
    Host(wasmtime::Error),
}

/// How a guest trapped.
#[derive(Debug)]
pub struct Trapped {
    /// What it did.
    pub reason: String,
    /// Where it was, a line for each function.
    pub backtrace: Vec<String>,
}

impl std::fmt::Display for Trapped {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.reason)
    }
}

/// An answer that takes more room than one may.
#[derive(Debug, thiserror::Error)]
#[error("it is larger than the limit `response_body` of {limit}")]
pub struct TooLargeToLift {
    /// What its body may have.
    pub limit: ByteSize,
}

/// What is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// What the caller sent.
    Input,
    /// What the plugin answered.
    Output,
}

/// The checks of bodies that belong to an invocation. Their time is its time.
#[derive(Default)]
pub struct Checks {
    /// The schema of the input, unless the host has found already that the input matches.
    pub input: Option<Arc<Schema>>,
    /// The schema of successful answers.
    pub output: Option<Arc<Schema>>,
    /// The tenant's sandboxes for checks, where a check is to be made.
    pub kept: Option<Arc<KeptValidators>>,
}

/// How an invocation is to run.
pub struct Start<'a, T, I> {
    /// The lanes of its tenant.
    pub lanes: &'a Arc<GuestLanes>,
    /// How long the guests of its route run.
    pub long_running: &'a Arc<LongRunning>,
    /// What it holds meanwhile.
    pub held: Held<T, I>,
    /// What is checked before and after.
    pub checks: Checks,
}

/// Instances of a tenant that wait for the next request of their plugins.
pub type KeptInstances = Kept<Ended>;

/// What an invocation holds.
pub struct Held<T, I> {
    /// Until it ends.
    pub turn: T,
    /// Until its instance is gone, a moment later, or kept.
    pub instance: I,
    /// The tenant's instances that wait for the next request, where this plugin allows that.
    pub kept: Option<Arc<KeptInstances>>,
}

/// A guest from its start to its end, with everything that is its own, so that it can move between threads. Dropped
/// before its end, its invocation goes to `abandoned`.
pub struct Guest<T, I, F: FnOnce(Box<Invocation>)> {
    component: Arc<Loaded>,
    sandbox: Option<Sandbox>,
    kept: Option<Arc<KeptInstances>>,
    placement: Arc<Placement>,
    meter: Arc<Meter>,
    /// Until the guest is called.
    input: Option<Input>,
    checks: Checks,
    validators: Arc<Validators>,
    /// The body that is being checked.
    checking: Option<Side>,
    /// When its time is over.
    deadline: Instant,
    limits: Arc<Limits>,
    abandoned: Option<F>,
    _turn: T,
    /// Given up after the sandbox.
    instance: Option<I>,
}

impl<T: Send + 'static, I: Send + 'static, F: FnOnce(Box<Invocation>) + Send + 'static> Guest<T, I, F> {
    /// A guest that has not begun.
    #[expect(
        clippy::too_many_arguments,
        reason = "each is one thing, and only the runtime calls it"
    )]
    pub fn new(
        component: Arc<Loaded>,
        services: Arc<Services>,
        placement: Placement,
        mut invocation: Box<Invocation>,
        input: Input,
        held: Held<T, I>,
        checks: Checks,
        validators: Arc<Validators>,
        abandoned: F,
    ) -> Self {
        let meter = Arc::new(Meter::new(invocation.cpu_time.clone()));
        let placement = Arc::new(placement);
        let limits = invocation.active.limits.clone();
        let deadline = invocation.deadline;
        let mut waiting = None;
        if let Some(kept) = &held.kept {
            invocation.usage.instances_kept = as_u64(kept.waiting());
            waiting = kept.take(&invocation.active);
        }
        let (of_meter, of_placement) = (meter.clone(), placement.clone());
        let sandbox = match waiting {
            Some(ended) => Sandbox::again(ended, services, invocation, of_meter, of_placement),
            None => Sandbox::fresh(&component, services, invocation, of_meter, of_placement),
        };
        Self {
            component,
            sandbox: Some(sandbox),
            kept: held.kept,
            placement,
            meter,
            input: Some(input),
            checks,
            validators,
            checking: None,
            deadline,
            limits,
            abandoned: Some(abandoned),
            _turn: held.turn,
            instance: Some(held.instance),
        }
    }

    /// Runs it: here as long as it is in front, then on the threads of `background`. Whatever happens, also where the future is
    /// dropped before it was polled, its store is dropped and its invocation comes back.
    pub fn run(self, background: &Handle) -> impl Future<Output = Finished> {
        let placement = self.placement.clone();
        // Here and not in the future that is given back, which holds no more than a pointer to it.
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
            // Each pinned here: a future that another one is given by value takes its room twice, and these are large.
            let call = pin!(self.call());
            let measured = pin!(meter.measure(clock, call));
            let in_slices = pin!(placement.run(measured));
            // The limit is around everything: epochs do not tick while the guest waits for the host.
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
            let checked = match schema.glance(body) {
                Glance::Valid => Ok(()),
                Glance::NotJson(problem) => Err(CheckFailure::NotJson(problem)),
                Glance::Unknown => {
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
            kept: self.checks.kept.as_deref(),
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

    /// What became of it; `None` where its time was over first.
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
        let (mut invocation, used_up) = match &self.kept {
            // Nothing else is ever used again: who trapped or ran out of time may have been anywhere in its code. A body
            // that does not match its schema says nothing of the instance.
            Some(kept) if sandbox.has_instance() && matches!(outcome, Ok(_) | Err(Failure::Body(..))) => {
                match sandbox.end_well() {
                    (invocation, Ok(ended)) => {
                        let oldest = kept.keep(invocation.active.clone(), ended, Instant::now());
                        (invocation, oldest.map(Ended::into_sandbox))
                    }
                    (invocation, Err(sandbox)) => (invocation, Some(sandbox)),
                }
            }
            _ => (sandbox.end(), Some(sandbox)),
        };
        self.settle(&mut invocation, peak_memory);
        if let Some(used_up) = used_up {
            // In this order: its place is free once it is gone.
            deferred_drop::drop_later((used_up, self.instance.take()));
        }
        Finished { outcome, invocation }
    }
}

impl<T, I, F: FnOnce(Box<Invocation>)> Guest<T, I, F> {
    /// Writes down what an invocation used.
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

/// Runs a guest on this thread for as long as its placement is in front, then on those of `background`.
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
    // Whoever drops this future ends the task.
    let task = AbortOnDropHandle::new(background.spawn(guest));
    match task.await.map_err(JoinError::try_into_panic) {
        Ok(finished) => finished,
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        // The threads in the background end with the process, which waits for nobody any more.
        Err(Err(_)) => std::future::pending().await,
    }
}

/// The bytes that the schema of the input is for.
fn input_to_check(input: &Input) -> &[u8] {
    match input {
        Input::Http(request) => match &request.body {
            None => &[],
            Some(Content::Text(text)) => text.as_bytes(),
            Some(Content::Bytes(bytes)) => bytes,
        },
        Input::Function { input, .. } => input.as_bytes(),
    }
}

/// The bytes that the schema of the output is for, if it is for them. What is too large is refused
/// without a look.
fn output_to_check<'a>(output: &'a Output, limits: &Limits) -> Option<&'a [u8]> {
    let body = match output {
        Output::Http(response) => body_to_check(response)?,
        Output::Function(output) => output.as_ref().ok()?.as_bytes(),
    };
    (body.len() <= limits.response_body.as_usize()).then_some(body)
}

/// The body of a response, if the schema of its route is for it.
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

/// Statuses of responses that have no body.
const BODILESS: [u16; 2] = [204, 205];

/// What a failed check is for the invocation.
fn failed(side: Side, failure: CheckFailure) -> Failure {
    match failure {
        CheckFailure::NoInstance => Failure::NoInstance,
        CheckFailure::Host(error) => Failure::Host(wasmtime::Error::msg(error)),
        failure => Failure::Body(side, failure),
    }
}

/// Whose fault an error of wasmtime is. What is not known to be the host's or a limit's is the guest's: a trap, a
/// value that does not lift, a handle too many.
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

/// The failure of a guest that went past a limit. Two of them are wasmtime's own, and it has no
/// types for their errors; what it calls them means nothing to the author of a plugin.
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
        // Host calls are made by a function of the guest, which stands in the backtrace. The
        // response is copied when all functions have returned.
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
    // The backtrace is one of the causes, and several lines long.
    let causes = error.chain().map(ToString::to_string);
    let causes: Vec<String> = causes.filter(|cause| !cause.contains('\n')).collect();
    Trapped {
        reason: causes.join(": "),
        backtrace: backtrace.lines().map(|line| line.trim_end().to_owned()).collect(),
    }
}
