//! One sandbox of the validator: a store, the instance in it, and the schemas that it has compiled.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use mortise_validator::Formats;
use wasmtime::component::{Linker, ResourceTable};
use wasmtime::{Engine, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::super::limiter::Limiter;
use super::super::meter::Meter;
use super::super::placement::Placement;
use super::super::store;
use crate::components::bundle::schema::Schemas;

mod bindings {
    wasmtime::component::bindgen!({
        path: "../validator/wit",
        world: "validator",
        exports: { default: async },
    });
}

pub use bindings::{Mismatch, ValidatorPre, Verdict};

/// The most bytes that one call may return: a list of bounded mismatches.
const MAX_LIFTED: usize = 256 * 1024;

/// The CPU time for compiling one schema, in addition to the budget of the invocation that needs
/// the schema. It is twice the time that an upload has, so that an accepted schema compiles on a
/// busy machine as well.
pub const COMPILE_CPU: Duration = Duration::from_secs(2);

/// The data of a validator's store.
pub struct Data {
    limiter: Limiter,
    wasi: WasiCtx,
    table: ResourceTable,
}

impl WasiView for Data {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

/// The linker for validators. The validator uses only random numbers, for its hash maps.
pub fn linker(engine: &Engine) -> wasmtime::Result<Linker<Data>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    Ok(linker)
}

/// A validator in its sandbox.
pub struct Instance {
    store: Store<Data>,
    validator: bindings::Validator,
    compiled: BTreeSet<u32>,
}

/// The invocation or upload that pays for a call: its CPU time, its budget and its threads.
#[derive(Clone)]
pub struct Payer {
    /// Counts the CPU time.
    pub meter: Arc<Meter>,
    /// Decides on which threads the call runs.
    pub placement: Arc<Placement>,
    /// The CPU budget.
    pub cpu: Duration,
}

impl Instance {
    /// A fresh sandbox with at most `memory` bytes.
    pub async fn fresh(pre: &ValidatorPre<Data>, memory: usize, payer: &Payer) -> wasmtime::Result<Self> {
        let data = Data {
            limiter: Limiter::new(memory),
            // No files, no environment, no sockets; printed output is discarded.
            wasi: WasiCtx::builder()
                .allow_tcp(false)
                .allow_udp(false)
                .allow_ip_name_lookup(false)
                .build(),
            table: ResourceTable::new(),
        };
        let mut store = Store::new(pre.engine(), data);
        store.limiter(|data| &mut data.limiter);
        begin(&mut store, payer);
        let validator = pre.instantiate_async(&mut store).await?;
        Ok(Self {
            store,
            validator,
            compiled: BTreeSet::new(),
        })
    }

    /// Compiles a schema unless the sandbox has compiled it already. The CPU time is recorded as
    /// used, but not taken from the budget of `payer`.
    pub async fn compile(
        &mut self,
        schemas: &Schemas,
        index: u32,
        payer: &Payer,
    ) -> wasmtime::Result<Result<(), String>> {
        if self.compiled.contains(&index) {
            return Ok(Ok(()));
        }
        let meter = &payer.meter;
        let before = meter.busy();
        let payer = Payer {
            cpu: meter.counted() + COMPILE_CPU,
            ..payer.clone()
        };
        let compiled = self.try_schema(schemas, index, &payer).await;
        meter.excuse(meter.busy().saturating_sub(before));
        if matches!(compiled, Ok(Ok(()))) {
            self.compiled.insert(index);
        }
        compiled
    }

    /// Compiles a schema within the budget of `payer`.
    pub async fn try_schema(
        &mut self,
        schemas: &Schemas,
        index: u32,
        payer: &Payer,
    ) -> wasmtime::Result<Result<(), String>> {
        begin(&mut self.store, payer);
        let is_asserted = schemas.formats() == Formats::Asserted;
        let text = schemas.text(index);
        self.validator
            .call_load(&mut self.store, index, text, is_asserted)
            .await
    }

    /// Checks a body against a schema that the sandbox has compiled.
    pub async fn check(&mut self, index: u32, body: &[u8], payer: &Payer) -> wasmtime::Result<Verdict> {
        begin(&mut self.store, payer);
        self.validator.call_check(&mut self.store, index, body).await
    }

    /// Lists the mismatches of the body that was checked last.
    pub async fn explain(&mut self, index: u32, payer: &Payer) -> wasmtime::Result<Vec<Mismatch>> {
        begin(&mut self.store, payer);
        self.validator.call_explain(&mut self.store, index).await
    }

    /// Whether the sandbox was ever refused memory.
    pub fn was_refused_memory(&self) -> bool {
        self.store.data().limiter.has_refused()
    }

    /// The memory that the sandbox holds, in bytes. A memory never shrinks, so this is the peak.
    pub fn memory(&self) -> usize {
        self.store.data().limiter.peak()
    }
}

/// Begins a call that is interrupted once `payer` has used its budget.
fn begin(store: &mut Store<Data>, payer: &Payer) {
    store.set_hostcall_fuel(MAX_LIFTED);
    store::interrupt_at_ticks(store, payer.cpu, payer.meter.clone(), payer.placement.clone());
}
