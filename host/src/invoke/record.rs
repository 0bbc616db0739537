//! Writes the record of an invocation: its outcome, whose fault a failure was, and its usage.

use std::sync::Arc;

use http::StatusCode;

use super::{Callee, Invoker, failure_code, failure_log, health};
use crate::capability::Invocation;
use crate::capability::log::{append, append_of_host, stored_text};
use crate::domain::function::FunctionOutcome;
use crate::domain::invocation::{InvocationRecord, Triggered};
use crate::domain::job::JobOutcome;
use crate::domain::limits::Limits;
use crate::domain::log_line::Level;
use crate::domain::principal::Principal;
use crate::domain::problem::Code;
use crate::domain::problem_code::ProblemCode;
use crate::metrics::Outcome;
use crate::sandbox::Failure;
use crate::storage::Entry;
use crate::tenants::HealthPermit;

/// The status in the record of an abandoned invocation, as proxies log it. No caller receives it.
const ABANDONED_STATUS: u16 = 499;

/// An invocation whose guest has ended and whose record is not written yet.
/// [`Unrecorded::answered`], [`Unrecorded::function_ended`], [`Unrecorded::job_ended`],
/// [`Unrecorded::failed`] or [`Unrecorded::refused`] writes the record. If it is dropped before
/// that, the invocation is recorded as abandoned.
pub struct Unrecorded<'a> {
    recorder: Arc<Recorder>,
    /// The permit of a circuit breaker is there for requests only.
    rest: Option<(Box<Invocation>, Option<HealthPermit<'a>>)>,
}

/// Writes the record of an invocation. It owns its data, because a guest can briefly outlive its
/// request.
pub(super) struct Recorder {
    pub invoker: Arc<Invoker>,
    pub callee: Callee,
    pub triggered: Triggered,
}

/// The outcome of an invocation, for its record.
enum Ending {
    /// The plugin returned a response.
    Answered(StatusCode),
    /// A function of the plugin returned its output or an error.
    Function(FunctionOutcome, StatusCode),
    /// The plugin said how an attempt to run a job ended.
    Job(JobOutcome),
    /// The caller receives a problem instead of a response, or the job failed without the plugin's
    /// word.
    Failed(Code),
    /// The caller went away.
    Abandoned,
}

impl<'a> Unrecorded<'a> {
    pub(super) fn new(
        recorder: Arc<Recorder>,
        invocation: Box<Invocation>,
        permit: Option<HealthPermit<'a>>,
    ) -> Self {
        Self {
            recorder,
            rest: Some((invocation, permit)),
        }
    }

    /// Whether the invocation marked its job as done in a transaction that it committed.
    pub fn has_completed_job(&self) -> bool {
        self.invocation().job.as_ref().is_some_and(|job| job.completed)
    }

    /// Why the plugin returned no output, as one text for the author of a job: the reason first.
    pub fn failure_text(&self, failure: &Failure, most: usize) -> String {
        let invocation = self.invocation();
        stored_text(invocation, &failure_log::text(failure, invocation), most)
    }

    /// A text that the plugin returned, prepared for storage: at most `most` bytes.
    pub fn stored_text(&self, text: &str, most: usize) -> String {
        stored_text(self.invocation(), text, most)
    }

    pub fn limits(&self) -> &Limits {
        self.invocation().limits()
    }

    /// Logs a sentence for the plugin's author about a failure that may pass.
    pub fn log_warning(&mut self, message: &str) {
        append_of_host(self.invocation_mut(), Level::Warn, message);
    }

    /// Logs a sentence for the plugin's author.
    pub fn log_error(&mut self, message: &str) {
        append_of_host(self.invocation_mut(), Level::Error, message);
    }

    /// Logs why there is no response.
    pub fn log_failure(&mut self, failure: &Failure) {
        let invocation = self.invocation_mut();
        let mut lines = failure_log::lines(failure, invocation);
        let last = lines.pop();
        for line in lines {
            append(invocation, Level::Error, &line, &[]);
        }
        if let Some(last) = last {
            append_of_host(invocation, Level::Error, &last);
        }
    }

    /// Records a response of the plugin with a body of `bytes` bytes.
    pub fn answered(mut self, status: StatusCode, bytes: u64) {
        self.invocation_mut().usage.response_bytes = bytes;
        self.end(Ending::Answered(status));
    }

    /// Records the outcome of a function: the status of the response, and an output of `bytes`
    /// bytes.
    pub fn function_ended(mut self, outcome: FunctionOutcome, status: StatusCode, bytes: u64) {
        self.invocation_mut().usage.response_bytes = bytes;
        self.end(Ending::Function(outcome, status));
    }

    /// Records how an attempt to run a job ended by what the plugin said.
    pub fn job_ended(mut self, outcome: JobOutcome) {
        self.end(Ending::Job(outcome));
    }

    /// Logs and records why an attempt to run a job failed without the plugin's word.
    pub fn job_failed(mut self, failure: &Failure) {
        self.log_failure(failure);
        self.end(Ending::Failed(failure_code::of(failure)));
    }

    /// Records a problem with this code.
    pub fn failed(mut self, code: Code) {
        self.end(Ending::Failed(code));
    }

    /// Records a problem with the caller's own request, which was found before the plugin ran. It
    /// is not reported to the circuit breaker, because it says nothing about the plugin.
    pub fn refused(mut self, code: Code) {
        if let Some((invocation, _)) = self.rest.take() {
            self.recorder.record(invocation, Ending::Failed(code));
        }
    }

    fn end(&mut self, ending: Ending) {
        let Some((mut invocation, permit)) = self.rest.take() else {
            return;
        };
        if let Some(permit) = permit {
            health::report(
                permit,
                ending.code(),
                &self.recorder.callee,
                &mut invocation,
                &*self.recorder.invoker.clock,
            );
        }
        self.recorder.record(invocation, ending);
    }

    fn invocation(&self) -> &Invocation {
        let (invocation, _) = self.rest.as_ref().expect(ENDED);
        invocation
    }

    fn invocation_mut(&mut self) -> &mut Invocation {
        let (invocation, _) = self.rest.as_mut().expect(ENDED);
        invocation
    }
}

/// The reason why `rest` is present.
const ENDED: &str = "only the methods that consume it, and its destructor, take it out";

impl Drop for Unrecorded<'_> {
    fn drop(&mut self) {
        // The circuit breaker is not told, because a dropped request says nothing about the plugin.
        if let Some((invocation, _)) = self.rest.take() {
            self.recorder.given_up(invocation);
        }
    }
}

impl Recorder {
    /// Records an invocation that was dropped before its end.
    pub fn given_up(&self, invocation: Box<Invocation>) {
        // A panic of the host drops an invocation just like a cancelled request.
        let ending = match std::thread::panicking() {
            true => Ending::Failed(Code::Internal),
            false => Ending::Abandoned,
        };
        self.record(invocation, ending);
    }

    fn record(&self, invocation: Box<Invocation>, ending: Ending) {
        let counts = &self.invoker.requests;
        counts.invocation(invocation.trigger, ending.kind(), invocation.usage.cpu_us);
        let code = ending.problem_code();
        let active = invocation.active;
        let entry = Entry {
            record: InvocationRecord {
                id: invocation.id,
                tenant: active.tenant,
                plugin: active.plugin.clone(),
                version: active.digest,
                triggered: self.triggered(&ending),
                status: ending.status(),
                blame: code.as_ref().and_then(ProblemCode::blame),
                code,
                principal: invocation.principal.as_ref().map(Principal::id),
                started_at: invocation.started_at,
                usage: invocation.usage,
            },
            log_lines: invocation.log_lines,
        };
        self.invoker.ledger.record(entry, &active.limits);
    }

    /// What belongs to the trigger, with the outcome of a function or a job.
    fn triggered(&self, ending: &Ending) -> Triggered {
        match (&self.triggered, ending) {
            (Triggered::Function { name, .. }, Ending::Function(outcome, _)) => Triggered::Function {
                name: name.clone(),
                outcome: Some(*outcome),
            },
            (
                Triggered::Job {
                    id, name, attempt, ..
                },
                Ending::Job(outcome),
            ) => Triggered::Job {
                id: *id,
                name: name.clone(),
                attempt: *attempt,
                outcome: Some(*outcome),
            },
            (triggered, _) => triggered.clone(),
        }
    }
}

impl Ending {
    /// The outcome, as metrics count it.
    fn kind(&self) -> Outcome {
        match self {
            Self::Answered(_) | Self::Function(..) | Self::Job(_) => Outcome::Answered,
            Self::Failed(_) => Outcome::Failed,
            Self::Abandoned => Outcome::Abandoned,
        }
    }

    fn status(&self) -> u16 {
        match self {
            Self::Answered(status) | Self::Function(_, status) => status.as_u16(),
            Self::Job(JobOutcome::Done) => StatusCode::OK.as_u16(),
            Self::Job(JobOutcome::Retry | JobOutcome::Discard) => StatusCode::INTERNAL_SERVER_ERROR.as_u16(),
            Self::Failed(code) => code.status().as_u16(),
            Self::Abandoned => ABANDONED_STATUS,
        }
    }

    /// The code in the record.
    fn problem_code(&self) -> Option<ProblemCode> {
        match self {
            Self::Answered(_) | Self::Function(..) | Self::Job(_) => None,
            Self::Failed(code) => Some((*code).into()),
            Self::Abandoned => Some(ProblemCode::Abandoned),
        }
    }

    /// The code of the problem that the caller gets.
    fn code(&self) -> Option<Code> {
        match self {
            Self::Failed(code) => Some(*code),
            Self::Answered(_) | Self::Function(..) | Self::Job(_) | Self::Abandoned => None,
        }
    }
}
