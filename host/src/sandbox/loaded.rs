//! The cache of loaded components. It is bounded by their memory, and loads each component only
//! once at a time.

use std::sync::Arc;

use bytes::Bytes;
use moka::future::Cache;
use wasmtime::component::{Component, Instance, InstancePre, Linker};
use wasmtime::{Engine, Store};

use super::handlers::Handlers;
use super::store::StoreData;
use crate::components::shield::Shield;
use crate::components::store::{ComponentStore, VerifiedComponent};
use crate::components::{Artifacts, Code, CodeCheck, DescribedManifest, LoadError, Refusal, Uses};
use crate::domain::id::{PluginName, VersionDigest};
use crate::domain::units::ByteSize;

/// A component that is ready to be instantiated.
pub struct Loaded {
    instance_pre: InstancePre<StoreData>,
    handlers: Handlers,
    /// The memory that the component takes, in bytes.
    footprint: usize,
}

/// The cache of loaded components, over the compiled code on disk.
pub struct ComponentCache {
    engine: Engine,
    linker: Linker<StoreData>,
    artifacts: Artifacts,
    loaded: Cache<VersionDigest, Arc<Loaded>>,
}

impl ComponentCache {
    /// A cache of at most `capacity` bytes.
    pub fn new(engine: Engine, linker: Linker<StoreData>, artifacts: Artifacts, capacity: ByteSize) -> Self {
        let loaded = Cache::builder()
            .max_capacity(capacity.0)
            .weigher(|_, loaded: &Arc<Loaded>| u32::try_from(loaded.footprint).unwrap_or(u32::MAX))
            .build();
        Self {
            engine,
            linker,
            artifacts,
            loaded,
        }
    }

    /// The component store, which all nodes share.
    pub fn store(&self) -> &Arc<dyn ComponentStore> {
        self.artifacts.store()
    }

    /// Reads, checks, compiles and loads an upload for `plugin`, and stores its compiled code. The
    /// component itself is not stored.
    pub async fn take_in(
        &self,
        plugin: &PluginName,
        component: &VerifiedComponent,
        compiled_size: ByteSize,
    ) -> Result<DescribedManifest, LoadError> {
        let manifest = self
            .artifacts
            .compile_upload(plugin, component, compiled_size)
            .await?;
        self.get(component.digest()).await?;
        Ok(manifest)
    }

    /// Compiles the component of a version again, if its code is missing or damaged.
    pub async fn repair_code(&self, component: &VerifiedComponent) -> Result<(), LoadError> {
        self.artifacts.repair_code(component).await
    }

    /// Compiles a stored component in the background, if its code is missing, damaged or from
    /// another engine.
    pub async fn recompile(&self, digest: VersionDigest) -> Result<(), LoadError> {
        let compiled = self.artifacts.recompile(digest).await;
        compiled.inspect_err(|error| self.note_refusal(digest, error))
    }

    /// Whether the compiled code of a component is on disk.
    pub async fn has_code(&self, digest: VersionDigest, check: CodeCheck) -> std::io::Result<bool> {
        self.artifacts.has_code(digest, check).await
    }

    /// Whether all active versions were compiled for this engine when that was last recorded.
    pub async fn is_code_current(&self) -> std::io::Result<bool> {
        self.artifacts.is_code_current().await
    }

    /// Records whether all active versions are compiled for this engine.
    pub async fn set_code_current(&self, is_current: bool) -> std::io::Result<()> {
        self.artifacts.set_code_current(is_current).await
    }

    /// Why a stored component cannot run, if that is known without reading the component.
    pub async fn refusal(&self, digest: VersionDigest) -> std::io::Result<Option<Arc<Refusal>>> {
        self.artifacts.refusal(digest).await
    }

    /// The proposals, instructions and imports that a stored component uses.
    pub async fn uses(&self, digest: VersionDigest) -> Result<Uses, LoadError> {
        self.artifacts.uses(digest).await
    }

    /// The operator's rules for refusing components.
    pub fn shield(&self) -> &Shield {
        self.artifacts.shield()
    }

    /// The component as it was uploaded.
    pub async fn source(&self, digest: VersionDigest) -> Result<Bytes, LoadError> {
        self.artifacts.source(digest).await
    }

    /// The size of the compiled code, if it is on disk.
    pub async fn compiled_size(&self, digest: VersionDigest) -> std::io::Result<Option<u64>> {
        self.artifacts.compiled_size(digest).await
    }

    /// The component, if it is in memory.
    pub async fn loaded(&self, digest: VersionDigest) -> Option<Arc<Loaded>> {
        self.loaded.get(&digest).await
    }

    /// The component, from memory or else loaded from disk.
    pub async fn get(&self, digest: VersionDigest) -> Result<Arc<Loaded>, LoadError> {
        let load = async {
            let code = self.artifacts.load(&self.engine, digest).await?;
            self.link(code).map(Arc::new)
        };
        let loaded = self.loaded.try_get_with(digest, load).await;
        loaded.map_err(|error: Arc<LoadError>| {
            self.note_refusal(digest, &error);
            (*error).clone()
        })
    }

    fn note_refusal(&self, digest: VersionDigest, error: &LoadError) {
        if let LoadError::Refused(refusal) = error {
            tracing::info!(%digest, %refusal, "a component is refused");
            self.artifacts.remember_refusal(digest, refusal.clone());
        }
    }

    /// The component `name`, which is embedded in the host, as code for `engine`.
    pub async fn embedded(
        &self,
        engine: &Engine,
        name: &'static str,
        component: &'static [u8],
    ) -> Result<Component, LoadError> {
        self.artifacts.embedded(engine, name, component).await
    }

    /// The engine of the components.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Removes what this node keeps of a component, in memory and on disk.
    pub async fn evict(&self, digest: VersionDigest) -> std::io::Result<()> {
        self.loaded.invalidate(&digest).await;
        self.artifacts.evict(digest).await
    }

    /// The number of loaded components, and their memory in bytes.
    pub async fn held(&self) -> (u64, u64) {
        // The cache updates its counts lazily; this makes them current.
        self.loaded.run_pending_tasks().await;
        (self.loaded.entry_count(), self.loaded.weighted_size())
    }

    /// The number of instances of the pool that are in use.
    pub fn instances_in_use(&self) -> u64 {
        let pool = self.engine.pooling_allocator_metrics();
        pool.map_or(0, |pool| pool.component_instances())
    }

    /// The number of running compile workers.
    pub fn compile_workers(&self) -> u64 {
        self.artifacts.compile_workers()
    }

    fn link(&self, code: Code) -> Result<Loaded, LoadError> {
        let instance_pre = self.linker.instantiate_pre(&code.component).map_err(|error| {
            LoadError::Refused(Arc::new(Refusal::component(
                format!("{error:#}"),
                "the plugin was built for another version of the contract; build it with the SDK of this host's version",
            )))
        })?;
        Ok(Loaded {
            handlers: Handlers::of(&instance_pre),
            instance_pre,
            footprint: code.footprint,
        })
    }
}

impl Loaded {
    pub(super) fn engine(&self) -> &Engine {
        self.instance_pre.engine()
    }

    pub(super) fn handlers(&self) -> &Handlers {
        &self.handlers
    }

    pub(super) async fn instantiate(&self, store: &mut Store<StoreData>) -> wasmtime::Result<Instance> {
        self.instance_pre.instantiate_async(store).await
    }
}
