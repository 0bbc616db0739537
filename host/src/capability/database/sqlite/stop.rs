//! Stops the running statement of a connection from another thread.
//!
//! SQLite checks for an interrupt only at jumps of its program. `LIKE` and `GLOB` are slow, do not
//! allocate, and cannot be replaced, because the optimiser recognises their implementation. Many of
//! them in a row would continue long after the interrupt. So stopping also sets the maximum pattern
//! length to zero, which each call checks when it begins.

#![expect(
    unsafe_code,
    reason = "rusqlite lets only the thread that has the connection set limits; the argument stands at each use"
)]

use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mortise_sql::PATTERN_BYTES;
use rusqlite::limits::Limit;
use rusqlite::{InterruptHandle, ffi};

/// Stops statements of one connection while it is open.
#[derive(Clone)]
pub(super) struct Stop(Arc<Mutex<Target>>);

/// Owned by the connection and dropped before the connection is closed, which disables every
/// [`Stop`].
pub(super) struct Stoppable(Stop);

struct Target {
    /// Null once the connection is about to be closed.
    connection: *mut ffi::sqlite3,
    interrupt: InterruptHandle,
}

// SAFETY: other threads use the pointer only in `Stop::end`.
unsafe impl Send for Target {}

impl Stop {
    /// Stops the running statement.
    pub(super) fn end(&self) {
        let target = self.lock();
        if target.connection.is_null() {
            return;
        }
        target.interrupt.interrupt();
        // SAFETY: the connection is open until its `Stoppable` has taken this lock. SQLite stores
        // one aligned number, in one instruction. The thread that runs the statement only reads it,
        // and either value is valid. SQLite's own interrupt worked like this for many years.
        unsafe { ffi::sqlite3_limit(target.connection, ffi::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 0) };
    }

    fn lock(&self) -> MutexGuard<'_, Target> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stoppable {
    /// Makes `connection` stoppable. Drop the result before the connection.
    pub(super) fn new(connection: &rusqlite::Connection) -> Self {
        let target = Target {
            // SAFETY: the pointer is used only while the `Stoppable` exists.
            connection: unsafe { connection.handle() },
            interrupt: connection.get_interrupt_handle(),
        };
        Self(Stop(Arc::new(Mutex::new(target))))
    }

    /// The handle for other threads.
    pub(super) fn stop(&self) -> Stop {
        self.0.clone()
    }
}

impl Drop for Stoppable {
    fn drop(&mut self) {
        self.0.lock().connection = ptr::null_mut();
    }
}

/// Restores the maximum pattern length after a stop.
pub(super) fn start_again(connection: &rusqlite::Connection) -> rusqlite::Result<()> {
    connection.set_limit(Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, PATTERN_BYTES)?;
    Ok(())
}
