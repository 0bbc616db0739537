//! Ends what a connection does, from another thread.
//!
//! SQLite's interrupt is seen where its program jumps. One built-in function takes long without allocating and
//! cannot be replaced, because the optimiser knows it by its implementation: `LIKE`, and with it `GLOB`. Many of them
//! in a row would go on long after the interrupt. So stopping also lowers the length that their patterns may have to
//! zero, which each call looks at when it begins.

#![expect(
    unsafe_code,
    reason = "rusqlite lets only the thread that has the connection set limits; the argument stands at each use"
)]

use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mortise_sql::PATTERN_BYTES;
use rusqlite::limits::Limit;
use rusqlite::{InterruptHandle, ffi};

/// Stops statements of one connection, as long as that is open.
#[derive(Clone)]
pub(super) struct Stop(Arc<Mutex<Target>>);

/// Held by the connection and dropped before it is closed: nobody stops it any more.
pub(super) struct Stoppable(Stop);

struct Target {
    /// Null once the connection is about to be closed.
    connection: *mut ffi::sqlite3,
    interrupt: InterruptHandle,
}

// SAFETY: another thread does nothing with the pointer but what `Stop::end` does.
unsafe impl Send for Target {}

impl Stop {
    /// Ends what the connection does.
    pub(super) fn end(&self) {
        let target = self.lock();
        if target.connection.is_null() {
            return;
        }
        target.interrupt.interrupt();
        // SAFETY: the connection is open until its `Stoppable` has had this lock. SQLite stores one aligned number in
        // it, which is one instruction; the thread that runs the statement only reads it, in one instruction as well,
        // and either number is one that it may read. SQLite's own interrupt was no more than that for most of its life.
        unsafe { ffi::sqlite3_limit(target.connection, ffi::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 0) };
    }

    fn lock(&self) -> MutexGuard<'_, Target> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stoppable {
    /// Lets `connection` be stopped until this is dropped, which has to be before the connection is.
    pub(super) fn new(connection: &rusqlite::Connection) -> Self {
        let target = Target {
            // SAFETY: the pointer is used only as long as this is there.
            connection: unsafe { connection.handle() },
            interrupt: connection.get_interrupt_handle(),
        };
        Self(Stop(Arc::new(Mutex::new(target))))
    }

    /// What other threads stop it with.
    pub(super) fn stop(&self) -> Stop {
        self.0.clone()
    }
}

impl Drop for Stoppable {
    fn drop(&mut self) {
        self.0.lock().connection = ptr::null_mut();
    }
}

/// Patterns have their usual length again: what stopped the connection before is over.
pub(super) fn start_again(connection: &rusqlite::Connection) -> rusqlite::Result<()> {
    connection.set_limit(Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, PATTERN_BYTES)?;
    Ok(())
}
