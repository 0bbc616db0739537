//! Charges the memory that SQLite takes to the tenant that it works for.
//!
//! SQLite asks one allocator for the whole process. The one here knows which tenant's [`Budget`]
//! the calling thread works for, and refuses what the budget does not cover; SQLite then fails that
//! statement with `SQLITE_NOMEM` and nobody else notices. The control plane works for no budget, so
//! it is never refused. Before each allocation stands a header that names the budget which paid, so
//! that the right one is credited, whichever thread frees it.
//!
//! The allocator is also a clock: it refuses memory to a statement whose time is over. SQLite looks
//! at the clock itself only where its programs jump, but straight code that makes values allocates.
//!
//! And it looks after the stack. SQLite compiles by recursion: into expressions, whose depth it
//! limits, and from there into generated columns, triggers and foreign keys that lead to each
//! other, whose number it does not. Each of those steps allocates, so memory is refused where much
//! of the stack is used.

#![expect(
    unsafe_code,
    reason = "SQLite calls its allocator through C function pointers; the argument stands at each use"
)]

use std::alloc::{Layout, alloc, dealloc, realloc};
use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicI64, Ordering};

use rusqlite::ffi;

use super::watch::Watch;
use crate::domain::units::ByteSize;
use crate::unguarded::{Guard, is_off};

/// SQL memory of all tenants together.
const HOST_BYTES: i64 = 1024 * 1024 * 1024;

/// Memory that a tenant may always take, even if [`HOST_BYTES`] is used up.
const OWN_BYTES: i64 = 4 * 1024 * 1024;

/// The sum over all tenants is kept in steps of this size, so that threads rarely meet there.
const STEP_BYTES: i64 = 256 * 1024;

/// Stands in a budget's count as long as somebody holds the [`Budget`]; far more than all memory.
const OWNED: i64 = 1 << 62;

/// Stack that SQL may have used when it allocates; beyond this, memory is refused. An expression of
/// the deepest allowed kind uses up to 900 KiB more without allocating, which fits into a thread's
/// 2 MiB.
const STACK_BYTES: usize = 768 * 1024;

/// Between two looks at the clock pass so many allocations, or one of so many times
/// [`LARGE_BYTES`].
const ALLOCATIONS_PER_LOOK: i64 = 64;

/// An allocation of this size counts twice, since its content takes time as well.
const LARGE_BYTES: i64 = 4096;

/// Bytes of the header; a multiple of the strictest alignment that SQLite needs, which is 8.
const HEADER_BYTES: usize = size_of::<Header>();

/// Bytes that all tenants have taken, in steps.
static HOST_TAKEN: AtomicI64 = AtomicI64::new(0);

thread_local! {
    static WORK: Work = const {
        Work {
            budget: Cell::new(ptr::null()),
            watch: Cell::new(ptr::null()),
            until_look: Cell::new(ALLOCATIONS_PER_LOOK),
            most: Cell::new(0),
            refusal: Cell::new(None),
            stack: Cell::new(0),
        }
    };
}

/// The memory that one tenant's SQL may take. Allocations that outlive it credit it all the same.
#[derive(Debug)]
pub struct Budget(NonNull<Count>);

/// Why memory was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// The tenant has taken all that its limit allows.
    Tenant,
    /// All tenants together have taken all that there is for SQL.
    Host,
    /// The system has none.
    System,
    /// The statement's time is over.
    Late,
    /// The statement is nested too deeply.
    Deep,
}

/// What the current thread works for.
struct Work {
    budget: Cell<*const Count>,
    watch: Cell<*const Watch>,
    until_look: Cell<i64>,
    /// The most bytes that the budget's tenant had taken.
    most: Cell<i64>,
    refusal: Cell<Option<Shortage>>,
    /// Where the thread's stack stood when the work began; zero where no work does.
    stack: Cell<usize>,
}

/// A budget, as the allocator sees it.
#[derive(Debug)]
struct Count {
    /// Bytes that are taken, and [`OWNED`] as long as the [`Budget`] is there. The thread
    /// that makes it zero frees it.
    taken: AtomicI64,
    limit: AtomicI64,
    /// The most that was taken during the last piece of work.
    most: AtomicI64,
}

/// Stands before each allocation.
#[repr(C, align(16))]
struct Header {
    /// Bytes that SQLite asked for.
    bytes: usize,
    /// Who paid; null where nobody did.
    payer: *const Count,
}

/// The functions by which SQLite allocates.
pub fn methods() -> ffi::sqlite3_mem_methods {
    ffi::sqlite3_mem_methods {
        xMalloc: Some(x_malloc),
        xFree: Some(x_free),
        xRealloc: Some(x_realloc),
        xSize: Some(x_size),
        xRoundup: Some(x_roundup),
        xInit: Some(x_init),
        xShutdown: Some(x_shutdown),
        pAppData: ptr::null_mut(),
    }
}

/// Runs `work` with what SQLite allocates on this thread charged to `budget`.
pub fn charged<T>(budget: &Budget, work: impl FnOnce() -> T) -> T {
    struct Restore(*const Count, usize);
    impl Drop for Restore {
        fn drop(&mut self) {
            WORK.with(|current| {
                current.budget.set(self.0);
                current.stack.set(self.1);
            });
        }
    }
    WORK.with(|current| {
        let budget_before = current.budget.replace(budget.0.as_ptr());
        let _restore = Restore(budget_before, current.stack.replace(stack_position()));
        current.refusal.set(None);
        current.most.set(budget.taken());
        let done = work();
        budget.count().most.store(current.most.get(), Ordering::Relaxed);
        done
    })
}

/// Runs `work` and refuses it memory once `watch` says that its time is over.
pub fn watched<T>(watch: &Watch, work: impl FnOnce() -> T) -> T {
    struct Restore(*const Watch);
    impl Drop for Restore {
        fn drop(&mut self) {
            WORK.with(|current| current.watch.set(self.0));
        }
    }
    WORK.with(|current| {
        let _restore = Restore(current.watch.replace(watch));
        work()
    })
}

/// Why memory was refused last on this thread, since its work or the statement began.
pub fn refusal() -> Option<Shortage> {
    WORK.with(|current| current.refusal.get())
}

/// A statement begins, for which nothing was refused yet.
pub fn begin_statement() {
    WORK.with(|current| current.refusal.set(None));
}

/// Writes down the most that the thread's work has taken so far, where the work goes on for long.
pub fn note_most(budget: &Budget) {
    WORK.with(|current| budget.count().most.store(current.most.get(), Ordering::Relaxed));
}

/// Whether the thread's work has used so much of the stack that it must not go deeper.
pub fn is_deep() -> bool {
    WORK.with(|current| match current.stack.get() {
        0 => false,
        stack => stack.abs_diff(stack_position()) > STACK_BYTES,
    })
}

/// Where the thread's stack stands, about.
#[inline(never)]
fn stack_position() -> usize {
    let here = 0_u8;
    (&raw const here).addr()
}

impl Budget {
    /// A budget of `limit`.
    pub fn new(limit: ByteSize) -> Self {
        let count = Box::new(Count {
            taken: AtomicI64::new(OWNED),
            limit: AtomicI64::new(0),
            most: AtomicI64::new(0),
        });
        let budget = Self(NonNull::from(Box::leak(count)));
        budget.set_limit(limit);
        budget
    }

    /// Another limit from now on. What is taken stays.
    pub fn set_limit(&self, limit: ByteSize) {
        let limit = i64::try_from(limit.0).unwrap_or(i64::MAX).min(OWNED - 1);
        self.count().limit.store(limit, Ordering::Relaxed);
    }

    /// The limit.
    pub fn limit(&self) -> ByteSize {
        if is_off(Guard::SqlMemory) {
            return ByteSize(u64::MAX);
        }
        ByteSize(u64::try_from(self.count().limit.load(Ordering::Relaxed)).unwrap_or(0))
    }

    /// The most bytes that were taken during the last piece of work.
    pub fn most(&self) -> u64 {
        u64::try_from(self.count().most.load(Ordering::Relaxed)).unwrap_or(0)
    }

    /// Bytes that are taken now.
    pub fn taken(&self) -> i64 {
        self.count().taken.load(Ordering::Relaxed) & (OWNED - 1)
    }

    fn count(&self) -> &Count {
        // SAFETY: `Count::add` frees it when its number is zero, which it is not while this is
        // there: see `OWNED`.
        unsafe { self.0.as_ref() }
    }
}

// SAFETY: a budget is a few atomic numbers, and `Count::add` decides atomically which thread frees
// them.
unsafe impl Send for Budget {}
// SAFETY: the same.
unsafe impl Sync for Budget {}

impl Drop for Budget {
    fn drop(&mut self) {
        // SAFETY: `OWNED` was put in by `new` and is taken out once, here.
        unsafe { Count::add(self.0.as_ptr(), -OWNED) };
    }
}

impl Count {
    /// Adds to what is taken, here and over all tenants, and answers what is taken then. Frees the
    /// budget where nobody holds it and nothing is taken any more.
    ///
    /// # Safety
    ///
    /// `count` is a budget that somebody holds or that something is charged to, so that it is there
    /// when this is called; what is taken out was put in.
    unsafe fn add(count: *const Count, bytes: i64) -> i64 {
        // SAFETY: the caller's promise.
        let before = unsafe { &*count }.taken.fetch_add(bytes, Ordering::AcqRel);
        let after = before + bytes;
        let steps = |taken: i64| (taken & (OWNED - 1)) / STEP_BYTES * STEP_BYTES;
        let change = steps(after) - steps(before);
        if change != 0 {
            HOST_TAKEN.fetch_add(change, Ordering::Relaxed);
        }
        if after == 0 {
            // SAFETY: it was made by `Box`. Its number is zero for the one thread that took out the
            // last of what was put in: nobody holds it, no header names it, so that nobody can
            // reach it any more.
            drop(unsafe { Box::from_raw(count.cast_mut()) });
        }
        after & (OWNED - 1)
    }

    /// Charges `bytes` more, unless that is too much.
    ///
    /// # Safety
    ///
    /// As for `add`.
    unsafe fn charge(count: *const Count, bytes: i64) -> Result<(), Shortage> {
        if count.is_null() {
            return Ok(());
        }
        // SAFETY: the caller's promise.
        let (taken, limit) = unsafe { (Count::add(count, bytes), (*count).limit.load(Ordering::Relaxed)) };
        let refusal = match bytes {
            ..=0 => None,
            1.. => too_much(taken, limit, HOST_TAKEN.load(Ordering::Relaxed)),
        };
        WORK.with(|current| {
            if refusal.is_none() && ptr::eq(current.budget.get(), count) && taken > current.most.get() {
                current.most.set(taken);
            }
        });
        match refusal {
            Some(refusal) => {
                // SAFETY: the caller's promise still holds, and these bytes were put in above.
                unsafe { Count::add(count, -bytes) };
                Err(refusal)
            }
            None => Ok(()),
        }
    }
}

impl Work {
    /// An error where the thread's work is too deep, or, looked at now and then, its time is over.
    fn look(&self, bytes: i64) -> Result<(), Shortage> {
        if is_deep() {
            return Err(Shortage::Deep);
        }
        let watch = self.watch.get();
        if watch.is_null() {
            return Ok(());
        }
        let left = self.until_look.get() - 1 - bytes / LARGE_BYTES;
        if left > 0 {
            self.until_look.set(left);
            return Ok(());
        }
        self.until_look.set(ALLOCATIONS_PER_LOOK);
        // SAFETY: `watched` borrows the watch for as long as the pointer stands here.
        if unsafe { &*watch }.refuses_memory() {
            Err(Shortage::Late)
        } else {
            Ok(())
        }
    }
}

/// Why a tenant may not have so much.
fn too_much(taken: i64, limit: i64, taken_by_all: i64) -> Option<Shortage> {
    if is_off(Guard::SqlMemory) {
        None
    } else if taken > limit {
        Some(Shortage::Tenant)
    } else if taken > OWN_BYTES && taken_by_all > HOST_BYTES {
        Some(Shortage::Host)
    } else {
        None
    }
}

/// Bytes with the header, and how they are laid out; `None` for what no program can have.
fn layout(bytes: usize) -> Option<Layout> {
    Layout::from_size_align(bytes.checked_add(HEADER_BYTES)?, align_of::<Header>()).ok()
}

fn cost(bytes: usize) -> i64 {
    i64::try_from(bytes.saturating_add(HEADER_BYTES)).unwrap_or(i64::MAX)
}

/// Remembers why memory was refused, and refuses it.
fn refuse(refusal: Shortage) -> *mut c_void {
    WORK.with(|current| current.refusal.set(Some(refusal)));
    ptr::null_mut()
}

/// The header of an allocation.
///
/// # Safety
///
/// `memory` was given out by `x_malloc` or `x_realloc` and is not freed yet.
unsafe fn header(memory: *mut c_void) -> *mut Header {
    // SAFETY: it stands directly before what was given out.
    unsafe { memory.cast::<Header>().sub(1) }
}

unsafe extern "C" fn x_malloc(bytes: c_int) -> *mut c_void {
    let bytes = usize::try_from(bytes).unwrap_or(0);
    let Some(layout) = layout(bytes) else {
        return ptr::null_mut();
    };
    let (payer, looked) = WORK.with(|current| (current.budget.get(), current.look(cost(bytes))));
    // SAFETY: the thread works for the payer, which `charged` borrows meanwhile.
    let charged = looked.and_then(|()| unsafe { Count::charge(payer, cost(bytes)) });
    if let Err(refusal) = charged {
        return refuse(refusal);
    }
    // SAFETY: the layout has a header in it and is not empty.
    let header = unsafe { alloc(layout) }.cast::<Header>();
    if header.is_null() {
        // SAFETY: as above; it was charged above.
        _ = unsafe { Count::charge(payer, -cost(bytes)) };
        return refuse(Shortage::System);
    }
    // SAFETY: `header` is new memory that is aligned for it; what is given out begins behind it.
    unsafe {
        header.write(Header { bytes, payer });
        header.add(1).cast()
    }
}

unsafe extern "C" fn x_free(memory: *mut c_void) {
    if memory.is_null() {
        return;
    }
    // SAFETY: SQLite frees what it was given, once. The layout is the one that it was allocated
    // with, since the header keeps its size. The payer is there because this allocation is charged
    // to it until the last line.
    unsafe {
        let header = header(memory);
        let Header { bytes, payer } = header.read();
        if let Some(layout) = layout(bytes) {
            dealloc(header.cast(), layout);
        }
        _ = Count::charge(payer, -cost(bytes));
    }
}

unsafe extern "C" fn x_realloc(memory: *mut c_void, bytes: c_int) -> *mut c_void {
    let bytes = usize::try_from(bytes).unwrap_or(0);
    // SAFETY: SQLite passes what it was given and has not freed.
    let (old, Header { bytes: before, payer }) = unsafe {
        let header = header(memory);
        (header, header.read())
    };
    let (Some(layout_before), Some(layout_after)) = (layout(before), layout(bytes)) else {
        return ptr::null_mut();
    };
    let more = cost(bytes) - cost(before);
    let looked = WORK.with(|current| {
        if more > 0 {
            current.look(cost(bytes))
        } else {
            Ok(())
        }
    });
    // SAFETY: the payer is there because this allocation is charged to it.
    let charged = looked.and_then(|()| unsafe { Count::charge(payer, more) });
    if let Err(refusal) = charged {
        return refuse(refusal);
    }
    // SAFETY: `old` was allocated with this layout; the new size is not zero.
    let new = unsafe { realloc(old.cast(), layout_before, layout_after.size()) }.cast::<Header>();
    if new.is_null() {
        // SAFETY: as above; the old allocation stays, with what was charged for it.
        _ = unsafe { Count::charge(payer, -more) };
        return refuse(Shortage::System);
    }
    // SAFETY: the header was copied along; only its size changes.
    unsafe {
        (*new).bytes = bytes;
        new.add(1).cast()
    }
}

unsafe extern "C" fn x_size(memory: *mut c_void) -> c_int {
    if memory.is_null() {
        return 0;
    }
    // SAFETY: SQLite asks about what it was given and has not freed.
    let bytes = unsafe { (*header(memory)).bytes };
    c_int::try_from(bytes).unwrap_or(c_int::MAX)
}

unsafe extern "C" fn x_roundup(bytes: c_int) -> c_int {
    bytes.saturating_add(7) & !7
}

unsafe extern "C" fn x_init(_: *mut c_void) -> c_int {
    ffi::SQLITE_OK
}

unsafe extern "C" fn x_shutdown(_: *mut c_void) {}

#[cfg(test)]
mod tests;
