//! WASI without access to the host's files, environment or network. It is created when a guest
//! first uses it, because most plugins never do.

use std::time::Duration;

use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtx};

use crate::capability::Invocation;
use crate::capability::log::{PrintedLines, append_printed};
use crate::domain::clock::SharedClock;
use crate::domain::log_line::Level;
use crate::domain::units::ByteSize;

/// The most random bytes that a guest may request at once.
const MAX_RANDOM: u64 = 64 * 1024;

/// The WASI state of one store.
#[derive(Default)]
pub struct Wasi(Option<Made>);

struct Made {
    context: WasiCtx,
    stdout: PrintedLines,
    stderr: PrintedLines,
}

impl Wasi {
    /// The context of WASI's host functions. Printed output has the same size limit as the log.
    pub fn context(&mut self, invocation: &Invocation) -> &mut WasiCtx {
        let made = || Made::new(&invocation.clock, invocation.limits().log_bytes);
        &mut self.0.get_or_insert_with(made).context
    }

    /// Appends the guest's printed output to the log of its invocation.
    pub fn append_printed(&self, invocation: &mut Invocation) {
        if let Some(made) = &self.0 {
            append_printed(invocation, Level::Info, &made.stdout);
            append_printed(invocation, Level::Error, &made.stderr);
        }
    }
}

impl Made {
    /// A context without files, environment and sockets. Printed output goes to the log. The clocks
    /// count whole milliseconds, because finer clocks allow cache timing attacks on other tenants.
    fn new(clock: &SharedClock, printed_bytes: ByteSize) -> Self {
        let [stdout, stderr] = [(); 2].map(|()| PrintedLines::new(printed_bytes.as_usize()));
        let context = WasiCtx::builder()
            .stdout(stdout.clone())
            .stderr(stderr.clone())
            .wall_clock(WallClock(clock.clone()))
            .monotonic_clock(MonotonicClock::start(clock.clone()))
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .max_random_size(MAX_RANDOM)
            .build();
        Self {
            context,
            stdout,
            stderr,
        }
    }
}

/// The time of day.
struct WallClock(SharedClock);

/// The first value of the monotonic clock. Go's runtime considers zero a broken clock.
const FIRST: Duration = Duration::from_millis(1);

/// The time since the guest first used WASI. It reveals nothing about the host's uptime.
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
        let since = self
            .clock
            .monotonic()
            .saturating_sub(self.made)
            .saturating_add(FIRST);
        u64::try_from(since.as_millis())
            .unwrap_or(u64::MAX)
            .saturating_mul(1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::clock::{Clock, ManualClock, Timestamp};

    #[test]
    fn a_clock_that_is_set_back_does_not_set_the_monotonic_one_back() {
        let clock = Arc::new(ManualClock::new(Timestamp(1_700_000_000_000)));
        clock.advance(Duration::from_secs(1));
        let (wall, monotonic) = (WallClock(clock.clone()), MonotonicClock::start(clock.clone()));
        assert_eq!(
            monotonic.now(),
            1_000_000,
            "it starts with the first use, above zero"
        );
        clock.advance(Duration::from_millis(7));
        clock.set(Timestamp(0));
        assert_eq!(wall.now(), Duration::ZERO);
        assert_eq!(monotonic.now(), 8_000_000);
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
        assert_eq!((monotonic.now(), monotonic.resolution()), (2_000_000, 1_000_000));
        assert_eq!(WallClock(Arc::new(Fine)).resolution(), Duration::from_millis(1));
    }
}
