//! The third step of opening a host: the sandbox, the served tenants and the ledger.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::runtime::Handle;

use super::OpenError;
use super::storage::Storage;
use crate::capability::Services;
use crate::components::store::FolderStore;
use crate::config::Config;
use crate::domain::clock::SharedClock;
use crate::invoke::Invoker;
use crate::ledger::Ledger;
use crate::lifecycle::Lifecycle;
use crate::metrics::Gauge;
use crate::sandbox::{self, RuntimeSettings};
use crate::tenants::budget::SharedBudget;
use crate::tenants::{Breaker, Builder, Routing};

/// The parts that run the plugins of the stored tenants.
pub struct Runtime {
    /// Loads and runs components.
    pub sandbox: Arc<sandbox::Runtime>,
    /// The tenants that this node serves.
    pub routing: Arc<Routing>,
    /// Uploads, activates and deletes.
    pub lifecycle: Arc<Lifecycle>,
    /// Writes invocation records and log lines.
    pub ledger: Arc<Ledger>,
    /// Runs invocations, from admission to the record.
    pub invoker: Arc<Invoker>,
    /// Memory for the request bodies of all tenants.
    pub bodies: Arc<SharedBudget>,
    /// How many routes have an open circuit breaker.
    pub unhealthy_routes: Gauge,
}

/// The executable and the threads that plugins need.
pub struct Threads {
    /// The executable of the compile worker: `mortise` itself.
    pub worker: PathBuf,
    /// The runtime of long-running plugins and of their SQL.
    pub background: Handle,
}

impl Runtime {
    /// Starts the sandbox and reads the stored tenants.
    pub async fn start(
        config: &Config,
        storage: &Storage,
        services: &Services,
        routing: &Arc<Routing>,
        clock: &SharedClock,
        threads: Threads,
    ) -> Result<Self, OpenError> {
        for rule in config.shield.unknown_imports() {
            tracing::warn!(%rule, "no interface of this host matches this rule of `shield.imports`, so it refuses nothing");
        }
        let settings = settings(config, storage, threads);
        let store = FolderStore::open(storage.folder.path(), clock.clone()).map_err(OpenError::Components)?;
        let sandbox = sandbox::Runtime::start(settings, &storage.key, Arc::new(store), services.clone())?;
        let sandbox = Arc::new(sandbox);
        let breaker = Breaker::new(config.breaker.settings());
        let unhealthy_routes = breaker.unhealthy().clone();
        let bodies = SharedBudget::new(config.server.body_memory.0);
        let builder = Builder::new(
            sandbox.clone(),
            config.limits.clone(),
            config.ceiling(),
            breaker,
            bodies.clone(),
        );
        let lifecycle = Arc::new(Lifecycle::new(
            storage.db.clone(),
            sandbox.clone(),
            services.clone(),
            routing.clone(),
            builder,
            clock.clone(),
            config.retention.deleted.0,
        ));
        lifecycle.refresh_all().await?;
        lifecycle.start_maintenance();
        let ledger = Ledger::start(storage.db.clone(), clock.clone());
        let invoker = Invoker::new(
            sandbox.clone(),
            ledger.clone(),
            clock.clone(),
            config.runtime.instances,
        );
        Ok(Self {
            sandbox,
            routing: routing.clone(),
            lifecycle,
            ledger,
            invoker: Arc::new(invoker),
            bodies,
            unhealthy_routes,
        })
    }
}

fn settings(config: &Config, storage: &Storage, threads: Threads) -> RuntimeSettings {
    RuntimeSettings {
        folder: storage.folder.path().to_owned(),
        worker: threads.worker,
        instances: config.runtime.instances,
        instances_kept: config.runtime.instances_kept,
        memories_warm: config.runtime.memories_warm,
        threads: config.runtime.threads(),
        background: threads.background,
        ceiling: config.ceiling(),
        compile: config.compile.clone(),
        shield: config.shield.clone(),
        loaded_bytes: config.runtime.loaded,
    }
}
