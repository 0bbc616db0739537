//! Jobs, schedules and events: everything that runs plugins without a caller who waits.
//!
//! [`Queue`] adds jobs for host calls. [`Relay`] adds those of tenants' outboxes, and [`Scheduler`]
//! those of schedules. The dispatcher claims jobs that are ready and runs them, and [`Maintenance`]
//! keeps the queue in order. [`Background`] holds all of them together.

mod acknowledge;
mod counters;
mod dispatcher;
mod ending;
mod events;
mod group_commit;
mod host_jobs;
mod live_counts;
mod logged_errors;
mod lost;
mod maintenance;
mod outbox_entry;
mod outbox_room;
mod policy;
mod queue;
mod recover;
mod relay;
mod run;
mod runner;
mod schedule_states;
mod scheduler;
mod slots;
mod supervise;
mod tenant_queue;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod wake;
mod webhooks;
mod worker;

pub use counters::{Counters, JobMetrics};
pub use ending::retry;
pub use host_jobs::{HostJobHandler, HostJobs};
pub use maintenance::{JobRetention, Maintenance};
pub use queue::Queue;
pub use relay::Relay;
pub use runner::Runner;
pub use scheduler::{RunNowError, Scheduler, UpcomingSchedule};
pub use slots::Slots;
pub use wake::Wake;
pub use webhooks::ReplayError;
pub use worker::Worker;

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::capability::database::DatabaseEngine;
use crate::domain::clock::SharedClock;
use crate::invoke::Invoker;
use crate::storage::{ClaimPolicy, Repository};
use crate::tenants::Routing;
use acknowledge::Acknowledger;
use dispatcher::Dispatcher;
use logged_errors::LoggedErrors;
use policy::RoutingPolicy;
use run::PluginRunner;
use supervise::supervise;

/// The parts of a host that jobs need.
pub struct Parts {
    /// The control plane's database, with the queue.
    pub db: Arc<dyn Repository>,
    /// The databases of tenants, with their outboxes.
    pub databases: Arc<dyn DatabaseEngine>,
    /// The tenants that this node serves.
    pub routing: Arc<Routing>,
    /// Runs invocations.
    pub invoker: Arc<Invoker>,
    /// Adds jobs for host calls.
    pub queue: Arc<Queue>,
    /// Wakes the tasks.
    pub wake: Arc<Wake>,
    /// Counts jobs.
    pub counters: Arc<Counters>,
    /// The clock.
    pub clock: SharedClock,
    /// The threads that run jobs.
    pub background: Handle,
    /// The name of this node. No other node has it, and it stays the same after a restart.
    pub node: String,
    /// The most jobs that this node runs at once.
    pub slots: u32,
    /// How long ended jobs are kept.
    pub retention: JobRetention,
    /// Runs the jobs of the host itself.
    pub host_jobs: HostJobs,
}

/// The work of a host that no caller waits for.
pub struct Background {
    dispatcher: Arc<Dispatcher>,
    queue: Arc<Queue>,
    relay: Arc<Relay>,
    scheduler: Arc<Scheduler>,
    maintenance: Arc<Maintenance>,
    wake: Arc<Wake>,
    counters: Arc<Counters>,
    metrics: JobMetrics,
    /// Cancelled to end all tasks.
    stop: CancellationToken,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

/// How long closing waits for a task.
const ENDING: Duration = Duration::from_secs(5);

impl Background {
    /// Prepares the work. [`Self::start`] starts it. Ends of attempts are written on the current
    /// tokio runtime.
    pub fn new(parts: Parts) -> Self {
        let Parts {
            db,
            databases,
            routing,
            invoker,
            queue,
            wake,
            counters,
            clock,
            background,
            node,
            slots,
            retention,
            host_jobs,
        } = parts;
        let policy = RoutingPolicy::new(routing.clone(), host_jobs.clone(), slots);
        let policy: Arc<dyn ClaimPolicy> = Arc::new(policy);
        let slots = Slots::new(slots);
        // The task ends after the last clone of the acknowledger, which the dispatcher holds.
        let (acknowledger, _) = Acknowledger::start(db.clone(), counters.clone());
        let runner = PluginRunner {
            db: db.clone(),
            databases: databases.clone(),
            routing: routing.clone(),
            invoker,
            clock: clock.clone(),
            host_jobs: host_jobs.clone(),
        };
        let dispatcher = Dispatcher {
            db: db.clone(),
            runner: Arc::new(runner),
            policy: policy.clone(),
            clock: clock.clone(),
            wake: wake.clone(),
            slots: slots.clone(),
            acknowledger,
            node,
            background,
            draining: CancellationToken::new(),
            claims: tokio::sync::Mutex::default(),
            claimed: AtomicU64::new(0),
            running: Mutex::default(),
            logged_errors: LoggedErrors::default(),
        };
        let relay = Relay::new(
            db.clone(),
            databases.clone(),
            routing.clone(),
            queue.clone(),
            wake.clone(),
            clock.clone(),
        );
        let scheduler = Scheduler::new(db.clone(), routing.clone(), queue.clone(), clock.clone());
        let maintenance = Maintenance {
            db: db.clone(),
            databases,
            routing,
            queue: queue.clone(),
            policy,
            wake: wake.clone(),
            counters: counters.clone(),
            clock: clock.clone(),
            retention,
            host_jobs,
            unanswered: Mutex::default(),
            logged_errors: LoggedErrors::default(),
        };
        Self {
            dispatcher: Arc::new(dispatcher),
            queue,
            relay: Arc::new(relay),
            scheduler: Arc::new(scheduler),
            maintenance: Arc::new(maintenance),
            wake,
            counters: counters.clone(),
            metrics: JobMetrics::new(db, clock, counters, slots),
            stop: CancellationToken::new(),
            tasks: Mutex::default(),
        }
    }

    /// Ends the attempts that an earlier process of this node left behind, or leaves them to the
    /// maintenance if the jobs may have been completed. Call it before jobs run.
    pub async fn recover(&self) {
        let Dispatcher { db, node, clock, .. } = &*self.dispatcher;
        recover::recover(&**db, node, &**clock, &self.counters).await;
    }

    /// Starts all tasks on the current tokio runtime. They end with [`Self::close`].
    pub fn start(&self) {
        let dispatcher = self.dispatcher.clone();
        self.supervise("claims of jobs", move |_| dispatcher.clone().run());
        let dispatcher = self.dispatcher.clone();
        self.supervise("cancellations of jobs", move |stop| {
            dispatcher.clone().watch_cancellations(stop)
        });
        let relay = self.relay.clone();
        self.supervise("relay of outboxes", move |stop| relay.clone().run(stop));
        let scheduler = self.scheduler.clone();
        self.supervise("schedules", move |stop| scheduler.clone().run(stop));
        let maintenance = self.maintenance.clone();
        self.supervise("maintenance of jobs", move |stop| maintenance.clone().run(stop));
    }

    fn supervise<F>(&self, name: &'static str, mut task: impl FnMut(CancellationToken) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (stop, of_task) = (self.stop.clone(), self.stop.clone());
        let task = supervise(name, stop, move || task(of_task.clone()));
        // Nothing panics while the lock is held.
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.push(task);
    }

    /// Does everything once that the tasks do at intervals, and starts the jobs that can run. For
    /// tests, whose clock stands still.
    pub async fn pass(&self) {
        self.relay.pass().await;
        self.scheduler.pass().await;
        self.maintenance.pass().await;
        self.dispatcher.cancel_requested().await;
        self.dispatcher.claim_or_later().await;
    }

    /// Makes passes until no job runs and none is left that can run now. For tests, whose clock
    /// stands still.
    pub async fn settle(&self) {
        loop {
            let before = self.dispatcher.progress();
            self.pass().await;
            self.dispatcher.until_idle().await;
            if before.is_idle && self.dispatcher.progress() == before {
                return;
            }
        }
    }

    /// The wake-ups of the tasks.
    pub fn wake(&self) -> &Arc<Wake> {
        &self.wake
    }

    /// The queue.
    pub fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }

    /// The schedules.
    pub fn scheduler(&self) -> &Arc<Scheduler> {
        &self.scheduler
    }

    /// The metrics.
    pub fn metrics(&self) -> &JobMetrics {
        &self.metrics
    }

    /// Claims no more jobs.
    pub fn start_draining(&self) {
        self.dispatcher.start_draining();
    }

    /// Waits for the running jobs, and stops those that run longer than `longest`.
    pub async fn drain(&self, longest: Duration) {
        self.dispatcher.drain(longest).await;
    }

    /// Ends all tasks, and stops jobs that still run. Call it before the databases are closed.
    pub async fn close(&self) {
        self.dispatcher.drain(Duration::ZERO).await;
        self.stop.cancel();
        let tasks = {
            let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *tasks)
        };
        for task in tasks {
            if tokio::time::timeout(ENDING, task).await.is_err() {
                tracing::warn!("a background task of jobs is still busy when the host closes");
            }
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.dispatcher.start_draining();
        self.stop.cancel();
    }
}
