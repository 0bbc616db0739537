//! Makes SQL time UTC, whatever the time zone of the process is.

#![expect(
    unsafe_code,
    reason = "SQLite asks for the local time through a C function pointer; the argument stands at each use"
)]

use std::ffi::{c_int, c_void};
use std::sync::Once;

use rusqlite::ffi;

/// SQLite's number for "call this function instead of localtime".
const INSTEAD: c_int = 2;

unsafe extern "C" {
    /// POSIX: the broken-down time in UTC. The types are opaque, because SQLite's pointers are only
    /// passed on.
    fn gmtime_r(time: *const c_void, broken_down: *mut c_void) -> *mut c_void;
}

/// Makes the modifiers `localtime` and `utc` of SQLite's date functions shift nothing, in the whole
/// process. Otherwise a statement's result would depend on the time zone of the process.
pub fn use_utc() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let instead: unsafe extern "C" fn(*const c_void, *mut c_void) -> c_int = utc;
        // SAFETY: the option takes a number and a function of this type, which it stores; it cannot
        // fail. It is process-wide, so `Once` excludes other threads, and it is called before a
        // connection is opened.
        unsafe { ffi::sqlite3_test_control(ffi::SQLITE_TESTCTRL_LOCALTIME_FAULT, INSTEAD, instead) };
    });
}

/// The function that SQLite calls instead of `localtime_r`. Zero means success.
unsafe extern "C" fn utc(time: *const c_void, broken_down: *mut c_void) -> c_int {
    // SAFETY: SQLite passes pointers to a `time_t` and a `struct tm`, as it would to `localtime_r`.
    let answered = unsafe { gmtime_r(time, broken_down) };
    c_int::from(answered.is_null())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    /// A time zone that needs no system files.
    const ZONE: &str = "EAST-5:30";

    /// The time zone of a process is read once, so this test starts its own binary again with
    /// another one.
    #[test]
    fn sql_time_is_utc_in_every_zone() {
        if std::env::var("TZ").as_deref() != Ok(ZONE) {
            let name = "utc::tests::sql_time_is_utc_in_every_zone";
            let again = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", name])
                .env("TZ", ZONE)
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&again.stdout);
            assert!(again.status.success() && said.contains("1 passed"), "{said}");
            return;
        }
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        let ask = |sql: &str| -> String { connection.query_row(sql, [], |row| row.get(0)).unwrap() };
        let local = "SELECT datetime('2026-07-01 12:00:00', 'localtime')";
        assert_eq!(ask(local), "2026-07-01 17:30:00", "the zone is in force");
        super::use_utc();
        for sql in [
            local,
            "SELECT datetime('2026-07-01 12:00:00', 'utc')",
            "SELECT strftime('%Y-%m-%d %H:%M:%S', 1782907200, 'unixepoch', 'localtime')",
            "SELECT datetime('2026-07-01 12:00:00')",
        ] {
            assert_eq!(ask(sql), "2026-07-01 12:00:00", "{sql}");
        }
        assert_eq!(
            ask("SELECT datetime('1900-01-01 00:00', 'localtime')"),
            "1900-01-01 00:00:00"
        );
    }
}
