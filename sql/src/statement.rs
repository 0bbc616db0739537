//! One statement of a plugin: its text, its parameters, its values.

use rusqlite::Statement;
use rusqlite::types::{ToSqlOutput, ValueRef};

use crate::expansion::{TooMuch, Views};
use crate::failure::{Failure, StatementError};

/// A write outside of the open transaction of the same invocation.
pub const WRITES_BESIDE: &str = "this statement writes outside of the transaction that is open in the same invocation, \
     and would wait for it forever; run it on the transaction, or end that first";

/// A second transaction of the same invocation.
pub const SECOND_TRANSACTION: &str = "this invocation holds an open transaction already, and a second one would wait \
     for it forever; commit or drop the first";

/// A write in a cursor.
pub const CURSOR_WRITES: &str = "a cursor only reads; run statements that write with `query` or `execute`";

/// A transaction that was ended.
pub const TRANSACTION_OVER: &str = "the transaction is over: it was committed or rolled back";

/// A transaction that SQLite ended by itself.
pub const TRANSACTION_ROLLED_BACK: &str =
    "the transaction is over: a statement in it was stopped, and all of it was rolled back; begin again";

/// An error where a text is not to be compiled at all.
pub fn check_text(sql: &str, views: &Views) -> Result<(), Failure> {
    // SQLite would stop reading at a NUL and not see what follows.
    if sql.contains('\0') {
        return Err(invalid("the statement contains a NUL character"));
    }
    views.check(sql).map_err(|TooMuch| too_much_to_compile())
}

/// An error where there was only white space to compile. SQLite makes a statement of it that does
/// nothing and cannot be run.
pub fn check_compiled(statement: &Statement<'_>) -> Result<(), Failure> {
    if statement.column_count() == 0 && statement.readonly() {
        return Err(invalid("there is no statement in this text"));
    }
    Ok(())
}

/// Binds `$1`, `$2` and so on. SQLite takes such names for words and numbers them as they come, so
/// that the number has to be read from the name.
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
        // With distinct numbers, none above their count, and as many as there are values, each value is used.
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

/// The text in a column, which is counted from 0.
pub fn text(bytes: &[u8], column: usize) -> Result<&str, Failure> {
    std::str::from_utf8(bytes).map_err(|_| {
        let number = column + 1;
        invalid(format!(
            "column {number} holds text that is not UTF-8; CAST it AS BLOB"
        ))
    })
}

/// What a statement or a view is told that SQLite would copy too often.
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
