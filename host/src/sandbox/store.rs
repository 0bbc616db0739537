//! Creates the wasmtime stores of guests. There is only one way to create a store, so that no limit
//! can be forgotten.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::ResourceTable;
use wasmtime::{Engine, Store, UpdateDeadline};
use wasmtime_wasi::{WasiCtxView, WasiView};

use super::limiter::Limiter;
use super::meter::Meter;
use super::placement::Placement;
use super::ticker::TICK;
use super::wasi::Wasi;
use crate::capability::{HasCapabilities, Invocation, Services, State};

/// The space for the head of a response, in addition to its body.
const RESPONSE_HEAD: usize = 64 * 1024;

/// The handles beyond the limit that a host call may lend while it runs, so that a guest that has
/// reached its limit can still use and drop its handles.
const LENT_HANDLES: usize = 8;

/// The data of a store: the capabilities of its invocation, WASI and the memory limiter.
pub struct StoreData {
    /// `None` after the guest has ended.
    capabilities: Option<State>,
    wasi: Wasi,
    limiter: Limiter,
}

/// The guest has used up its CPU budget.
#[derive(Debug, thiserror::Error)]
#[error("the CPU budget of {0:?} is spent")]
pub struct CpuSpent(Duration);

/// A store for instances of the version that `invocation` runs, under all its limits.
pub fn new(
    engine: &Engine,
    services: Arc<Services>,
    invocation: Box<Invocation>,
    meter: Arc<Meter>,
    placement: Arc<Placement>,
) -> Store<StoreData> {
    let memory = invocation.limits().memory.as_usize();
    let handles = usize::try_from(invocation.limits().handles).unwrap_or(usize::MAX);
    let data = StoreData {
        capabilities: None,
        wasi: Wasi::default(),
        limiter: Limiter::new(memory),
    };
    let mut store = Store::new(engine, data);
    store.limiter(|data| &mut data.limiter);
    store.set_max_component_handles(handles.saturating_add(LENT_HANDLES));
    begin(
        &mut store,
        services,
        invocation,
        ResourceTable::new(),
        meter,
        placement,
    );
    store
}

/// Begins an invocation in a store that has none: in a new store, or in one that [`StoreData::end`]
/// ended, with the table that it returned. Limits per invocation start again.
pub fn begin(
    store: &mut Store<StoreData>,
    services: Arc<Services>,
    invocation: Box<Invocation>,
    table: ResourceTable,
    meter: Arc<Meter>,
    placement: Arc<Placement>,
) {
    let limits = invocation.limits();
    // One number bounds the bytes that are lifted from the guest, by host calls and as its
    // response.
    let lifted = limits.host_call_bytes.max(limits.response_body).as_usize();
    let budget = limits.cpu.0;
    let data = store.data_mut();
    data.capabilities = Some(State::new(invocation, services, table));
    data.limiter.begin();
    store.set_hostcall_fuel(lifted.saturating_add(RESPONSE_HEAD));
    interrupt_at_ticks(store, budget, meter, placement);
}

/// Interrupts the guest at each tick, and ends it once `meter` has counted `budget`.
pub fn interrupt_at_ticks<T: 'static>(
    store: &mut Store<T>,
    budget: Duration,
    meter: Arc<Meter>,
    placement: Arc<Placement>,
) {
    store.epoch_deadline_callback(move |_| {
        let is_in_background = placement.is_in_background();
        // The foreground is measured by the wall clock, which a busy system distorts. A guest that
        // runs for longer than a tick or two moves to the background, where its CPU time is
        // measured.
        if (is_in_background || budget <= 2 * TICK) && meter.counted() >= budget {
            return Err(CpuSpent(budget).into());
        }
        // All guests are interrupted at the same time, so a guest that began a moment ago has not
        // used up a whole tick.
        let used_a_tick = || meter.ran_since_last_look().is_some_and(|ran| ran >= TICK / 2);
        if !is_in_background && !used_a_tick() {
            return Ok(UpdateDeadline::Continue(1));
        }
        let placement = placement.clone();
        Ok(UpdateDeadline::YieldCustom(
            1,
            Box::pin(async move { placement.interrupt().await }),
        ))
    });
    store.set_epoch_deadline(1);
}

impl StoreData {
    /// The most memory that the instance held at once during this invocation, in bytes.
    pub fn peak_memory(&self) -> usize {
        self.limiter.peak()
    }

    /// Whether the instance was ever refused memory.
    pub fn was_refused_memory(&self) -> bool {
        self.limiter.has_refused()
    }

    /// Ends the invocation. Returns it, with the guest's printed output in its log, and the table
    /// of the resources that the guest still holds. Dropping the table closes them. No guest may
    /// run until the next invocation begins.
    pub fn end(&mut self) -> (Box<Invocation>, ResourceTable) {
        let capabilities = self.capabilities.take();
        let capabilities = capabilities.expect("a guest ends once");
        let (mut invocation, table) = capabilities.into_parts();
        self.wasi.append_printed(&mut invocation);
        (invocation, table)
    }
}

/// The capabilities of a running guest. Only a running guest makes host calls.
fn held(capabilities: &mut Option<State>) -> &mut State {
    let capabilities = capabilities.as_mut();
    capabilities.expect("a guest that has ended makes no host calls")
}

impl HasCapabilities for StoreData {
    fn capabilities(&mut self) -> &mut State {
        held(&mut self.capabilities)
    }
}

impl WasiView for StoreData {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let State {
            invocation, table, ..
        } = held(&mut self.capabilities);
        WasiCtxView {
            ctx: self.wasi.context(invocation),
            table,
        }
    }
}
