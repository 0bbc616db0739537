//! Remembers whether the guests of a route ran long lately: the next one then begins in the background.

use std::sync::atomic::{AtomicU32, Ordering};

/// Guests that have to be short, one after the other, until a route with a long one begins in front again. With this,
/// of a crowd that runs long only about one in a hundred takes a thread from the connections for a tick.
const PROBATION: u32 = 100;

/// Whether the guests of one route of one version run long. It is a guess from the past, and decides only
/// where a guest begins: on either threads it is interrupted at the same ticks, under the same limits.
#[derive(Debug, Default)]
pub struct LongRunning {
    /// Short ones that are still wanted.
    wanted: AtomicU32,
}

impl LongRunning {
    /// Whether the next guest is expected to run for longer than a tick.
    pub fn is_long(&self) -> bool {
        self.wanted.load(Ordering::Relaxed) > 0
    }

    /// A guest ran for longer than a tick.
    pub fn ran_long(&self) {
        self.wanted.store(PROBATION, Ordering::Relaxed);
    }

    /// A guest ended within a tick.
    pub fn ran_short(&self) {
        if self.is_long() {
            let less = |wanted: u32| wanted.checked_sub(1);
            // Others may have brought it to zero meanwhile, which is as good.
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
}
