//! Gauges that cannot be left behind: what is counted holds its place, and gives it back when it is dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::metrics::per_thread::PerThread;

/// How many of something there are now.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<PerThread<AtomicI64>>);

/// One of what a gauge counts. It is counted until this is dropped, however that comes about: a request that is
/// cancelled, or a panic, drops it too.
#[derive(Debug)]
pub struct Held(Gauge);

impl Gauge {
    /// Counts one more.
    #[must_use = "it is counted only for as long as this is held"]
    pub fn hold(&self) -> Held {
        self.0.own().fetch_add(1, Ordering::Relaxed);
        Held(self.clone())
    }

    /// How many there are.
    pub fn get(&self) -> u64 {
        // What one thread took and another gave back leaves the values of both above and below zero.
        let all = self.0.all().map(|count| count.load(Ordering::Relaxed));
        u64::try_from(all.sum::<i64>()).unwrap_or(0)
    }
}

impl Drop for Held {
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
