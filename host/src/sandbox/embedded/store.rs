//! The stores of embedded components.

use wasmtime::component::{Linker, ResourceTable};
use wasmtime::{Engine, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::super::limiter::Limiter;
use super::super::store;
use super::Payer;

/// The data of a store.
pub struct Data {
    limiter: Limiter,
    wasi: WasiCtx,
    table: ResourceTable,
}

impl Data {
    /// Whether the sandbox was ever refused memory.
    pub fn was_refused_memory(&self) -> bool {
        self.limiter.has_refused()
    }

    /// The memory that the sandbox holds, in bytes. A memory never shrinks, so this is the peak.
    pub fn memory(&self) -> usize {
        self.limiter.peak()
    }
}

impl WasiView for Data {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

/// The linker. The components use only random numbers, for their hash maps.
pub fn linker(engine: &Engine) -> wasmtime::Result<Linker<Data>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    Ok(linker)
}

/// A store with at most `memory` bytes.
pub fn new_store(engine: &Engine, memory: usize) -> Store<Data> {
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
    let mut store = Store::new(engine, data);
    store.limiter(|data| &mut data.limiter);
    store
}

/// Begins a call that may return `lifted` bytes, and that is interrupted once `payer` has used its
/// budget.
pub fn begin(store: &mut Store<Data>, payer: &Payer, lifted: usize) {
    store.set_hostcall_fuel(lifted);
    store::interrupt_at_ticks(store, payer.cpu, payer.meter.clone(), payer.placement.clone());
}
