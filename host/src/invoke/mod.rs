//! The lifecycle of an invocation, whatever triggers it: admit, load, run, record.
//!
//! A trigger provides a [`Target`] and a [`Call`], and converts the result into its own kind of
//! response. This module knows no HTTP framework; HTTP belongs to `gateway/`.

mod admit;
mod failure_code;
mod failure_log;
mod health;
mod record;
mod run;

pub use admit::{Admission, NotRun, Rejected};
pub use failure_log::HOST_FAILED;
pub use record::Unrecorded;
pub use run::{Call, Prepared, Ran};

use std::fmt;
use std::sync::Arc;

use crate::capability::ActiveVersion;
use crate::domain::clock::SharedClock;
use crate::fair_semaphore::FairSemaphore;
use crate::ledger::Ledger;
use crate::metrics::Requests;
use crate::sandbox::{LongRunning, Runtime};
use crate::tenants::{EntryPoint, FunctionEntry, JobEntry, MethodRoute, PluginRoutes, TenantRoutes};

pub struct Invoker {
    runtime: Arc<Runtime>,
    ledger: Arc<Ledger>,
    clock: SharedClock,
    /// One permit for each instance of the pool, so that no invocation finds the pool empty.
    instances: Arc<FairSemaphore>,
    requests: Arc<Requests>,
    /// Where jobs run: in the background, however short they are.
    background: Arc<LongRunning>,
}

/// The tenant, plugin, version and entry point of an invocation.
pub struct Target {
    pub tenant: Arc<TenantRoutes>,
    pub plugin: Arc<PluginRoutes>,
    /// The version that runs, with the limits of the callee.
    pub active: Arc<ActiveVersion>,
    /// The route, function or kind of job to call.
    pub callee: Callee,
}

/// The entry point of a plugin: one variant for each trigger.
#[derive(Clone)]
pub enum Callee {
    Route(Arc<MethodRoute>),
    Function(Arc<FunctionEntry>),
    Job(Arc<JobEntry>),
}

impl Callee {
    /// The data that all kinds have in common.
    pub fn entry(&self) -> &EntryPoint {
        match self {
            Self::Route(route) => &route.entry,
            Self::Function(function) => &function.entry,
            Self::Job(job) => &job.entry,
        }
    }

    /// The word for this kind in messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Route(_) => "route",
            Self::Function(_) => "function",
            Self::Job(_) => "job",
        }
    }
}

/// The name in messages: `GET /orders/{id}`, `function price.adjust`, `job sync-erp`.
impl fmt::Display for Callee {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Route(route) => write!(formatter, "{} {}", route.method, route.pattern),
            Self::Function(function) => write!(formatter, "function {}", function.name),
            Self::Job(job) => write!(formatter, "job {}", job.spec.name),
        }
    }
}

impl Invoker {
    /// An invoker that runs at most `instances` invocations of `runtime` at once.
    pub fn new(runtime: Arc<Runtime>, ledger: Arc<Ledger>, clock: SharedClock, instances: u32) -> Self {
        let instances = FairSemaphore::new(usize::try_from(instances).unwrap_or(usize::MAX));
        Self {
            runtime,
            ledger,
            clock,
            instances,
            requests: Arc::default(),
            background: Arc::new(LongRunning::always()),
        }
    }

    /// The counters of the public listener's requests and of all invocations.
    pub fn requests(&self) -> &Arc<Requests> {
        &self.requests
    }
}
