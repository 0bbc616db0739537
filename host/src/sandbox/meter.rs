//! Measures busy time: how long a future was polled. The CPU budget of a guest is counted in busy
//! time.
//!
//! In the foreground a poll is measured by the wall clock, which is cheap to read; a guest leaves
//! the foreground after a tick or two. Background threads have a lower priority and may be
//! preempted for long. There the CPU time of the thread is read, so that a guest does not pay for
//! time that other threads used.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::capability::{CpuTime, thread_time};

/// Counts the busy time of one invocation. The polling thread writes the meter, and the epoch
/// callback reads it on the same thread.
pub struct Meter {
    made: Instant,
    /// The charged time: completed polls, and work that the host did for the invocation on other
    /// threads.
    cpu_time: Arc<CpuTime>,
    /// Busy time that is excluded from the budget.
    excused_ns: AtomicU64,
    /// When the current poll began, by its clock, plus one; zero outside of a poll.
    polling_since_ns: AtomicU64,
    /// The clock of the current poll, as a [`PollClock`].
    clock: AtomicU64,
    /// The thread that called [`ran_since_last_look`](Self::ran_since_last_look) last, and its CPU
    /// time then.
    looked_on: AtomicUsize,
    looked_at_ns: AtomicU64,
}

/// The clock that measures a poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PollClock {
    /// Wall-clock time.
    Wall,
    /// The CPU time of the thread.
    Thread,
}

impl Meter {
    /// A meter that adds to `cpu_time`.
    #[expect(
        clippy::disallowed_methods,
        reason = "busy time is a measurement, which the injected clock must not affect"
    )]
    pub fn new(cpu_time: Arc<CpuTime>) -> Self {
        Self {
            made: Instant::now(),
            cpu_time,
            excused_ns: AtomicU64::new(0),
            polling_since_ns: AtomicU64::new(0),
            clock: AtomicU64::new(PollClock::Wall as u64),
            looked_on: AtomicUsize::new(0),
            looked_at_ns: AtomicU64::new(0),
        }
    }

    /// The CPU time of this thread since the last call of this method. `None` on the first call, or
    /// if another thread made the last call. The result never includes time that other threads
    /// used, whichever clock measures the poll.
    pub fn ran_since_last_look(&self) -> Option<Duration> {
        thread_local!(static THREAD: u8 = const { 0 });
        let (thread, now) = (
            THREAD.with(|own| ptr::from_ref(own).addr()),
            self.read(PollClock::Thread),
        );
        let before = self.looked_at_ns.swap(now, Ordering::Relaxed);
        let is_same = self.looked_on.swap(thread, Ordering::Relaxed) == thread;
        is_same.then(|| Duration::from_nanos(now.saturating_sub(before)))
    }

    /// The busy time so far, including the current poll.
    pub fn busy(&self) -> Duration {
        let running = match self.polling_since_ns.load(Ordering::Relaxed) {
            0 => 0,
            since => (self.read(self.clock()) + 1).saturating_sub(since),
        };
        self.cpu_time.total() + Duration::from_nanos(running)
    }

    /// The busy time so far that counts against the budget.
    pub fn counted(&self) -> Duration {
        let excused = Duration::from_nanos(self.excused_ns.load(Ordering::Relaxed));
        self.busy().saturating_sub(excused)
    }

    /// Excludes `busy` from the budget. It is still recorded as used.
    pub fn excuse(&self, busy: Duration) {
        let busy = u64::try_from(busy.as_nanos()).unwrap_or(u64::MAX);
        self.excused_ns.fetch_add(busy, Ordering::Relaxed);
    }

    /// The wall-clock time since the meter was created, including waiting.
    pub fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.read(PollClock::Wall))
    }

    /// Runs `future` and counts the time of its polls. `clock` is called at the start of each poll
    /// to choose its clock.
    pub async fn measure<F: Future>(&self, clock: impl Fn() -> PollClock, future: F) -> F::Output {
        let mut future = pin!(future);
        poll_fn(|context| {
            let clock = clock();
            let since = self.read(clock);
            self.clock.store(clock as u64, Ordering::Relaxed);
            self.polling_since_ns.store(since + 1, Ordering::Relaxed);
            let poll = future.as_mut().poll(context);
            self.polling_since_ns.store(0, Ordering::Relaxed);
            let ran = self.read(clock).saturating_sub(since);
            self.cpu_time.add(Duration::from_nanos(ran));
            poll
        })
        .await
    }

    fn clock(&self) -> PollClock {
        if self.clock.load(Ordering::Relaxed) == PollClock::Thread as u64 {
            PollClock::Thread
        } else {
            PollClock::Wall
        }
    }

    fn read(&self, clock: PollClock) -> u64 {
        match clock {
            PollClock::Wall => u64::try_from(self.made.elapsed().as_nanos()).unwrap_or(u64::MAX - 1),
            PollClock::Thread => u64::try_from(thread_time().as_nanos()).unwrap_or(u64::MAX - 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compute() {
        let mut sum = 0_u64;
        for number in 0..2_000_000_u64 {
            sum = std::hint::black_box(sum.wrapping_add(number));
        }
    }

    #[tokio::test]
    async fn excused_time_is_busy_but_not_counted() {
        let meter = Meter::new(Arc::default());
        meter.measure(|| PollClock::Thread, async { compute() }).await;
        let busy = meter.busy();
        assert_eq!(meter.counted(), busy);
        meter.excuse(busy / 2);
        assert_eq!((meter.busy(), meter.counted()), (busy, busy - busy / 2));
        meter.excuse(2 * busy);
        assert_eq!(meter.counted(), Duration::ZERO);
    }

    #[tokio::test]
    async fn waiting_is_not_busy() {
        for clock in [PollClock::Wall, PollClock::Thread] {
            let meter = Meter::new(Arc::default());
            let work = async {
                compute();
                assert!(meter.busy() > Duration::ZERO);
                tokio::time::sleep(Duration::from_millis(30)).await;
            };
            meter.measure(|| clock, work).await;
            assert!(meter.busy() > Duration::ZERO);
            assert!(
                meter.busy() + Duration::from_millis(25) < meter.elapsed(),
                "{:?} {:?}",
                meter.busy(),
                meter.elapsed()
            );
        }
    }

    #[test]
    fn a_look_tells_how_long_the_thread_has_run() {
        let meter = Meter::new(Arc::default());
        assert_eq!(meter.ran_since_last_look(), None);
        std::thread::sleep(Duration::from_millis(30));
        assert!(meter.ran_since_last_look().unwrap() < Duration::from_millis(20));
        compute();
        assert!(meter.ran_since_last_look().unwrap() > Duration::ZERO);
        std::thread::scope(|scope| {
            scope.spawn(|| assert_eq!(meter.ran_since_last_look(), None));
        });
    }

    #[tokio::test]
    async fn time_that_the_thread_did_not_run_is_not_busy_in_the_background() {
        let meter = Meter::new(Arc::default());
        // Blocking the thread stands for preemption.
        let work = async { std::thread::sleep(Duration::from_millis(30)) };
        meter.measure(|| PollClock::Thread, work).await;
        assert!(meter.busy() < Duration::from_millis(20), "{:?}", meter.busy());
        let work = async { std::thread::sleep(Duration::from_millis(30)) };
        meter.measure(|| PollClock::Wall, work).await;
        assert!(meter.busy() >= Duration::from_millis(30), "{:?}", meter.busy());
    }
}
