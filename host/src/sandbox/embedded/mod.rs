//! Runs components of the host itself in sandboxes: the validator and the renderer.
//!
//! Each is embedded in the host and compiled at its first use. Their sandboxes share an engine with
//! a pool of its own, so they take no instances from plugins.

mod failure;
mod slices;
mod store;

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::OnceCell;
use wasmtime::Engine;
use wasmtime::component::InstancePre;

use super::loaded::ComponentCache;
use crate::components::LoadError;
use crate::domain::limits::Limits;
use crate::domain::units::ByteSize;
pub use failure::CallFailure;
pub use slices::{Payer, Slices};
pub use store::{Data, begin, new_store};

/// The least memory of a sandbox. A sandbox may use as much memory as its invocation, but the
/// components themselves need a few MiB.
const LEAST_MEMORY: ByteSize = ByteSize::mib(32);

/// A component of the host, loaded at its first use. `P` are its bindings.
pub struct Embedded<P> {
    name: &'static str,
    component: &'static [u8],
    bind: fn(InstancePre<Data>) -> wasmtime::Result<P>,
    engine: Engine,
    components: Arc<ComponentCache>,
    background: Handle,
    loaded: OnceCell<P>,
}

impl<P: Send + Sync + 'static> Embedded<P> {
    /// The component `name`, which `bind` gives its bindings.
    pub fn new(
        name: &'static str,
        component: &'static [u8],
        bind: fn(InstancePre<Data>) -> wasmtime::Result<P>,
        engine: Engine,
        components: Arc<ComponentCache>,
        background: Handle,
    ) -> Self {
        Self {
            name,
            component,
            bind,
            engine,
            components,
            background,
            loaded: OnceCell::new(),
        }
    }

    /// Loads the component, and compiles it if the data folder has no compiled code of it. A load
    /// continues if its caller is dropped, because other callers may wait for it.
    pub async fn load(self: &Arc<Self>) -> Result<(), LoadError> {
        if self.loaded.initialized() {
            return Ok(());
        }
        let own = self.clone();
        let load = tokio::spawn(async move { own.bindings().await.map(|_| ()) });
        load.await
            .unwrap_or_else(|error| Err(std::io::Error::other(error).into()))
    }

    /// Loads the component in the background, so that its first use need not wait for it.
    pub fn prepare(self: &Arc<Self>) {
        let own = self.clone();
        self.background.spawn(async move {
            if let Err(error) = own.load().await {
                tracing::error!(%error, component = own.name, "a component of the host cannot be loaded");
            }
        });
    }

    /// The bindings of the component.
    pub async fn bindings(&self) -> Result<&P, LoadError> {
        let load = || async {
            let component = self.components.embedded(&self.engine, self.name, self.component);
            let component = component.await?;
            let pre = store::linker(&self.engine).and_then(|linker| linker.instantiate_pre(&component));
            pre.and_then(self.bind)
                .map_err(|error| std::io::Error::other(format!("{error:#}")).into())
        };
        self.loaded.get_or_try_init(load).await
    }
}

/// The memory limit of a sandbox for invocations with these limits.
pub fn memory(limits: &Limits) -> ByteSize {
    limits.memory.max(LEAST_MEMORY)
}
