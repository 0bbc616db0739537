//! Gauges whose count cannot drift: each counted item holds a guard that decrements the gauge when
//! it is dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::metrics::per_thread::PerThread;

/// The number of items that exist now.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<PerThread<AtomicI64>>);

/// A counted item. It counts until this guard is dropped, which also happens if a request is
/// cancelled or panics.
#[derive(Debug)]
pub struct GaugeGuard(Gauge);

impl Gauge {
    /// Increments the gauge until the returned guard is dropped.
    #[must_use = "the item counts only while the guard is held"]
    pub fn hold(&self) -> GaugeGuard {
        self.0.own().fetch_add(1, Ordering::Relaxed);
        GaugeGuard(self.clone())
    }

    /// The current number.
    pub fn get(&self) -> u64 {
        // If one thread increments and another decrements, single values may be negative, but the
        // sum is right.
        let all = self.0.all().map(|count| count.load(Ordering::Relaxed));
        u64::try_from(all.sum::<i64>()).unwrap_or(0)
    }
}

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        self.0.0.own().fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_is_counted_no_more() {
        let gauge = Gauge::default();
        let (first, second) = (gauge.hold(), gauge.hold());
        assert_eq!(gauge.get(), 2);
        drop(first);
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _held = second;
            std::panic::resume_unwind(Box::new(()));
        }));
        assert!(panicked.is_err());
        assert_eq!(gauge.get(), 0);
        let elsewhere = gauge.hold();
        std::thread::spawn(move || drop(elsewhere)).join().unwrap();
        assert_eq!(gauge.get(), 0);
    }
}
