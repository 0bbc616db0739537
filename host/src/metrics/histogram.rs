//! A histogram of durations, without locks. The histogram of the metrics library takes a lock for
//! each observation.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The upper bounds of the buckets, in microseconds. One more bucket counts longer durations.
const BOUNDS_US: [u64; 14] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000,
];

/// Counts durations by bucket.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BOUNDS_US.len() + 1],
    sum_us: AtomicU64,
}

/// The contents of histograms.
#[derive(Clone, Debug, PartialEq)]
pub struct Distribution {
    /// The sum in seconds.
    pub sum: f64,
    /// The number of observations.
    pub count: u64,
    /// The upper bound of each bucket in seconds, and its own count (not cumulative).
    pub buckets: Vec<(f64, u64)>,
}

impl Histogram {
    /// Counts a duration.
    pub fn observe(&self, duration: Duration) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_US.partition_point(|bound| *bound < us);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    /// The sum of several histograms.
    pub fn distribution<'a>(all: impl Iterator<Item = &'a Self> + Clone) -> Distribution {
        let sum = |count: &dyn Fn(&'a Self) -> &'a AtomicU64| -> u64 {
            let counts = all.clone().map(count);
            counts.map(|count| count.load(Ordering::Relaxed)).sum()
        };
        let bounds = BOUNDS_US
            .iter()
            .map(|bound| Duration::from_micros(*bound).as_secs_f64())
            .chain([f64::INFINITY]);
        let counted = bounds.enumerate();
        let counted = counted.map(|(bucket, bound)| (bound, sum(&|own| &own.buckets[bucket])));
        let buckets: Vec<(f64, u64)> = counted.collect();
        Distribution {
            sum: Duration::from_micros(sum(&|own| &own.sum_us)).as_secs_f64(),
            count: buckets.iter().map(|(_, count)| count).sum(),
            buckets,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_duration_counts_in_the_first_bucket_that_holds_it() {
        let histograms = [Histogram::default(), Histogram::default()];
        for (number, us) in [1, 500, 501, 10_000_000, 10_000_001].into_iter().enumerate() {
            histograms[number % 2].observe(Duration::from_micros(us));
        }
        let Distribution { sum, count, buckets } = Histogram::distribution(histograms.iter());
        let filled: Vec<(f64, u64)> = buckets.into_iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(filled, [(0.0005, 2), (0.001, 1), (10.0, 1), (f64::INFINITY, 1)]);
        assert_eq!(count, 5);
        assert!((sum - 20.001_003).abs() < 1e-9, "{sum}");
    }
}
