//! SQL functions that stand in place of SQLite's own under the same names.
//!
//! SQLite looks at the clock between instructions and not within one call of a function. The functions here take time
//! with the product of the sizes of their arguments, so each looks at the clock itself. Wherever a function may
//! stand (statements, views, triggers, generated columns, CHECK, DEFAULT, expression indexes), the name finds this one.
//! What they answer equals what SQLite's own answer; the tests compare the two.

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

/// Between two looks at the clock a function works on so many bytes: some microseconds.
const BYTES_PER_LOOK: usize = 16 * 1024;

/// The subtype by which SQLite's JSON functions know JSON from text.
const JSON_SUBTYPE: u32 = 'J' as u32;

type Run = fn(&Call<'_>) -> Result<Answer, Failure>;

/// The functions: name, number of arguments, what runs.
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

/// One call.
struct Call<'c> {
    context: *mut ffi::sqlite3_context,
    arguments: &'c [*mut ffi::sqlite3_value],
    clock: Clock<'c>,
}

/// The time that a call has.
struct Clock<'c> {
    watch: &'c Watch,
    left: std::cell::Cell<usize>,
}

/// What a call answers.
#[derive(Debug)]
enum Answer {
    Null,
    Integer(i64),
    Text(Vec<u8>),
    /// Text that is JSON.
    Json(Vec<u8>),
    Blob(Vec<u8>),
}

/// Why a call answers nothing.
#[derive(Debug)]
enum Failure {
    /// The statement's time is over.
    Late,
    TooBig,
    OutOfMemory,
    /// The arguments are wrong, in SQLite's words.
    Wrong(String),
}

/// What SQLite keeps with each function.
struct Registered {
    run: Run,
    watch: Arc<Watch>,
}

/// Puts the functions in place on a connection. `watch` says when the time of what it runs is over.
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
        // SAFETY: the handle is open as long as `connection` is borrowed and the name is a C string. SQLite gives
        // `registered` to `call` while the function exists, and once to `forget`, also where this fails.
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

    /// Says that the function works on so many bytes; an error where its time is over.
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

    /// An argument as text, without the NUL that ends it for SQLite; `None` for NULL.
    fn text(&self, index: usize) -> Result<Option<&[u8]>, Failure> {
        if self.is_null(index) {
            return Ok(None);
        }
        let value = self.arguments[index];
        // SAFETY: the argument is a value of this call. What SQLite answers stays where it is until the value is
        // converted again, to something else, which nothing here does, or until the call ends.
        unsafe {
            let text = ffi::sqlite3_value_text(value);
            let bytes = ffi::sqlite3_value_bytes(value);
            bytes_of(text, bytes).map(Some)
        }
    }

    /// The content of an argument: the bytes of a blob, or of any other value as text. A blob stays one.
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

    /// The most bytes that a value may have.
    fn longest(&self) -> usize {
        // SAFETY: the context belongs to a connection, whose limit is read.
        let limit = unsafe {
            let connection = ffi::sqlite3_context_db_handle(self.context);
            ffi::sqlite3_limit(connection, ffi::SQLITE_LIMIT_LENGTH, -1)
        };
        usize::try_from(limit).unwrap_or(0)
    }

    /// What `sql`, a SELECT of one value with one parameter, answers to an argument.
    fn ask(&self, sql: &CStr, argument: Asked<'_>) -> Result<Option<Vec<u8>>, Failure> {
        /// Ends the statement.
        struct Statement(*mut ffi::sqlite3_stmt);
        impl Drop for Statement {
            fn drop(&mut self) {
                // SAFETY: it was compiled by `ask` and is ended once.
                unsafe { ffi::sqlite3_finalize(self.0) };
            }
        }
        // SAFETY: the connection runs this call, and SQLite lets a function run statements on it. The statement
        // lives until the end of this block; the values outlive it, and what it answers is copied before it ends.
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
        // SAFETY: the context is of this call. SQLite copies what is passed with `SQLITE_TRANSIENT`.
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

/// What is asked about.
enum Asked<'a> {
    Argument(usize),
    Text(&'a [u8]),
}

/// # Safety
///
/// `start` is null where SQLite had no memory, or points to `bytes` bytes that stay there for `'a`.
unsafe fn bytes_of<'a>(start: *const u8, bytes: c_int) -> Result<&'a [u8], Failure> {
    if start.is_null() {
        return Err(Failure::OutOfMemory);
    }
    // SAFETY: the caller's promise.
    Ok(unsafe { slice::from_raw_parts(start, usize::try_from(bytes).unwrap_or(0)) })
}

/// Values are far shorter than this type allows; one that was not would be cut and refused by SQLite.
fn length(content: &[u8]) -> c_int {
    c_int::try_from(content.len()).unwrap_or(c_int::MAX)
}

/// What SQLite calls.
unsafe extern "C" fn call(
    context: *mut ffi::sqlite3_context,
    count: c_int,
    arguments: *mut *mut ffi::sqlite3_value,
) {
    // SAFETY: SQLite passes what `replace_functions` registered, which is there until `forget`, and `count` values.
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

/// What SQLite calls when a function exists no longer.
unsafe extern "C" fn forget(registered: *mut c_void) {
    // SAFETY: `replace_functions` made it, and SQLite gives it back once.
    drop(unsafe { Box::from_raw(registered.cast::<Registered>()) });
}
