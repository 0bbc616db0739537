//! Checks of one statement of a plugin: its text, its parameters and its values.

use rusqlite::Statement;
use rusqlite::types::{ToSqlOutput, ValueRef};

use crate::expansion::{TooMuch, Views};
use crate::failure::{Failure, StatementError};

/// The error for a write outside of the same invocation's open transaction.
pub const WRITES_BESIDE: &str = "this statement writes outside of the transaction that is open in the same invocation, \
     and would wait for it forever; run it on the transaction, or end that first";

/// The error for a second transaction of the same invocation.
pub const SECOND_TRANSACTION: &str = "this invocation holds an open transaction already, and a second one would wait \
     for it forever; commit or drop the first";

/// The error for a write in a cursor.
pub const CURSOR_WRITES: &str = "a cursor only reads; run statements that write with `query` or `execute`";

/// The error for a step that is stored outside of the same invocation's open transaction.
pub const STEP_BESIDE: &str = "a transaction is open in the same invocation, and storing a step outside of it would wait \
     for it forever; use `store-step` of the transaction, or end that first";

/// The error for completing a job that was completed before.
pub const COMPLETED_BEFORE: &str =
    "the job was completed before, by this attempt or by another one; only `rollback` is left";

/// The error for completing a job after the time of the attempt.
pub const COMPLETED_LATE: &str =
    "the time of this attempt is over, and another one may run the job; only `rollback` is left";

/// The error for a transaction that has ended.
pub const TRANSACTION_OVER: &str = "the transaction is over: it was committed or rolled back";

/// The error for a transaction that SQLite rolled back.
pub const TRANSACTION_ROLLED_BACK: &str =
    "the transaction is over: a statement in it was stopped, and all of it was rolled back; begin again";

/// Returns an error if a text must not be compiled.
pub fn check_text(sql: &str, views: &Views) -> Result<(), Failure> {
    // SQLite would stop at a NUL and ignore the rest.
    if sql.contains('\0') {
        return Err(invalid("the statement contains a NUL character"));
    }
    views.check(sql).map_err(|TooMuch| too_much_to_compile())
}

/// Returns an error if the text is only white space. SQLite compiles it to a statement that cannot
/// be run.
pub fn check_compiled(statement: &Statement<'_>) -> Result<(), Failure> {
    if statement.column_count() == 0 && statement.readonly() {
        return Err(invalid("there is no statement in this text"));
    }
    Ok(())
}

/// Binds `$1`, `$2` and so on. SQLite treats these as names and numbers them by first use, so the
/// number is parsed from the name.
pub fn bind<V>(
    statement: &mut Statement<'_>,
    params: &[V],
    value: impl Fn(&V) -> ValueRef<'_>,
) -> Result<(), StatementError> {
    let found = |failure| Err(StatementError::Found(failure));
    let count = statement.parameter_count();
    for index in 1..=count {
        let name = statement.parameter_name(index).unwrap_or("?");
        let number = name
            .strip_prefix('$')
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()) && !digits.starts_with('0'))
            .and_then(|digits| digits.parse::<usize>().ok());
        let Some(number) = number else {
            return found(invalid(format!(
                "`{name}` is not a parameter; write `$1`, `$2`, … (and CAST(… AS …) for a type)"
            )));
        };
        // The numbers are distinct and at most their count, and there are as many values. So each
        // value is used.
        let given = number.checked_sub(1).and_then(|position| params.get(position));
        let (Some(given), true) = (given, number <= count) else {
            return found(wrong_count(params.len(), &format!("uses `{name}`")));
        };
        let given = value(given);
        if matches!(given, ValueRef::Real(number) if number.is_nan()) {
            return found(invalid(format!(
                "the parameter `{name}` is not a number (NaN), and the database would keep NULL for it; pass NULL \
                 where there is no number"
            )));
        }
        statement.raw_bind_parameter(index, ToSqlOutput::Borrowed(given))?;
    }
    if count != params.len() {
        return found(wrong_count(params.len(), &format!("uses {count}")));
    }
    Ok(())
}

/// The text of a column, counted from 0.
pub fn text(bytes: &[u8], column: usize) -> Result<&str, Failure> {
    std::str::from_utf8(bytes).map_err(|_| {
        let number = column + 1;
        invalid(format!(
            "column {number} holds text that is not UTF-8; CAST it AS BLOB"
        ))
    })
}

/// The error for a statement or a view that SQLite would copy too often.
pub fn too_much_to_compile() -> Failure {
    Failure::Limit(
        "the statement would be copied too often while it is compiled: subqueries, WITHs and views that use each \
         other several times; use each once, or compute in the plugin"
            .to_owned(),
    )
}

fn wrong_count(given: usize, used: &str) -> Failure {
    invalid(format!(
        "the statement {used}, but {given} values were given; number parameters from `$1` without gaps"
    ))
}

fn invalid(message: impl Into<String>) -> Failure {
    Failure::Invalid(message.into())
}
