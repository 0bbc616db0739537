//! One invocation by HTTP: a fresh instance, the call, and what came of it.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::ResourceTableError;
use wasmtime::{PoolConcurrencyLimitError, Store, Trap};

use super::component_cache::Loaded;
use super::meter::Meter;
use super::store::{self, CpuSpent, StoreData};
use super::turns::{self, Interrupted};
use crate::capability::bindings::http_types;
use crate::capability::{HostCallRefused, HostFault, Invocation, Services};
use crate::domain::units::{as_u64, microseconds};
use crate::fair_semaphore::{FairSemaphore, Lane};

/// The response of a plugin, as it answered. Nothing in it is checked.
pub type ResponseParts = http_types::Response;

/// An invocation that has ended.
pub struct Finished {
    /// The response, or why there is none.
    pub outcome: Result<ResponseParts, Failure>,
    /// The invocation, with its usage and its log.
    pub invocation: Invocation,
}

/// Why an invocation gave no response.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The component exports no HTTP handler.
    #[error("the component exports no http-handler")]
    NoHandler,
    /// The guest trapped.
    #[error("the plugin trapped: {0}")]
    Trapped(String),
    /// The guest trapped after it was refused memory.
    #[error("the plugin ran out of memory")]
    Memory,
    /// The guest went past a limit that no error of the contract tells it of.
    #[error("the plugin went past a limit: {0}")]
    Limit(String),
    /// The CPU budget was spent.
    #[error("the plugin used up its {0:?} of CPU time")]
    Cpu(Duration),
    /// The wall clock ran out.
    #[error("the plugin did not answer within {0:?}")]
    Timeout(Duration),
    /// All instances of the host are in use.
    #[error("all instances of the host are in use")]
    NoInstance,
    /// The host failed.
    #[error("{0:#}")]
    Host(wasmtime::Error),
}

/// Where an invocation gets its turns on the plugins' threads.
pub struct Place<'a> {
    /// The turns of all tenants.
    pub turns: &'a Arc<FairSemaphore>,
    /// The lane of its tenant.
    pub lane: &'a Arc<Lane>,
}

/// Runs the handler. Whatever happens, the store is dropped and the invocation comes back; where the caller goes away
/// and this future is dropped, it goes to `abandoned`.
pub async fn run(
    component: &Loaded,
    services: Services,
    place: Place<'_>,
    invocation: Invocation,
    request: http_types::Request,
    abandoned: impl FnOnce(Invocation),
) -> Finished {
    let wall = invocation.remaining();
    let (cpu, allowed) = (invocation.limits().cpu.0, invocation.limits().wall.0);
    let meter = Arc::new(Meter::new());
    let interrupted = Arc::new(Interrupted::default());
    let store = store::new(
        component.engine(),
        services,
        invocation,
        meter.clone(),
        interrupted.clone(),
    );
    let mut running = Running {
        store: Some(store),
        meter: meter.clone(),
        abandoned: Some(abandoned),
    };

    // The timeout is around everything: epochs do not tick while the guest waits for the host.
    let call = meter.measure(async {
        let Some(handler) = component.http_handler() else {
            return Err(Failure::NoHandler);
        };
        let store = running
            .store
            .as_mut()
            .expect("the store is taken out only below, once this has ended");
        let result = async {
            let instance = component.instantiate(store).await?;
            handler
                .load(&mut *store, &instance)?
                .call_handle(store, &request)
                .await
        };
        result.await.map_err(|error| classify(error, cpu))
    });
    let call = turns::in_turns(place.turns, place.lane, &interrupted, call);
    let outcome = match tokio::time::timeout(wall, call).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Failure::Timeout(allowed)),
    };
    let store = running.store.take().expect("the store is taken out only here");
    let refused_memory = store.data().was_refused_memory();
    let outcome = match outcome {
        Err(Failure::Trapped(_)) if refused_memory => Err(Failure::Memory),
        outcome => outcome,
    };
    Finished {
        outcome,
        invocation: ended(store, &meter),
    }
}

/// An invocation under way.
struct Running<F: FnOnce(Invocation)> {
    store: Option<Store<StoreData>>,
    meter: Arc<Meter>,
    abandoned: Option<F>,
}

impl<F: FnOnce(Invocation)> Drop for Running<F> {
    fn drop(&mut self) {
        if let (Some(store), Some(abandoned)) = (self.store.take(), self.abandoned.take()) {
            abandoned(ended(store, &self.meter));
        }
    }
}

/// The invocation with what it used.
fn ended(store: Store<StoreData>, meter: &Meter) -> Invocation {
    let data = store.into_data();
    let peak_memory = data.peak_memory();
    let mut invocation = data.into_invocation();
    invocation.usage.cpu_us = microseconds(meter.busy());
    invocation.usage.wall_us = microseconds(meter.elapsed());
    invocation.usage.memory_bytes = as_u64(peak_memory);
    invocation
}

/// Whose fault an error of wasmtime is. What is not known to be the host's or a limit's is the guest's: a trap, a
/// value that does not lift, a handle too many.
fn classify(error: wasmtime::Error, cpu: Duration) -> Failure {
    if error.is::<CpuSpent>() || matches!(error.downcast_ref(), Some(Trap::Interrupt)) {
        Failure::Cpu(cpu)
    } else if error.is::<PoolConcurrencyLimitError>() {
        Failure::NoInstance
    } else if error.is::<HostFault>() {
        Failure::Host(error)
    } else if is_limit(&error) {
        Failure::Limit(error.root_cause().to_string())
    } else {
        Failure::Trapped(format!("{error:#}"))
    }
}

/// Whether the guest went past a limit. Two of them are wasmtime's own, and it has no types for their errors.
fn is_limit(error: &wasmtime::Error) -> bool {
    const OF_WASMTIME: [&str; 2] = [
        "fuel allocated for hostcalls has been exhausted",
        "store handle limit exceeded",
    ];
    if error.is::<HostCallRefused>() || matches!(error.downcast_ref(), Some(ResourceTableError::Full)) {
        return true;
    }
    let text = error.root_cause().to_string();
    OF_WASMTIME.iter().any(|limit| text.contains(limit))
}
