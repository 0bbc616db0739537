//! How much memory the schema of a connection takes.

#![expect(
    unsafe_code,
    reason = "only SQLite's C interface tells it; the argument stands at the use"
)]

use rusqlite::ffi;

/// Bytes that a connection's schema takes.
pub fn schema_bytes(connection: &rusqlite::Connection) -> u64 {
    let (mut now, mut most) = (0, 0);
    // SAFETY: the handle is open as long as `connection` is borrowed, and SQLite writes two
    // numbers.
    let code = unsafe {
        ffi::sqlite3_db_status(
            connection.handle(),
            ffi::SQLITE_DBSTATUS_SCHEMA_USED,
            &raw mut now,
            &raw mut most,
            0,
        )
    };
    if code == ffi::SQLITE_OK {
        u64::try_from(now).unwrap_or(0)
    } else {
        0
    }
}
