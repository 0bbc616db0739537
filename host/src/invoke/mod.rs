//! One invocation from its admission to its record, whatever triggers it: admit, load, run, record.
//!
//! A trigger brings a [`Target`] and a [`Call`], and turns what comes back into an answer of its
//! own kind. This module knows no HTTP framework; what belongs to HTTP is in `gateway/`.

mod admit;
mod failure_log;
mod health;
mod record;
mod run;

pub use admit::NotRun;
pub use run::{Call, Ran};

use std::sync::Arc;

use crate::domain::clock::SharedClock;
use crate::fair_semaphore::FairSemaphore;
use crate::ledger::Ledger;
use crate::metrics::Requests;
use crate::sandbox::Runtime;
use crate::tenants::{MethodRoute, PluginRoutes, TenantRoutes};

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
    /// The route.
    pub route: Arc<MethodRoute>,
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
