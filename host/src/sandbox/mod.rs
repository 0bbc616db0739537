//! The WebAssembly runtime: loads components and runs them under limits. Outside of this module,
//! only `components` and the capabilities use wasmtime.

pub mod deferred_drop;
mod embedded;
pub(crate) mod engine;
mod execution;
pub(crate) mod handlers;
mod instance;
mod limiter;
mod loaded;
mod long_running;
mod meter;
mod placement;
mod renderer;
pub(crate) mod store;
mod ticker;
mod validator;
mod warm;
mod wasi;

pub use execution::{
    Checks, Failure, Finished, GuestPermits, Side, Start, TooLargeToLift, Trapped, WarmInstances,
};
pub use handlers::{FunctionError, Input, JobFailure, Output};
pub use loaded::{ComponentCache, Loaded};
pub use long_running::LongRunning;
pub use placement::GuestLanes;
pub use renderer::{Renderers, TemplateError};
pub use validator::{CheckFailure, Mismatch, SchemaError, Validators, WarmValidators};

use std::future::Future;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Weak};

use tokio::runtime::Handle;
use tokio::time::{Instant, MissedTickBehavior};
use wasmtime::Engine;
use wasmtime::component::Linker;

use crate::capability::{Invocation, Services};
use crate::domain::id::VersionDigest;
use crate::domain::limits::Limits;
use crate::domain::units::ByteSize;
use crate::metrics::Gauge;
use crate::storage::vault::HostKey;

use crate::components::compile::{CompileLimits, Compiler, worker};
use crate::components::shield::Shield;
use crate::components::store::ComponentStore;
use crate::components::{Artifacts, CodeFiles, LoadError};
use execution::Guest;
use instance::ReusableSandbox;
use placement::{Placement, RunQueues};
use store::StoreData;
use ticker::Ticker;
use warm::WarmPools;

/// Compiles, loads and runs components.
pub struct Runtime {
    components: Arc<ComponentCache>,
    services: Arc<Services>,
    queues: Arc<RunQueues>,
    background: Handle,
    guests: Gauge,
    warm_pools: Arc<WarmPools<ReusableSandbox>>,
    validators: Arc<Validators>,
    renderers: Arc<Renderers>,
    instances: u32,
    _ticker: Ticker,
}

/// The resources that the runtime uses at this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuntimeHeld {
    /// Guests that are running.
    pub guests: u64,
    /// Instances of the pool that are in use, without the warm ones.
    pub instances: u64,
    /// Warm instances, which wait for the next request.
    pub instances_kept: u64,
    /// The most instances that may run at once.
    pub instances_total: u64,
    /// Compile workers that are running.
    pub compile_workers: u64,
    /// Loaded components.
    pub components: u64,
    /// Bytes of memory that the loaded components take.
    pub component_bytes: u64,
}

/// The settings of the runtime.
#[derive(Clone, Debug)]
pub struct RuntimeSettings {
    /// The data folder, which holds the compiled code.
    pub folder: PathBuf,
    /// The executable to start as compile worker: `mortise` itself.
    pub worker: PathBuf,
    /// The most instances of all tenants that may run at once.
    pub instances: u32,
    /// The most warm instances of all tenants, in addition to the running ones.
    pub instances_kept: u32,
    /// Unused memories that keep the content mappings of the component that used them last.
    pub memories_warm: u32,
    /// The number of foreground threads, and also the number of background threads.
    pub threads: usize,
    /// The background threads.
    pub background: Handle,
    /// The limits that no tenant can exceed.
    pub ceiling: Limits,
    /// The limits of one compilation.
    pub compile: CompileLimits,
    /// The operator's rules for refusing components.
    pub shield: Shield,
    /// The memory that loaded components may take.
    pub loaded_bytes: ByteSize,
}

/// Why the runtime could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The engine rejects its settings.
    #[error("the WebAssembly engine does not start: {0:#}")]
    Engine(wasmtime::Error),
    /// The system could not start the ticker's thread.
    #[error("cannot start the thread that interrupts guests: {0}")]
    Ticker(std::io::Error),
    /// The folder cannot be used.
    #[error("cannot use the folder {path}: {error}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The error of the operating system.
        error: std::io::Error,
    },
}

/// Authenticates the compiled code of a stopped host with a new key, so that nothing has to be
/// compiled again. Returns the number of files.
pub fn reseal_stored_code(
    folder: &std::path::Path,
    ceiling: &Limits,
    old: &HostKey,
    new: &HostKey,
) -> Result<u64, StartError> {
    let failed = |error| StartError::Folder {
        path: folder.to_owned(),
        error,
    };
    let engine = engine::serving(1, 0, ceiling).map_err(StartError::Engine)?;
    let files = CodeFiles::open(folder).map_err(failed)?;
    crate::components::reseal(&files, &engine, old, new).map_err(failed)
}

impl Runtime {
    /// Starts the engine and its ticker. `store` holds the components that it runs.
    pub fn start(
        settings: RuntimeSettings,
        key: &HostKey,
        store: Arc<dyn ComponentStore>,
        services: Services,
    ) -> Result<Self, StartError> {
        let pool = settings.instances.saturating_add(settings.instances_kept);
        let engine =
            engine::serving(pool, settings.memories_warm, &settings.ceiling).map_err(StartError::Engine)?;
        let linker = linker(&engine).map_err(StartError::Engine)?;
        let files = CodeFiles::open(&settings.folder).map_err(|error| StartError::Folder {
            path: settings.folder.clone(),
            error,
        })?;
        let compiler = Compiler::new(settings.worker, settings.compile);
        let artifacts = Artifacts::new(&engine, key, store, files, compiler, settings.shield);
        let components = Arc::new(ComponentCache::new(
            engine,
            linker,
            artifacts,
            settings.loaded_bytes,
        ));
        let warm_pools = Arc::new(WarmPools::new(settings.instances_kept));
        settings
            .background
            .spawn(give_up_idle(Arc::downgrade(&warm_pools)));
        let queues = Arc::new(RunQueues::new(settings.threads));
        let extra = u32::try_from(validator::UPLOADS + renderer::SANDBOXES).unwrap_or(u32::MAX);
        let embedded = engine::embedded(pool.saturating_add(extra), &settings.ceiling);
        let embedded = embedded.map_err(StartError::Engine)?;
        let validators = Arc::new(Validators::new(
            settings.instances_kept,
            embedded.clone(),
            components.clone(),
            queues.clone(),
            settings.background.clone(),
        ));
        let validator_pools = Arc::downgrade(validators.warm_pools());
        settings.background.spawn(give_up_idle(validator_pools));
        let renderers = Arc::new(Renderers::new(
            embedded.clone(),
            components.clone(),
            queues.clone(),
            settings.background.clone(),
        ));
        services.renderer.connect(renderers.clone());
        let engines = [components.engine(), &embedded];
        let ticker = Ticker::start(&engines).map_err(StartError::Ticker)?;
        Ok(Self {
            components,
            services: Arc::new(services),
            queues,
            background: settings.background,
            guests: Gauge::default(),
            warm_pools,
            validators,
            renderers,
            instances: settings.instances,
            _ticker: ticker,
        })
    }

    /// The components: their store, their compiled code, and those in memory.
    pub fn components(&self) -> &ComponentCache {
        &self.components
    }

    /// The loaded component, from memory or from disk. A load continues if its caller is dropped,
    /// because other callers may wait for it.
    pub async fn load(&self, digest: VersionDigest) -> Result<Arc<Loaded>, LoadError> {
        if let Some(loaded) = self.components.loaded(digest).await {
            return Ok(loaded);
        }
        let components = self.components.clone();
        let load = tokio::spawn(async move { components.get(digest).await });
        load.await
            .unwrap_or_else(|error| Err(std::io::Error::other(error).into()))
    }

    /// Removes what this node keeps of a component.
    pub async fn evict(&self, digest: VersionDigest) -> std::io::Result<()> {
        self.components.evict(digest).await
    }

    /// A pool for the warm instances of one tenant. It is empty at first and never holds more than
    /// `most`.
    pub fn warm_pool(&self, most: u32) -> Arc<WarmInstances> {
        self.warm_pools.tenant(most)
    }

    /// The validator, which checks bodies against schemas.
    pub fn validators(&self) -> &Arc<Validators> {
        &self.validators
    }

    /// The renderer of mail templates.
    pub fn renderers(&self) -> &Arc<Renderers> {
        &self.renderers
    }

    /// The resources that are in use now.
    pub async fn held(&self) -> RuntimeHeld {
        let (components, component_bytes) = self.components.held().await;
        let instances_kept = u64::from(self.warm_pools.waiting());
        RuntimeHeld {
            guests: self.guests.get(),
            instances: self.components.instances_in_use().saturating_sub(instances_kept),
            instances_kept,
            instances_total: u64::from(self.instances),
            compile_workers: self.components.compile_workers(),
            components,
            component_bytes,
        }
    }

    /// Calls the handler of a component with `input`, in the time slices of its tenant, in a fresh
    /// or a warm instance. The invocation begins with this call. If the returned future is dropped,
    /// polled or not, `abandoned` receives the invocation as it is then.
    pub fn call<T: Send + 'static, I: Send + 'static>(
        &self,
        component: Arc<Loaded>,
        start: Start<'_, T, I>,
        invocation: Box<Invocation>,
        input: Input,
        abandoned: impl FnOnce(Box<Invocation>) + Send + 'static,
    ) -> impl Future<Output = Finished> {
        let placement = Placement::new(&self.queues, start.lanes, start.long_running);
        let permits = GuestPermits {
            admission: start.permits.admission,
            instance: (start.permits.instance, self.guests.hold()),
            warm: start.permits.warm,
        };
        let guest = Guest::new(
            component,
            self.services.clone(),
            placement,
            invocation,
            input,
            permits,
            start.checks,
            self.validators.clone(),
            abandoned,
        );
        guest.run(&self.background)
    }
}

/// Drops the instances that have been idle too long, until the runtime is dropped.
async fn give_up_idle<T: Send + 'static, K: Send + Sync + 'static>(warm_pools: Weak<WarmPools<T, K>>) {
    let mut interval = tokio::time::interval(warm::IDLE / 2);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        let Some(warm_pools) = warm_pools.upgrade() else {
            break;
        };
        warm_pools.give_up(Instant::now());
    }
}

/// Runs the compile worker; see [`worker::run`].
pub fn compile_worker(memory: &str, cpu: &str) -> ExitCode {
    worker::run(memory, cpu, engine::compiling, linker)
}

/// The linker with everything that a plugin may import.
fn linker(engine: &Engine) -> wasmtime::Result<Linker<StoreData>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    crate::capability::add_to_linker(&mut linker)?;
    Ok(linker)
}
