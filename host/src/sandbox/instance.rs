//! A sandbox: a store and the instance in it. Each invocation has a fresh sandbox, unless the
//! plugin's author permits reuse.

use std::sync::Arc;

use secrecy::SecretString;
use wasmtime::Store;
use wasmtime::component::{Instance, ResourceTable};

use super::handlers::{Handler, Input, Output};
use super::loaded::Loaded;
use super::meter::Meter;
use super::placement::Placement;
use super::store::{self, StoreData};
use crate::capability::{Invocation, Services};

/// An instance is reused only if it holds at most this fraction (one half) of its memory limit.
/// Otherwise leaked memory would eventually fail a request that did not cause the leak.
const KEPT_MEMORY: usize = 2;

/// A sandbox in which an invocation runs.
pub struct Sandbox {
    store: Store<StoreData>,
    /// Created when the guest is first called.
    instance: Option<Instance>,
    /// The handler that was called last. The next call most likely needs the same one.
    handler: Option<Handler>,
    /// The number of earlier invocations in this sandbox.
    reuses: u32,
}

/// A sandbox whose last invocation ended well, so that it can be reused.
pub struct ReusableSandbox {
    sandbox: Sandbox,
    table: ResourceTable,
    /// Secrets that the guest has seen, and may still have in its memory.
    revealed: Vec<SecretString>,
}

impl ReusableSandbox {
    /// The sandbox, to be dropped.
    pub fn into_sandbox(self) -> Sandbox {
        self.sandbox
    }
}

impl Sandbox {
    /// A fresh sandbox. Its instance is created by the first call.
    pub fn fresh(
        component: &Loaded,
        services: Arc<Services>,
        invocation: Box<Invocation>,
        meter: Arc<Meter>,
        placement: Arc<Placement>,
    ) -> Self {
        Self {
            store: store::new(component.engine(), services, invocation, meter, placement),
            instance: None,
            handler: None,
            reuses: 0,
        }
    }

    /// Reuses a sandbox for the same version.
    pub fn again(
        reusable: ReusableSandbox,
        services: Arc<Services>,
        mut invocation: Box<Invocation>,
        meter: Arc<Meter>,
        placement: Arc<Placement>,
    ) -> Self {
        let ReusableSandbox {
            mut sandbox,
            table,
            revealed,
        } = reusable;
        invocation.revealed = revealed;
        sandbox.reuses = sandbox.reuses.saturating_add(1);
        invocation.usage.instance_reuses = sandbox.reuses;
        store::begin(&mut sandbox.store, services, invocation, table, meter, placement);
        sandbox
    }

    /// Calls the handler for `input`. Returns `None` if the component has none.
    pub async fn call(&mut self, component: &Loaded, input: Input) -> wasmtime::Result<Option<Output>> {
        let trigger = input.trigger();
        if !component.handlers().has(trigger) {
            return Ok(None);
        }
        let instance = match self.instance {
            Some(instance) => instance,
            None => *self
                .instance
                .insert(component.instantiate(&mut self.store).await?),
        };
        if self
            .handler
            .as_ref()
            .is_none_or(|handler| handler.trigger() != trigger)
        {
            self.handler = component.handlers().load(trigger, &mut self.store, &instance)?;
        }
        match &self.handler {
            Some(handler) => handler.call(&mut self.store, input).await,
            None => Ok(None),
        }
    }

    /// Whether the sandbox has an instance yet.
    pub fn has_instance(&self) -> bool {
        self.instance.is_some()
    }

    /// Whether the instance was ever refused memory.
    pub fn was_refused_memory(&self) -> bool {
        self.store.data().was_refused_memory()
    }

    /// The most memory that the instance held at once during this invocation, in bytes.
    pub fn peak_memory(&self) -> usize {
        self.store.data().peak_memory()
    }

    /// Ends the invocation and closes the resources that it opened.
    pub fn end(&mut self) -> Box<Invocation> {
        let (invocation, _open) = self.store.data_mut().end();
        invocation
    }

    /// Ends an invocation that returned. The sandbox can be reused unless the invocation left
    /// something behind: open transactions, cursors or requests, or more than half of the memory
    /// limit in use.
    pub fn end_well(mut self) -> (Box<Invocation>, Result<ReusableSandbox, Self>) {
        let (invocation, table) = self.store.data_mut().end();
        let memory = invocation.limits().memory.as_usize();
        let is_clean =
            invocation.held == 0 && !self.was_refused_memory() && self.peak_memory() <= memory / KEPT_MEMORY;
        let sandbox = match is_clean {
            true => Ok(ReusableSandbox {
                sandbox: self,
                table,
                revealed: invocation.revealed.clone(),
            }),
            false => Err(self),
        };
        (invocation, sandbox)
    }
}
