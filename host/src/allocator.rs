//! The process's allocator: mimalloc, with a count of allocated bytes for each thread. The count measures how
//! much memory a component takes once it is loaded ([`growth`]).
//!
//! It is mimalloc because the system's allocator takes locks when a thread frees what another one has
//! allocated, as happens in each request.

#![expect(
    unsafe_code,
    reason = "an allocator can only be written with it; each method hands its arguments on to mimalloc unchanged"
)]

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;

use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    /// Bytes that this thread has allocated, less the bytes that it has freed. What is allocated here and
    /// freed elsewhere stays counted, so only differences within one piece of work mean something.
    static BYTES: Cell<isize> = const { Cell::new(0) };
}

struct Counting;

/// Runs `work` and returns by how many bytes this thread's allocations grew.
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

// SAFETY: each method hands its arguments on to mimalloc unchanged, and returns what that returns. The count
// is a cell of the thread without a destructor, which allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: the caller promises what `alloc` asks for.
        unsafe { MiMalloc.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: the caller promises what `alloc_zeroed` asks for.
        unsafe { MiMalloc.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(layout.size(), -1);
        // SAFETY: the caller promises what `dealloc` asks for.
        unsafe { MiMalloc.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(layout.size(), -1);
        count(size, 1);
        // SAFETY: the caller promises what `realloc` asks for.
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
