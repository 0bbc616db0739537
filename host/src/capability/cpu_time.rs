//! The CPU time of one invocation: the guest's time and the time of the host's work on other
//! threads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The CPU time charged so far. Every thread that works for the invocation adds to it.
#[derive(Debug, Default)]
pub struct CpuTime {
    nanoseconds: AtomicU64,
}

impl CpuTime {
    /// Charges `time`.
    pub fn add(&self, time: Duration) {
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// The total time charged.
    pub fn total(&self) -> Duration {
        Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed))
    }
}

/// The CPU time of the current thread since it started.
pub fn thread_time() -> Duration {
    let ran = clock_gettime(ClockId::ThreadCPUTime);
    let nanoseconds = ran
        .tv_sec
        .saturating_mul(1_000_000_000)
        .saturating_add(ran.tv_nsec);
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_charged_adds_up() {
        let time = CpuTime::default();
        time.add(Duration::from_micros(2));
        time.add(Duration::from_micros(3));
        assert_eq!(time.total(), Duration::from_micros(5));
    }

    #[test]
    fn a_thread_that_computes_runs() {
        let before = thread_time();
        let mut sum = 0_u64;
        while thread_time() == before {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(thread_time() > before);
    }
}
