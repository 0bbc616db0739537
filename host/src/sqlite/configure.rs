//! Sets SQLite up before its first use: its allocator is `memory`, its time is UTC, and connections
//! share no pages.

#![expect(
    unsafe_code,
    reason = "SQLite is configured through its C interface; the argument stands at each use"
)]

use std::ffi::c_int;
use std::sync::OnceLock;

use rusqlite::ffi;

use super::memory;

/// Why SQLite cannot be set up.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub enum ConfigureError {
    /// Somebody used SQLite before.
    #[error(
        "SQLite was used before its memory was set up; call `configure_sqlite` first (SQLite answered {0})"
    )]
    TooLate(c_int),
    /// Connections share their pages in this build of SQLite, so that one would use what another
    /// paid for.
    #[error(
        "this SQLite was built with ENABLE_MEMORY_MANAGEMENT; build inside the repository, whose .cargo/config.toml \
         switches it off"
    )]
    SharedPages,
}

/// Gives SQLite the allocator that charges tenants. To be called before anybody uses SQLite;
/// further calls change nothing.
pub fn configure() -> Result<(), ConfigureError> {
    static DONE: OnceLock<Result<(), ConfigureError>> = OnceLock::new();
    *DONE.get_or_init(|| {
        mortise_sql::use_utc();
        let methods = memory::methods();
        // SAFETY: the options take what is passed: a table of functions, which SQLite copies, and a
        // number. SQLite refuses the call once it is in use; `OnceLock` keeps two threads from
        // being in it at once.
        let (given, plain) = unsafe {
            (
                ffi::sqlite3_config(ffi::SQLITE_CONFIG_MALLOC, &raw const methods),
                // SQLite's own statistics would take a lock at each allocation.
                ffi::sqlite3_config(ffi::SQLITE_CONFIG_MEMSTATUS, 0 as c_int),
            )
        };
        if let Some(code) = [given, plain].into_iter().find(|code| *code != ffi::SQLITE_OK) {
            return Err(ConfigureError::TooLate(code));
        }
        // SAFETY: the name is a C string; the function only compares it.
        let shared = unsafe { ffi::sqlite3_compileoption_used(c"ENABLE_MEMORY_MANAGEMENT".as_ptr()) };
        if shared != 0 {
            return Err(ConfigureError::SharedPages);
        }
        Ok(())
    })
}
