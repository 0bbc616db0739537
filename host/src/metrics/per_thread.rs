//! What many threads write and few read: each thread writes its own, so that none waits for the memory of another.

use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam_utils::CachePadded;

/// Stripes. Threads beyond these share theirs, which costs time and nothing else.
const STRIPES: usize = 16;

/// A `T` for each of some threads.
#[derive(Debug)]
pub struct Striped<T>(Box<[CachePadded<T>]>);

impl<T> Striped<T> {
    /// That of this thread.
    pub fn own(&self) -> &T {
        &self.0[stripe()]
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &T> + Clone {
        self.0.iter().map(|padded| &**padded)
    }
}

impl<T: Default> Default for Striped<T> {
    fn default() -> Self {
        Self((0..STRIPES).map(|_| CachePadded::default()).collect())
    }
}

/// The stripe of this thread, given out in turn.
fn stripe() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static STRIPE: usize = NEXT.fetch_add(1, Ordering::Relaxed) % STRIPES);
    STRIPE.with(|stripe| *stripe)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    #[test]
    fn what_threads_count_adds_up() {
        let counts = Striped::<AtomicU64>::default();
        std::thread::scope(|scope| {
            for _ in 0..2 * STRIPES {
                scope.spawn(|| counts.own().fetch_add(1, Ordering::Relaxed));
            }
        });
        let all: Vec<u64> = counts.all().map(|count| count.load(Ordering::Relaxed)).collect();
        assert_eq!(all.iter().sum::<u64>(), 2 * STRIPES as u64);
        assert!(all.iter().filter(|count| **count > 0).count() > 1, "{all:?}");
    }
}
