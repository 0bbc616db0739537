//! Runs jobs of the queue with any runner: claims, slots and acknowledgements without plugins.
//! `cargo xtask bench --part jobs` compares the plugins with it.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::acknowledge::Acknowledger;
use super::counters::Counters;
use super::dispatcher::Dispatcher;
use super::logged_errors::LoggedErrors;
use super::runner::Runner;
use super::slots::Slots;
use crate::domain::clock::SystemClock;
use crate::metrics::JobTotals;
use crate::storage::{ClaimPolicy, Repository};

/// Claims jobs and runs them until it is dropped.
pub struct Worker {
    dispatcher: Arc<Dispatcher>,
    counters: Arc<Counters>,
}

impl Worker {
    /// Starts to claim and run up to `slots` jobs at once, on the current tokio runtime.
    pub fn start(
        db: Arc<dyn Repository>,
        runner: Arc<dyn Runner>,
        policy: Arc<dyn ClaimPolicy>,
        slots: u32,
    ) -> Self {
        let counters: Arc<Counters> = Arc::default();
        // The task ends after the last clone of the acknowledger, which the dispatcher holds.
        let (acknowledger, _) = Acknowledger::start(db.clone(), counters.clone());
        let dispatcher = Arc::new(Dispatcher {
            db,
            runner,
            policy,
            clock: Arc::new(SystemClock),
            wake: Arc::default(),
            slots: Slots::new(slots),
            acknowledger,
            node: "worker".to_owned(),
            background: Handle::current(),
            draining: CancellationToken::new(),
            claims: tokio::sync::Mutex::default(),
            claimed: AtomicU64::new(0),
            running: Mutex::default(),
            logged_errors: LoggedErrors::default(),
        });
        tokio::spawn(dispatcher.clone().run());
        Self { dispatcher, counters }
    }

    /// What has become of the jobs so far.
    pub fn totals(&self) -> JobTotals {
        self.counters.totals()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.dispatcher.start_draining();
    }
}
