//! Remembers whether guests of a route or function ran long recently, so that the next one begins
//! in the background.

use std::sync::atomic::{AtomicU32, Ordering};

/// The number of consecutive short guests after which a route with a long guest begins in the
/// foreground again. If all guests of a route run long, only about one in a hundred then takes a
/// foreground thread for a tick.
const PROBATION: u32 = 100;

/// Whether the guests of one route or function of a version run long. This is a prediction that
/// decides only where a guest begins. The ticks and the limits are the same on both kinds of
/// threads.
#[derive(Debug, Default)]
pub struct LongRunning {
    /// The number of short guests that are still needed.
    wanted: AtomicU32,
    /// Whether all guests begin in the background, however short they are.
    is_fixed: bool,
}

impl LongRunning {
    /// For guests that always begin in the background, because nobody waits for them.
    pub fn always() -> Self {
        Self {
            is_fixed: true,
            ..Self::default()
        }
    }

    /// Whether the next guest is expected to run for longer than a tick.
    pub fn is_long(&self) -> bool {
        self.is_fixed || self.wanted.load(Ordering::Relaxed) > 0
    }

    /// Records that a guest ran for longer than a tick.
    pub fn ran_long(&self) {
        self.wanted.store(PROBATION, Ordering::Relaxed);
    }

    /// Records that a guest ended within a tick.
    pub fn ran_short(&self) {
        if !self.is_fixed && self.is_long() {
            let less = |wanted: u32| wanted.checked_sub(1);
            // An error means that other threads have reached zero in the meantime.
            let _ = self
                .wanted
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_guest_is_remembered_until_many_were_short() {
        let long_running = LongRunning::default();
        long_running.ran_short();
        assert!(!long_running.is_long());
        long_running.ran_long();
        for _ in 0..PROBATION {
            assert!(long_running.is_long());
            long_running.ran_short();
        }
        assert!(!long_running.is_long());
    }

    #[test]
    fn background_work_stays_in_the_background() {
        let background = LongRunning::always();
        for _ in 0..2 * PROBATION {
            background.ran_short();
            assert!(background.is_long());
        }
    }
}
