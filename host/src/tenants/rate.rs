//! A rate limiter: a sustained rate of calls, and a burst of calls after a quiet period.
//!
//! It is the generic cell rate algorithm (GCRA, ITU-T I.371). One number holds the time at which
//! the bucket will be full again, so a check is one compare-and-swap and nothing has to be
//! refilled.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::domain::clock::Timestamp;

/// A limiter for one rate.
#[derive(Debug)]
pub struct RateLimiter {
    /// The microseconds that one call takes from the rate.
    interval: i64,
    /// The microseconds that calls may run ahead of the rate.
    tolerance: i64,
    burst: u32,
    /// The time in microseconds at which the bucket will be full again.
    full_at: AtomicI64,
}

/// The state of the limiter after a call was allowed or rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateDecision {
    /// The calls that may follow at once.
    pub remaining: u32,
    /// The calls that may come at once after a quiet period.
    pub burst: u32,
    /// After an allowed call, the time until the whole burst is available again. After a rejected
    /// call, the time until the next call is allowed.
    pub reset: Duration,
}

impl RateLimiter {
    /// Allows `calls` per `per` in the long run and `burst` at once.
    pub fn new(calls: NonZeroU32, per: Duration, burst: NonZeroU32) -> Self {
        let per = i64::try_from(per.as_micros()).unwrap_or(i64::MAX);
        let interval = (per / i64::from(calls.get())).max(1);
        let tolerance = interval.saturating_mul(i64::from(burst.get()));
        Self {
            interval,
            tolerance,
            burst: burst.get(),
            full_at: AtomicI64::new(i64::MIN),
        }
    }

    /// Checks and counts a call. An error says when the next call will be allowed.
    pub fn check(&self, now: Timestamp) -> Result<RateDecision, RateDecision> {
        let now = now.0.saturating_mul(1_000);
        let mut full_at = self.full_at.load(Ordering::Relaxed);
        loop {
            let next = self.taken(full_at, now).saturating_add(self.interval);
            let ahead = next - now;
            if ahead > self.tolerance {
                return Err(self.decision(0, ahead - self.tolerance));
            }
            match self
                .full_at
                .compare_exchange_weak(full_at, next, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => return Ok(self.decision((self.tolerance - ahead) / self.interval, ahead)),
                Err(actual) => full_at = actual,
            }
        }
    }

    /// Counts a call that is always allowed. It delays later checked calls, but by no more than the
    /// time of one additional burst.
    pub fn charge(&self, now: Timestamp) {
        let now = now.0.saturating_mul(1_000);
        let next = |full_at| {
            let next = self.taken(full_at, now).saturating_add(self.interval);
            Some(next.min(self.furthest(now)))
        };
        // The closure always returns a value, so this cannot fail.
        let _ = self
            .full_at
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
    }

    /// The time at which the bucket will be full again, at least `now`.
    fn taken(&self, full_at: i64, now: i64) -> i64 {
        // A later time means that the clock was set back. The count then starts again, so that
        // callers do not wait until the old time is reached.
        if full_at > self.furthest(now) {
            now
        } else {
            full_at.max(now)
        }
    }

    /// The latest time to which calls are ever counted.
    fn furthest(&self, now: i64) -> i64 {
        now.saturating_add(self.tolerance.saturating_mul(2))
    }

    fn decision(&self, remaining: i64, reset: i64) -> RateDecision {
        RateDecision {
            remaining: u32::try_from(remaining).unwrap_or(u32::MAX),
            burst: self.burst,
            reset: Duration::from_micros(u64::try_from(reset).unwrap_or(0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter(calls: u32, burst: u32) -> RateLimiter {
        let number = |number| NonZeroU32::new(number).unwrap();
        RateLimiter::new(number(calls), Duration::from_secs(1), number(burst))
    }

    #[test]
    fn the_burst_is_let_through_and_the_next_call_is_not() {
        let limiter = limiter(10, 3);
        let now = Timestamp(1_700_000_000_000);
        for remaining in [2, 1, 0] {
            assert_eq!(limiter.check(now).unwrap().remaining, remaining);
        }
        assert_eq!(limiter.check(now).unwrap_err().reset, Duration::from_millis(100));
    }

    #[test]
    fn calls_come_back_at_the_rate() {
        let limiter = limiter(10, 1);
        assert!(limiter.check(Timestamp(0)).is_ok());
        assert!(limiter.check(Timestamp(99)).is_err());
        assert!(limiter.check(Timestamp(100)).is_ok());
        assert!(limiter.check(Timestamp(150)).is_err());
    }

    #[test]
    fn a_clock_that_is_set_back_makes_nobody_wait_for_long() {
        let limiter = limiter(10, 1);
        assert!(limiter.check(Timestamp(3_600_000)).is_ok());
        assert!(limiter.check(Timestamp(0)).is_ok());
        assert!(limiter.check(Timestamp(50)).is_err());
        assert!(limiter.check(Timestamp(100)).is_ok());
    }

    #[test]
    fn a_charge_counts_and_is_never_refused() {
        let limiter = limiter(10, 2);
        let now = Timestamp(1_700_000_000_000);
        limiter.charge(now);
        assert_eq!(limiter.check(now).unwrap().remaining, 0);
        for _ in 0..1_000 {
            limiter.charge(now);
        }
        let refused = limiter.check(now).unwrap_err();
        assert_eq!(refused.reset, Duration::from_millis(300), "as after four calls");
        assert!(limiter.check(Timestamp(now.0 + 299)).is_err());
        assert!(limiter.check(Timestamp(now.0 + 300)).is_ok());
    }

    #[test]
    fn a_quiet_time_gives_no_more_than_the_burst() {
        let limiter = limiter(10, 2);
        let later = Timestamp(3_600_000);
        assert_eq!(
            [later; 3].map(|now| limiter.check(now).is_ok()),
            [true, true, false]
        );
    }
}
