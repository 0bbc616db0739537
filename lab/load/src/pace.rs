//! The schedule of an open loop: when its requests are due.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

/// The longest time between two checks of the stop flag.
const GLANCE: Duration = Duration::from_millis(50);

/// The time after the end in which due requests may still be sent.
const GRACE: Duration = Duration::from_millis(250);

/// Enough permits to wake up every waiting connection.
const EVERYBODY: usize = 1 << 20;

/// A schedule and its progress. A thread releases requests when they are due, and connections take
/// them.
///
/// tokio's timer has a resolution of a millisecond, which is the whole latency of a fast server. So
/// a sleeping thread keeps the pace.
pub struct Pace {
    begin: Instant,
    rate: f64,
    end: Instant,
    requests: u64,
    due: Semaphore,
    given: AtomicU64,
    taken: AtomicU64,
    sent: AtomicU64,
}

impl Pace {
    /// `rate` requests a second from `begin` on, for `duration`.
    pub fn new(begin: Instant, rate: f64, duration: Duration) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a number of requests that a test can send"
        )]
        let requests = (rate * duration.as_secs_f64()).round() as u64;
        Self {
            begin,
            rate,
            end: begin + duration,
            requests,
            due: Semaphore::new(0),
            given: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            sent: AtomicU64::new(0),
        }
    }

    /// Releases requests when they are due, until all are released or `stop` is set. Blocks.
    pub fn keep(&self, stop: &AtomicBool) {
        let mut given = 0;
        while given < self.requests && !stop.load(Ordering::Relaxed) {
            let now = Instant::now();
            let mut due = 0;
            while given < self.requests && self.moment(given) <= now {
                given += 1;
                due += 1;
            }
            self.given.store(given, Ordering::SeqCst);
            self.due.add_permits(due);
            if given < self.requests {
                let wait = self.moment(given).saturating_duration_since(Instant::now());
                std::thread::sleep(wait.min(GLANCE));
            }
        }
        // This wakes up the waiting connections, which then see the end.
        self.due.add_permits(EVERYBODY);
    }

    /// Waits for the next request and returns the time at which it was due.
    pub async fn next(&self) -> Option<Instant> {
        self.due.acquire().await.ok()?.forget();
        let index = self.taken.fetch_add(1, Ordering::SeqCst);
        if index >= self.given.load(Ordering::SeqCst) || Instant::now() > self.end + GRACE {
            return None;
        }
        self.sent.fetch_add(1, Ordering::Relaxed);
        Some(self.moment(index))
    }

    /// The number of due requests that were not sent.
    pub fn left(&self) -> u64 {
        self.given
            .load(Ordering::SeqCst)
            .saturating_sub(self.sent.load(Ordering::SeqCst))
    }

    fn moment(&self, index: u64) -> Instant {
        #[expect(clippy::cast_precision_loss, reason = "far fewer requests than 2^52")]
        let after = index as f64 / self.rate;
        self.begin + Duration::from_secs_f64(after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_due_at_the_rate() {
        let begin = Instant::now();
        let pace = Pace::new(begin, 200.0, Duration::from_secs(2));
        assert_eq!(pace.requests, 400);
        assert_eq!(pace.moment(0), begin);
        assert_eq!(pace.moment(200), begin + Duration::from_secs(1));
    }

    #[tokio::test]
    async fn who_comes_late_is_told_when_it_was_due() {
        let begin = Instant::now();
        let pace = Pace::new(begin, 1_000.0, Duration::from_millis(20));
        // Nothing is taken until all requests are due.
        pace.keep(&AtomicBool::new(false));
        assert!(begin.elapsed() >= Duration::from_millis(19));
        for index in 0..20 {
            assert_eq!(pace.next().await, Some(pace.moment(index)));
        }
        assert_eq!((pace.next().await, pace.left()), (None, 0));
    }

    #[tokio::test]
    async fn what_nobody_comes_for_is_left() {
        let long_ago = Instant::now() - 2 * GRACE;
        let pace = Pace::new(long_ago, 1_000.0, Duration::from_millis(20));
        pace.keep(&AtomicBool::new(false));
        assert_eq!((pace.next().await, pace.left()), (None, 20));
    }

    #[tokio::test]
    async fn a_pace_that_is_stopped_hands_out_nothing_more() {
        let pace = Pace::new(Instant::now(), 1.0, Duration::from_secs(3_600));
        pace.keep(&AtomicBool::new(true));
        assert_eq!((pace.next().await, pace.left()), (None, 0));
    }
}
