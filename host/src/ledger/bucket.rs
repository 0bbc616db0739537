//! Limits the bytes of a tenant's log lines with a token bucket: it fills at the tenant's rate, up
//! to its burst.

use std::sync::{Mutex, PoisonError};

use crate::domain::clock::Timestamp;
use crate::domain::limits::Limits;

/// The bytes that one tenant may log now.
#[derive(Debug)]
pub(super) struct Bucket(Mutex<Level>);

#[derive(Debug)]
struct Level {
    /// In thousandths of a byte, so that short periods are not lost to rounding.
    left: u64,
    at: Timestamp,
}

impl Bucket {
    pub fn full(limits: &Limits, now: Timestamp) -> Self {
        Self(Mutex::new(Level {
            left: thousandths(limits.log_burst.0),
            at: now,
        }))
    }

    /// Takes the `sizes` one by one until one does not fit. Returns how many were taken.
    pub fn take(&self, limits: &Limits, now: Timestamp, sizes: impl Iterator<Item = u64>) -> usize {
        let mut level = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // If the clock was set back, nothing is added, and nobody waits until the old time is
        // reached.
        let passed = u64::try_from(now.0.saturating_sub(level.at.0)).unwrap_or(0);
        let come = passed.saturating_mul(limits.log_bytes_per_second.0);
        level.left = level
            .left
            .saturating_add(come)
            .min(thousandths(limits.log_burst.0));
        level.at = now;
        let mut taken = 0;
        for size in sizes {
            let Some(left) = level.left.checked_sub(thousandths(size)) else {
                break;
            };
            level.left = left;
            taken += 1;
        }
        taken
    }
}

fn thousandths(bytes: u64) -> u64 {
    bytes.saturating_mul(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::units::ByteSize;

    fn limits(rate: u64, burst: u64) -> Limits {
        Limits {
            log_bytes_per_second: ByteSize(rate),
            log_burst: ByteSize(burst),
            ..Limits::default()
        }
    }

    #[test]
    fn the_burst_is_met_exactly() {
        let limits = limits(10, 100);
        let take = |sizes: &[u64]| {
            let bucket = Bucket::full(&limits, Timestamp(0));
            bucket.take(&limits, Timestamp(0), sizes.iter().copied())
        };
        assert_eq!(take(&[50, 49]), 2);
        assert_eq!(take(&[50, 50]), 2);
        assert_eq!(take(&[50, 51]), 1);
        // The first size that does not fit ends the call, because a later line without the earlier
        // ones would mislead.
        assert_eq!(take(&[50, 51, 1]), 1);
    }

    #[test]
    fn bytes_come_back_at_the_rate_and_not_beyond_the_burst() {
        let limits = limits(10, 100);
        let bucket = Bucket::full(&limits, Timestamp(0));
        let take = |at, size| bucket.take(&limits, Timestamp(at), std::iter::once(size)) == 1;
        assert!(take(0, 100));
        assert!(!take(99, 1));
        assert!(take(100, 1));
        assert!(!take(1_099, 10));
        assert!(take(1_100, 10));
        assert!(!take(3_600_000, 101));
        assert!(take(3_600_000, 100));
    }

    #[test]
    fn a_clock_that_is_set_back_makes_nobody_wait_for_long() {
        let limits = limits(10, 10);
        let bucket = Bucket::full(&limits, Timestamp(3_600_000));
        let take = |at, size| bucket.take(&limits, Timestamp(at), std::iter::once(size)) == 1;
        assert!(take(3_600_000, 10));
        assert!(!take(0, 10));
        assert!(take(1_000, 10));
    }
}
