//! One invocation from its admission to its record, whatever triggers it: admit, load, run, record.
//!
//! A trigger brings a [`Target`] and a [`Call`], and turns what comes back into an answer of its
//! own kind. This module knows no HTTP framework; what belongs to HTTP is in `gateway/`.

mod admit;
mod failure_log;
mod health;
mod record;
mod run;

pub use admit::{NotRun, Rejected};
pub use record::Unrecorded;
pub use run::{Call, Ran};

use std::fmt;
use std::sync::Arc;

use crate::capability::ActiveVersion;
use crate::domain::clock::SharedClock;
use crate::fair_semaphore::FairSemaphore;
use crate::ledger::Ledger;
use crate::metrics::Requests;
use crate::sandbox::Runtime;
use crate::tenants::{EntryPoint, FunctionEntry, MethodRoute, PluginRoutes, TenantRoutes};

/// Runs invocations.
pub struct Invoker {
    runtime: Arc<Runtime>,
    ledger: Arc<Ledger>,
    clock: SharedClock,
    /// One permit for each instance of the pool, so that no invocation finds the pool empty.
    instances: Arc<FairSemaphore>,
    requests: Arc<Requests>,
}

/// What is to run.
pub struct Target {
    /// The tenant.
    pub tenant: Arc<TenantRoutes>,
    /// The plugin.
    pub plugin: Arc<PluginRoutes>,
    /// The version that runs, with the limits that hold for the callee.
    pub active: Arc<ActiveVersion>,
    /// What of the plugin is called.
    pub callee: Callee,
}

/// What of a plugin is called. There is a variant for each trigger.
#[derive(Clone)]
pub enum Callee {
    /// A route.
    Route(Arc<MethodRoute>),
    /// A function.
    Function(Arc<FunctionEntry>),
}

impl Callee {
    /// What all kinds have in common.
    pub fn entry(&self) -> &EntryPoint {
        match self {
            Self::Route(route) => &route.entry,
            Self::Function(function) => &function.entry,
        }
    }

    /// The word for its kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Route(_) => "route",
            Self::Function(_) => "function",
        }
    }
}

/// As messages name it: `GET /orders/{id}`, `function price.adjust`.
impl fmt::Display for Callee {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Route(route) => write!(formatter, "{} {}", route.method, route.pattern),
            Self::Function(function) => write!(formatter, "function {}", function.name),
        }
    }
}

impl Invoker {
    /// Runs invocations in `runtime`, which has room for `instances` at once.
    pub fn new(runtime: Arc<Runtime>, ledger: Arc<Ledger>, clock: SharedClock, instances: u32) -> Self {
        let instances = FairSemaphore::new(usize::try_from(instances).unwrap_or(usize::MAX));
        Self {
            runtime,
            ledger,
            clock,
            instances,
            requests: Arc::default(),
        }
    }

    /// Counts the requests of the public listener and their invocations.
    pub fn requests(&self) -> &Arc<Requests> {
        &self.requests
    }
}
