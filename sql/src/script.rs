//! Runs the statements of a migration file.

use rusqlite::Connection;
use rusqlite::fallible_iterator::FallibleIterator as _;
use rusqlite::limits::Limit;

use crate::authorizer::check_names;
use crate::expansion::check_script;
use crate::failure::{Failure, StatementError};
use crate::limits::{VALUE_BYTES, compiled_bytes, longest_value};
use crate::statement::too_much_to_compile;

/// Why a migration file stopped, and on which line.
#[derive(Debug)]
pub struct Stopped {
    /// The line on which the statement begins, from 1.
    pub line: usize,
    /// The error.
    pub why: StatementError,
}

/// Runs the statements of one file in order. `views` are the texts of the database's views. Calls
/// `begin_statement` before each statement. Run it in a transaction, because the statements before
/// a failure keep their effect.
pub fn run_script(
    connection: &Connection,
    sql: &str,
    views: &[String],
    mut begin_statement: impl FnMut(),
) -> Result<(), Stopped> {
    let mut position = 0;
    let stopped = |position: usize, why: StatementError| {
        let rest = sql.get(position..).unwrap_or_default();
        let begin = position + (rest.len() - rest.trim_start().len());
        Stopped {
            line: 1 + sql.get(..begin).unwrap_or(sql).matches('\n').count(),
            why,
        }
    };
    let found = |position, message: &str| {
        stopped(
            position,
            StatementError::Found(Failure::Invalid(message.to_owned())),
        )
    };
    let said = |position, error| stopped(position, StatementError::Sqlite(error));
    if let Some(nul) = sql.find('\0') {
        return Err(found(nul, "the file contains a NUL character"));
    }
    if check_script(views, sql).is_err() {
        return Err(stopped(0, StatementError::Found(too_much_to_compile())));
    }
    let mut batch = rusqlite::Batch::new(connection, sql);
    loop {
        begin_statement();
        let Some(mut statement) = batch.next().map_err(|error| said(position, error))? else {
            return Ok(());
        };
        // Without parameters this is the text as written in the file.
        let text = statement.expanded_sql().unwrap_or_default();
        let begin = sql
            .get(position..)
            .and_then(|rest| rest.find(&text))
            .map_or(position, |offset| position + offset);
        if statement.parameter_count() > 0 {
            return Err(found(begin, "a migration has no parameters"));
        }
        check_names(&text).map_err(|failure| stopped(begin, StatementError::Found(failure)))?;
        let limit = |bytes| connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, bytes);
        let value_bytes = longest_value(compiled_bytes(&statement), text.len());
        limit(value_bytes).map_err(|error| said(begin, error))?;
        let mut rows = statement.raw_query();
        while rows.next().map_err(|error| said(begin, error))?.is_some() {}
        drop(rows);
        drop(statement);
        limit(VALUE_BYTES).map_err(|error| said(begin, error))?;
        position = begin + text.len();
    }
}
