//! The allocator of the process: mimalloc, with a count of allocated bytes per thread. The count
//! measures how much memory a component takes once it is loaded ([`growth`]).
//!
//! mimalloc is used because the system's allocator takes a lock when a thread frees memory that
//! another thread allocated, which happens in every request.

#![expect(
    unsafe_code,
    reason = "`GlobalAlloc` is an unsafe trait; each method passes its arguments to mimalloc unchanged"
)]

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;

use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    /// Bytes that this thread has allocated, minus the bytes that it has freed. Memory that is
    /// allocated on this thread and freed on another one stays counted, so only the difference over
    /// one piece of work is meaningful.
    static BYTES: Cell<isize> = const { Cell::new(0) };
}

struct Counting;

/// Runs `work`. Returns its result and the number of bytes by which this thread's allocations grew.
pub fn growth<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = BYTES.get();
    let done = work();
    let grown = BYTES.get().wrapping_sub(before);
    (done, usize::try_from(grown).unwrap_or(0))
}

fn count(bytes: usize, sign: isize) {
    // No allocation has more bytes than an `isize` holds.
    BYTES.set(BYTES.get().wrapping_add(sign.wrapping_mul(bytes.cast_signed())));
}

// SAFETY: each method passes its arguments to mimalloc unchanged and returns mimalloc's result. The
// count is a thread-local cell without a destructor, so it allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: the caller upholds the contract of `alloc`.
        unsafe { MiMalloc.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: the caller upholds the contract of `alloc_zeroed`.
        unsafe { MiMalloc.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(layout.size(), -1);
        // SAFETY: the caller upholds the contract of `dealloc`.
        unsafe { MiMalloc.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(layout.size(), -1);
        count(size, 1);
        // SAFETY: the caller upholds the contract of `realloc`.
        unsafe { MiMalloc.realloc(pointer, layout, size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_piece_of_work_leaves_is_counted() {
        let (kept, bytes) = growth(|| {
            drop(vec![0_u8; 1 << 20]);
            let mut kept = vec![1_u8; 10_000];
            kept.reserve_exact(90_000);
            kept
        });
        assert_eq!((kept.capacity(), bytes), (100_000, 100_000));
        assert_eq!(growth(|| drop(kept)).1, 0);
    }
}
