//! Connects the job queue with the other parts of a host. Plugins add jobs and jobs run plugins, so
//! one part of the queue is made before the runtime and the other part after it.

use std::sync::Arc;

use tokio::runtime::Handle;

use super::OpenError;
use super::runtime::Runtime;
use super::storage::Storage;
use crate::capability::Services;
use crate::config::Config;
use crate::domain::clock::SharedClock;
use crate::jobs::{Background, Counters, HostJobHandler, HostJobs, JobRetention, Parts, Queue, Wake};
use crate::metrics::DeliveryCounters;
use crate::tenants::Routing;
use crate::webhooks_out::{self, DeliveryHandler};

/// What adds jobs.
pub struct QueueParts {
    /// The tenants that this node serves. There are none yet.
    pub routing: Arc<Routing>,
    /// Adds the jobs of host calls.
    pub queue: Arc<Queue>,
    /// Runs the jobs of the host itself. There are none yet.
    pub host_jobs: HostJobs,
    wake: Arc<Wake>,
    counters: Arc<Counters>,
}

impl QueueParts {
    /// Creates the queue. Jobs are committed on the current tokio runtime.
    pub fn new(storage: &Storage, clock: &SharedClock) -> Self {
        let (routing, wake, counters) = (Arc::default(), Arc::default(), Arc::default());
        let queue = Queue::new(
            storage.db.clone(),
            Arc::clone(&routing),
            Arc::clone(&wake),
            Arc::clone(&counters),
            clock.clone(),
        );
        Self {
            routing,
            queue: Arc::new(queue),
            host_jobs: HostJobs::default(),
            wake,
            counters,
        }
    }

    /// The handler of deliveries of webhooks.
    pub fn deliveries(
        &self,
        storage: &Storage,
        services: &Services,
        counters: &Arc<DeliveryCounters>,
        clock: &SharedClock,
    ) -> Arc<dyn HostJobHandler> {
        Arc::new(DeliveryHandler::new(webhooks_out::Parts {
            db: storage.db.clone(),
            vault: services.vault.clone(),
            http: services.http.clone(),
            queue: self.queue.clone(),
            counters: counters.clone(),
            clock: clock.clone(),
        }))
    }

    /// What runs jobs. Plugins run on `background`.
    pub fn background(
        self,
        config: &Config,
        storage: &Storage,
        services: &Services,
        runtime: &Runtime,
        clock: &SharedClock,
        background: Handle,
    ) -> Result<Background, OpenError> {
        Ok(Background::new(Parts {
            db: storage.db.clone(),
            databases: services.databases.clone(),
            routing: self.routing,
            invoker: runtime.invoker.clone(),
            queue: self.queue,
            wake: self.wake,
            counters: self.counters,
            clock: clock.clone(),
            background,
            node: storage.folder.node_name()?,
            slots: config.jobs.slots(config.runtime.instances),
            retention: JobRetention {
                done: config.retention.jobs.0,
                dead: config.retention.dead_jobs.0,
                webhooks: config.retention.webhooks.0,
            },
            host_jobs: self.host_jobs,
        }))
    }
}
