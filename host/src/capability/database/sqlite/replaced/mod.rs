//! SQL functions that replace slow built-in functions of SQLite under the same names.
//!
//! SQLite checks the clock between instructions, but not within a function. The time of these
//! functions grows with the product of their argument sizes, so each checks the clock itself. The
//! name finds the replacement in statements, views, triggers, generated columns, CHECK, DEFAULT and
//! expression indexes. The results equal those of SQLite; the tests compare the two.

#![expect(
    unsafe_code,
    reason = "only SQLite's own conversion of values gives what its functions see; the argument stands at each use"
)]

mod merge_patch;
#[cfg(test)]
mod tests;
mod text;

use std::ffi::{CStr, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::slice;
use std::sync::Arc;

use rusqlite::ffi;

use crate::sqlite::watch::Watch;
use crate::unguarded::{Guard, is_off};

/// Bytes that a function processes between two checks of the clock: a few microseconds.
const BYTES_PER_LOOK: usize = 16 * 1024;

/// The subtype that marks a text as JSON for SQLite's JSON functions.
const JSON_SUBTYPE: u32 = 'J' as u32;

type Run = fn(&Call<'_>) -> Result<Answer, Failure>;

/// The functions: name, number of arguments, implementation.
const FUNCTIONS: &[(&CStr, c_int, Run)] = &[
    (c"instr", 2, text::instr),
    (c"json_patch", 2, merge_patch::json_patch),
    (c"jsonb_patch", 2, merge_patch::jsonb_patch),
    (c"ltrim", 1, text::ltrim),
    (c"ltrim", 2, text::ltrim),
    (c"replace", 3, text::replace),
    (c"rtrim", 1, text::rtrim),
    (c"rtrim", 2, text::rtrim),
    (c"trim", 1, text::trim),
    (c"trim", 2, text::trim),
    (c"unhex", 1, text::unhex),
    (c"unhex", 2, text::unhex),
];

/// One call of a function.
struct Call<'c> {
    context: *mut ffi::sqlite3_context,
    arguments: &'c [*mut ffi::sqlite3_value],
    clock: Clock<'c>,
}

/// Checks the time limit of a call.
struct Clock<'c> {
    watch: &'c Watch,
    left: std::cell::Cell<usize>,
}

/// The result of a call.
#[derive(Debug)]
enum Answer {
    Null,
    Integer(i64),
    Text(Vec<u8>),
    /// Text that is JSON.
    Json(Vec<u8>),
    Blob(Vec<u8>),
}

/// Why a call failed.
#[derive(Debug)]
enum Failure {
    /// The statement's time is over.
    Late,
    TooBig,
    OutOfMemory,
    /// The arguments are invalid. The message is SQLite's.
    Wrong(String),
}

/// The user data of each function.
struct Registered {
    run: Run,
    watch: Arc<Watch>,
}

/// Registers the functions on a connection. `watch` tells when a statement's time is over.
pub(super) fn replace_functions(
    connection: &rusqlite::Connection,
    watch: &Arc<Watch>,
) -> rusqlite::Result<()> {
    let flags =
        ffi::SQLITE_UTF8 | ffi::SQLITE_DETERMINISTIC | ffi::SQLITE_INNOCUOUS | ffi::SQLITE_RESULT_SUBTYPE;
    for (name, arguments, run) in FUNCTIONS {
        let registered = Box::new(Registered {
            run: *run,
            watch: watch.clone(),
        });
        // SAFETY: the handle is open while `connection` is borrowed, and the name is a C string.
        // SQLite passes `registered` to `call` while the function exists, and once to `forget`,
        // also if this call fails.
        let code = unsafe {
            ffi::sqlite3_create_function_v2(
                connection.handle(),
                name.as_ptr(),
                *arguments,
                flags,
                Box::into_raw(registered).cast(),
                Some(call),
                None,
                None,
                Some(forget),
            )
        };
        if code != ffi::SQLITE_OK {
            return Err(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None));
        }
    }
    Ok(())
}

impl Clock<'_> {
    fn new(watch: &Watch) -> Clock<'_> {
        Clock {
            watch,
            left: std::cell::Cell::new(0),
        }
    }

    /// Counts processed bytes. Returns an error if the time is over.
    fn work(&self, bytes: usize) -> Result<(), Failure> {
        if let Some(left) = self.left.get().checked_sub(bytes) {
            self.left.set(left);
            return Ok(());
        }
        self.left.set(BYTES_PER_LOOK);
        if self.watch.is_over() && !is_off(Guard::SqlClock) {
            Err(Failure::Late)
        } else {
            Ok(())
        }
    }
}

impl Call<'_> {
    fn count(&self) -> usize {
        self.arguments.len()
    }

    fn is_null(&self, index: usize) -> bool {
        self.has_type(index, ffi::SQLITE_NULL)
    }

    fn is_blob(&self, index: usize) -> bool {
        self.has_type(index, ffi::SQLITE_BLOB)
    }

    fn has_type(&self, index: usize, wanted: c_int) -> bool {
        // SAFETY: the arguments are values of this call.
        unsafe { ffi::sqlite3_value_type(self.arguments[index]) == wanted }
    }

    /// An argument as text without the terminating NUL; `None` for NULL.
    fn text(&self, index: usize) -> Result<Option<&[u8]>, Failure> {
        if self.is_null(index) {
            return Ok(None);
        }
        let value = self.arguments[index];
        // SAFETY: the argument is a value of this call. SQLite's pointer is valid until the call
        // ends or the value is converted to another type, which does not happen here.
        unsafe {
            let text = ffi::sqlite3_value_text(value);
            let bytes = ffi::sqlite3_value_bytes(value);
            bytes_of(text, bytes).map(Some)
        }
    }

    /// The content of an argument: the bytes of a blob, or the text of any other value.
    fn content(&self, index: usize) -> Result<&[u8], Failure> {
        if !self.is_blob(index) {
            return Ok(self.text(index)?.unwrap_or_default());
        }
        let value = self.arguments[index];
        // SAFETY: as in `text`.
        unsafe {
            let bytes = ffi::sqlite3_value_bytes(value);
            if bytes == 0 {
                return Ok(&[]);
            }
            bytes_of(ffi::sqlite3_value_blob(value).cast(), bytes)
        }
    }

    /// The maximum size of a value.
    fn longest(&self) -> usize {
        // SAFETY: the context belongs to an open connection. The call only reads a limit.
        let limit = unsafe {
            let connection = ffi::sqlite3_context_db_handle(self.context);
            ffi::sqlite3_limit(connection, ffi::SQLITE_LIMIT_LENGTH, -1)
        };
        usize::try_from(limit).unwrap_or(0)
    }

    /// Runs `sql`, a SELECT of one value with one parameter, and returns the value.
    fn ask(&self, sql: &CStr, argument: Asked<'_>) -> Result<Option<Vec<u8>>, Failure> {
        /// Finalizes the statement.
        struct Statement(*mut ffi::sqlite3_stmt);
        impl Drop for Statement {
            fn drop(&mut self) {
                // SAFETY: `ask` compiled the statement, and it is finalized once.
                unsafe { ffi::sqlite3_finalize(self.0) };
            }
        }
        // SAFETY: the connection runs this call, and SQLite lets a function run statements on it.
        // The statement lives until the end of this block. The values outlive it, and its result is
        // copied first.
        unsafe {
            let connection = ffi::sqlite3_context_db_handle(self.context);
            let check = |code: c_int| match code & 0xff {
                ffi::SQLITE_OK | ffi::SQLITE_ROW => Ok(()),
                ffi::SQLITE_INTERRUPT => Err(Failure::Late),
                ffi::SQLITE_TOOBIG => Err(Failure::TooBig),
                ffi::SQLITE_NOMEM => Err(Failure::OutOfMemory),
                _ => {
                    let message = CStr::from_ptr(ffi::sqlite3_errmsg(connection));
                    Err(Failure::Wrong(message.to_string_lossy().into_owned()))
                }
            };
            let mut statement = std::ptr::null_mut();
            check(ffi::sqlite3_prepare_v2(
                connection,
                sql.as_ptr(),
                -1,
                &raw mut statement,
                std::ptr::null_mut(),
            ))?;
            let statement = Statement(statement);
            check(match argument {
                Asked::Argument(index) => ffi::sqlite3_bind_value(statement.0, 1, self.arguments[index]),
                Asked::Text(text) => ffi::sqlite3_bind_text(
                    statement.0,
                    1,
                    text.as_ptr().cast(),
                    length(text),
                    ffi::SQLITE_STATIC(),
                ),
            })?;
            check(ffi::sqlite3_step(statement.0))?;
            if ffi::sqlite3_column_type(statement.0, 0) == ffi::SQLITE_NULL {
                return Ok(None);
            }
            let content = ffi::sqlite3_column_blob(statement.0, 0);
            let bytes = ffi::sqlite3_column_bytes(statement.0, 0);
            bytes_of(content.cast(), bytes).map(|content| Some(content.to_vec()))
        }
    }

    fn answer(&self, answer: Result<Answer, Failure>) {
        let context = self.context;
        // SAFETY: the context belongs to this call. SQLite copies data that is passed with
        // `SQLITE_TRANSIENT`.
        unsafe {
            match answer {
                Ok(Answer::Null) => ffi::sqlite3_result_null(context),
                Ok(Answer::Integer(number)) => ffi::sqlite3_result_int64(context, number),
                Ok(Answer::Text(text)) => {
                    let bytes = text.as_ptr().cast();
                    ffi::sqlite3_result_text(context, bytes, length(&text), ffi::SQLITE_TRANSIENT());
                }
                Ok(Answer::Json(text)) => {
                    let bytes = text.as_ptr().cast();
                    ffi::sqlite3_result_text(context, bytes, length(&text), ffi::SQLITE_TRANSIENT());
                    ffi::sqlite3_result_subtype(context, JSON_SUBTYPE);
                }
                Ok(Answer::Blob(blob)) => {
                    let bytes = blob.as_ptr().cast();
                    ffi::sqlite3_result_blob(context, bytes, length(&blob), ffi::SQLITE_TRANSIENT());
                }
                Err(Failure::Late) => ffi::sqlite3_result_error_code(context, ffi::SQLITE_INTERRUPT),
                Err(Failure::TooBig) => ffi::sqlite3_result_error_toobig(context),
                Err(Failure::OutOfMemory) => ffi::sqlite3_result_error_nomem(context),
                Err(Failure::Wrong(message)) => {
                    let bytes = message.as_ptr().cast();
                    ffi::sqlite3_result_error(context, bytes, length(message.as_bytes()));
                }
            }
        }
    }
}

/// The parameter of a SELECT.
enum Asked<'a> {
    Argument(usize),
    Text(&'a [u8]),
}

/// # Safety
///
/// `start` is null if SQLite had no memory. Otherwise it points to `bytes` bytes that are valid for
/// `'a`.
unsafe fn bytes_of<'a>(start: *const u8, bytes: c_int) -> Result<&'a [u8], Failure> {
    if start.is_null() {
        return Err(Failure::OutOfMemory);
    }
    // SAFETY: guaranteed by the caller.
    Ok(unsafe { slice::from_raw_parts(start, usize::try_from(bytes).unwrap_or(0)) })
}

/// Values are far shorter than this type allows. SQLite would reject a truncated one.
fn length(content: &[u8]) -> c_int {
    c_int::try_from(content.len()).unwrap_or(c_int::MAX)
}

/// The entry point that SQLite calls.
unsafe extern "C" fn call(
    context: *mut ffi::sqlite3_context,
    count: c_int,
    arguments: *mut *mut ffi::sqlite3_value,
) {
    // SAFETY: SQLite passes the data that `replace_functions` registered, which lives until
    // `forget`, and `count` values.
    let (registered, arguments) = unsafe {
        (
            &*ffi::sqlite3_user_data(context).cast::<Registered>(),
            slice::from_raw_parts(arguments, usize::try_from(count).unwrap_or(0)),
        )
    };
    let call = Call {
        context,
        arguments,
        clock: Clock::new(&registered.watch),
    };
    // A panic must not unwind into C.
    let answer = catch_unwind(AssertUnwindSafe(|| {
        call.clock.work(BYTES_PER_LOOK)?;
        (registered.run)(&call)
    }));
    call.answer(answer.unwrap_or_else(|_| Err(Failure::Wrong("the function failed".to_owned()))));
}

/// The destructor that SQLite calls when it removes a function.
unsafe extern "C" fn forget(registered: *mut c_void) {
    // SAFETY: `replace_functions` created the box, and SQLite returns it once.
    drop(unsafe { Box::from_raw(registered.cast::<Registered>()) });
}
