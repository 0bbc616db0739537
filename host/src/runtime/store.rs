//! Stores. There is one way to make one, so that no limit can be forgotten.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::ResourceTable;
use wasmtime::{Engine, Store, UpdateDeadline};
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxView, WasiView};

use super::course::Course;
use super::limiter::Limiter;
use super::meter::Meter;
use super::ticker::TICK;
use crate::capability::log::{PrintedLines, append_printed};
use crate::capability::{HasCapabilities, Invocation, Services, State};
use crate::domain::clock::SharedClock;
use crate::domain::limits::Limits;
use crate::domain::log_line::Level;

/// Room for the head of a response beside its body.
const RESPONSE_HEAD: usize = 64 * 1024;

/// Handles beyond the limit that a host call may lend for as long as it runs, so that a guest with as many as it may
/// have can still use and drop them.
const LENT_HANDLES: usize = 8;

/// Bytes that a guest may ask of the random generator at once.
const MAX_RANDOM: u64 = 64 * 1024;

/// What a store holds: the capabilities of its invocation, and WASI with nothing behind it.
pub struct StoreData {
    capabilities: State,
    wasi: WasiCtx,
    limiter: Limiter,
    stdout: PrintedLines,
    stderr: PrintedLines,
}

/// The guest has used up its CPU budget.
#[derive(Debug, thiserror::Error)]
#[error("the CPU budget of {0:?} is spent")]
pub struct CpuSpent(Duration);

/// A store for one invocation, under all its limits.
pub fn new(
    engine: &Engine,
    services: Services,
    invocation: Invocation,
    meter: Arc<Meter>,
    course: Arc<Course>,
) -> Store<StoreData> {
    let limits = invocation.active.limits.clone();
    let printed = PrintedLines::new(limits.log_bytes.as_usize());
    let (stdout, stderr) = (printed, PrintedLines::new(limits.log_bytes.as_usize()));
    let wasi = wasi(&invocation.clock, &stdout, &stderr);
    let limiter = Limiter::new(limits.memory.as_usize());
    let capabilities = State::new(invocation, services);

    let mut store = Store::new(
        engine,
        StoreData {
            capabilities,
            wasi,
            limiter,
            stdout,
            stderr,
        },
    );
    store.limiter(|data| &mut data.limiter);
    // One number bounds what is lifted from the guest, by host calls and as its response.
    let lifted = limits.host_call_bytes.max(limits.response_body).as_usize();
    store.set_hostcall_fuel(lifted.saturating_add(RESPONSE_HEAD));
    let handles = usize::try_from(limits.handles).unwrap_or(usize::MAX);
    store.set_max_component_handles(handles.saturating_add(LENT_HANDLES));
    let budget = limits.cpu.0;
    store.epoch_deadline_callback(move |_| {
        let is_in_background = course.is_in_background();
        // In front the wall is what is measured by, on which a busy system counts as well. Who runs for longer than a
        // tick or two goes on in the background, where it is not.
        if (is_in_background || budget <= 2 * TICK) && meter.busy() >= budget {
            return Err(CpuSpent(budget).into());
        }
        // Ticks come for everybody at once: a guest that began a moment ago has not used up one of its own.
        let used_a_tick = || meter.ran_since_last_look().is_some_and(|ran| ran >= TICK / 2);
        if !is_in_background && !used_a_tick() {
            return Ok(UpdateDeadline::Continue(1));
        }
        let course = course.clone();
        Ok(UpdateDeadline::YieldCustom(
            1,
            Box::pin(async move { course.interrupt().await }),
        ))
    });
    store.set_epoch_deadline(1);
    store
}

impl StoreData {
    /// The limits of the invocation.
    pub fn limits(&self) -> &Limits {
        self.capabilities.invocation.limits()
    }

    /// The most memory that the instance held at once, in bytes.
    pub fn peak_memory(&self) -> usize {
        self.limiter.peak()
    }

    /// Whether the instance was ever refused memory.
    pub fn was_refused_memory(&self) -> bool {
        self.limiter.has_refused()
    }

    /// The invocation, with what the guest printed in its log. Whatever else it held open is closed.
    pub fn into_invocation(self) -> Invocation {
        let mut invocation = self.capabilities.into_invocation();
        for (level, printed) in [(Level::Info, &self.stdout), (Level::Error, &self.stderr)] {
            append_printed(&mut invocation, level, printed);
        }
        invocation
    }
}

impl HasCapabilities for StoreData {
    fn capabilities(&mut self) -> &mut State {
        &mut self.capabilities
    }
}

impl WasiView for StoreData {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let table: &mut ResourceTable = &mut self.capabilities.table;
        WasiCtxView {
            ctx: &mut self.wasi,
            table,
        }
    }
}

/// No files, no environment, no sockets; what is printed goes to the log; clocks that count whole milliseconds, since
/// finer ones serve to listen at other tenants' caches.
fn wasi(clock: &SharedClock, stdout: &PrintedLines, stderr: &PrintedLines) -> WasiCtx {
    WasiCtx::builder()
        .stdout(stdout.clone())
        .stderr(stderr.clone())
        .wall_clock(WallClock(clock.clone()))
        .monotonic_clock(MonotonicClock::start(clock.clone()))
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false)
        .max_random_size(MAX_RANDOM)
        .build()
}

/// The time of day.
struct WallClock(SharedClock);

/// The time since the store was made, which says nothing of the host.
struct MonotonicClock {
    clock: SharedClock,
    made: Duration,
}

impl HostWallClock for WallClock {
    fn resolution(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn now(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.now().0).unwrap_or(0))
    }
}

impl MonotonicClock {
    fn start(clock: SharedClock) -> Self {
        Self {
            made: clock.monotonic(),
            clock,
        }
    }
}

impl HostMonotonicClock for MonotonicClock {
    fn resolution(&self) -> u64 {
        1_000_000
    }

    fn now(&self) -> u64 {
        let since = self.clock.monotonic().saturating_sub(self.made);
        u64::try_from(since.as_millis())
            .unwrap_or(u64::MAX)
            .saturating_mul(1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clock::{Clock, ManualClock, Timestamp};

    #[test]
    fn a_clock_that_is_set_back_does_not_set_the_monotonic_one_back() {
        let clock = Arc::new(ManualClock::new(Timestamp(1_700_000_000_000)));
        clock.advance(Duration::from_secs(1));
        let (wall, monotonic) = (WallClock(clock.clone()), MonotonicClock::start(clock.clone()));
        assert_eq!(monotonic.now(), 0, "it starts with the store");
        clock.advance(Duration::from_millis(7));
        clock.set(Timestamp(0));
        assert_eq!(wall.now(), Duration::ZERO);
        assert_eq!(monotonic.now(), 7_000_000);
    }

    #[test]
    fn both_clocks_count_whole_milliseconds() {
        struct Fine;
        impl Clock for Fine {
            fn now(&self) -> Timestamp {
                Timestamp(1)
            }
            fn monotonic(&self) -> Duration {
                Duration::from_nanos(1_234_567)
            }
        }
        let monotonic = MonotonicClock {
            clock: Arc::new(Fine),
            made: Duration::ZERO,
        };
        assert_eq!((monotonic.now(), monotonic.resolution()), (1_000_000, 1_000_000));
        assert_eq!(WallClock(Arc::new(Fine)).resolution(), Duration::from_millis(1));
    }
}
