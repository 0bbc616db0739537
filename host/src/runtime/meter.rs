//! Busy time: how long a future was being polled, which is what a guest's CPU budget is counted in.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Counts the busy time of one invocation. The thread that polls writes it; the epoch callback, on the same thread,
/// reads it.
pub struct Meter {
    made: Instant,
    busy_ns: AtomicU64,
    /// When the poll under way began, in nanoseconds after `made`, plus one; zero where none is under way.
    polling_since_ns: AtomicU64,
}

impl Meter {
    /// Nothing counted yet.
    #[expect(
        clippy::disallowed_methods,
        reason = "busy time is measured, not decided by the host's clock"
    )]
    pub fn new() -> Self {
        Self {
            made: Instant::now(),
            busy_ns: AtomicU64::new(0),
            polling_since_ns: AtomicU64::new(0),
        }
    }

    /// The busy time so far, the poll under way included.
    pub fn busy(&self) -> Duration {
        let running = match self.polling_since_ns.load(Ordering::Relaxed) {
            0 => 0,
            since => (self.elapsed_ns() + 1).saturating_sub(since),
        };
        Duration::from_nanos(self.busy_ns.load(Ordering::Relaxed) + running)
    }

    /// The time since the meter was made, waiting included.
    pub fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.elapsed_ns())
    }

    /// Runs `future` and counts the time that its polls take.
    pub async fn measure<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        poll_fn(|context| {
            let since = self.elapsed_ns();
            self.polling_since_ns.store(since + 1, Ordering::Relaxed);
            let poll = future.as_mut().poll(context);
            self.polling_since_ns.store(0, Ordering::Relaxed);
            self.busy_ns
                .fetch_add(self.elapsed_ns().saturating_sub(since), Ordering::Relaxed);
            poll
        })
        .await
    }

    fn elapsed_ns(&self) -> u64 {
        u64::try_from(self.made.elapsed().as_nanos()).unwrap_or(u64::MAX - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waiting_is_not_busy() {
        let meter = Meter::new();
        meter
            .measure(async {
                let mut sum = 0_u64;
                for number in 0..2_000_000_u64 {
                    sum = std::hint::black_box(sum.wrapping_add(number));
                }
                tokio::time::sleep(Duration::from_millis(30)).await;
            })
            .await;
        assert!(meter.busy() > Duration::ZERO);
        assert!(
            meter.busy() + Duration::from_millis(25) < meter.elapsed(),
            "{:?} {:?}",
            meter.busy(),
            meter.elapsed()
        );
    }
}
