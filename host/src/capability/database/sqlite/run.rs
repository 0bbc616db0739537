//! Runs one statement of a plugin on one connection. Everything here blocks.

use mortise_sql::{Failure, StatementError, VALUE_BYTES, compiled_bytes, longest_value, statement};
use rusqlite::fallible_streaming_iterator::FallibleStreamingIterator as _;
use rusqlite::limits::Limit;
use rusqlite::types::ValueRef;
use rusqlite::{CachedStatement, ErrorCode, Row};

use super::super::error::DatabaseError;
use super::super::statement::{Answer, Bounds, Rows, Statement, Value, Want, weight};
use super::connection::{Connection, Use};
use super::failure;
use crate::sqlite::memory;

/// The outcome of a statement.
pub(super) enum Outcome {
    /// The statement ran.
    Done(Answer),
    /// The statement writes, but the connection is read-only. Nothing has happened.
    NeedsWriter(Statement),
}

/// A compiled statement of a plugin. While it exists, the limit of value sizes may be lowered.
pub(super) struct Prepared<'c> {
    connection: &'c Connection,
    statement: Option<CachedStatement<'c>>,
    /// Whether it stays in the statement cache.
    kept: bool,
    /// Whether the limit of value sizes was lowered.
    shortened: bool,
}

/// Reads the rows of a running statement.
pub(super) struct Reading<'s> {
    rows: rusqlite::Rows<'s>,
    columns: usize,
    /// Whether the current row did not fit into the previous piece.
    pending: bool,
}

/// Runs a plugin's statement.
pub(super) fn run(
    connection: &mut Connection,
    statement: Statement,
    want: Want,
    bounds: Bounds,
) -> Result<Outcome, DatabaseError> {
    let shared: &Connection = connection;
    let result = run_shared(shared, statement, want, bounds);
    result.map_err(|error| broken_or(connection, error))
}

fn run_shared(
    connection: &Connection,
    statement: Statement,
    want: Want,
    bounds: Bounds,
) -> Result<Outcome, Failed> {
    let mut prepared = prepare(connection, &statement.sql)?;
    let reads = prepared.get()?.readonly();
    if !reads && connection.purpose == Use::Read {
        drop(prepared);
        return Ok(Outcome::NeedsWriter(statement));
    }
    bind(prepared.get()?, &statement.params)?;
    // A write that also returns rows can fail after it has written, because it returns too many
    // rows.
    let guarded = !reads && prepared.get()?.column_count() > 0;
    let answer = if guarded {
        undone_on_failure(connection, || answer(connection, prepared.get()?, want, bounds))?
    } else {
        answer(connection, prepared.get()?, want, bounds)?
    };
    Ok(Outcome::Done(answer))
}

/// A failure: an error of SQLite, or one that was found without SQLite.
pub(super) enum Failed {
    Sqlite(rusqlite::Error),
    Found(DatabaseError),
}

impl From<rusqlite::Error> for Failed {
    fn from(error: rusqlite::Error) -> Self {
        Failed::Sqlite(error)
    }
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Self {
        Failed::Found(failure.into())
    }
}

impl From<StatementError> for Failed {
    fn from(error: StatementError) -> Self {
        match error {
            StatementError::Sqlite(error) => Failed::Sqlite(error),
            StatementError::Found(failure) => failure.into(),
        }
    }
}

impl From<DatabaseError> for Failed {
    fn from(error: DatabaseError) -> Self {
        Failed::Found(error)
    }
}

/// Translates a failure. Marks the connection if it must not be used again.
pub(super) fn broken_or(connection: &mut Connection, failed: Failed) -> DatabaseError {
    match failed {
        Failed::Found(error) => error,
        Failed::Sqlite(error) => {
            connection.fault = connection.fault.or(failure::fault(&error));
            if error.sqlite_error_code() == Some(ErrorCode::DiskFull) && connection.is_disk_full() {
                tracing::warn!("a tenant's statement failed: the disk is full");
                return DatabaseError::Unavailable("the host's disk is full; try again later".to_owned());
            }
            failure::translate(&error, &connection.handle.watch)
        }
    }
}

/// Compiles a plugin's statement, or takes it from the cache.
pub(super) fn prepare<'c>(connection: &'c Connection, sql: &str) -> Result<Prepared<'c>, Failed> {
    statement::check_text(sql, &connection.views)?;
    connection.handle.watch.authorizer.take_denial();
    memory::begin_statement();
    let known = connection.kept.borrow_mut().touch(sql);
    let statement = connection.raw.prepare_cached(sql)?;
    statement::check_compiled(&statement)?;
    let bytes = known.unwrap_or_else(|| compiled_bytes(&statement));
    let mut prepared = Prepared {
        connection,
        statement: Some(statement),
        kept: known.is_some(),
        shortened: false,
    };
    if known.is_none() {
        let leaving = connection
            .kept
            .borrow_mut()
            .insert(sql, bytes, connection.kept_room);
        prepared.kept = leaving.is_some();
        for text in leaving.unwrap_or_default() {
            // The statement is in the cache, so nothing is compiled.
            connection.raw.prepare_cached(&text)?.discard();
        }
    }
    let value_bytes = longest_value(bytes, sql.len());
    if value_bytes < VALUE_BYTES {
        connection
            .raw
            .set_limit(Limit::SQLITE_LIMIT_LENGTH, value_bytes)?;
        prepared.shortened = true;
    }
    Ok(prepared)
}

/// Binds `$1`, `$2` and so on.
pub(super) fn bind(statement: &mut rusqlite::Statement<'_>, params: &[Value]) -> Result<(), Failed> {
    Ok(statement::bind(statement, params, by_reference)?)
}

fn answer(
    connection: &Connection,
    statement: &mut rusqlite::Statement<'_>,
    want: Want,
    bounds: Bounds,
) -> Result<Answer, Failed> {
    let reads = statement.readonly();
    let columns = match want {
        Want::Rows => statement.column_names().into_iter().map(str::to_owned).collect(),
        Want::Count => Vec::new(),
    };
    let mut reading = Reading::of(statement);
    match want {
        Want::Rows => Ok(Answer::Rows(Rows {
            columns,
            rows: reading.all(bounds)?,
        })),
        Want::Count => {
            reading.skip(bounds.rows)?;
            drop(reading);
            Ok(Answer::Changed(if reads { 0 } else { connection.raw.changes() }))
        }
    }
}

/// Runs `work`. If it fails, its changes are undone, also within a transaction.
fn undone_on_failure<T>(
    connection: &Connection,
    work: impl FnOnce() -> Result<T, Failed>,
) -> Result<T, Failed> {
    connection.as_host(|raw| raw.execute_batch("SAVEPOINT mortise"))?;
    let result = work().and_then(|done| {
        connection.as_host(|raw| raw.execute_batch("RELEASE mortise"))?;
        Ok(done)
    });
    // An error such as a full disk may have ended the transaction already.
    if result.is_err() && !connection.raw.is_autocommit() {
        connection.as_host(|raw| raw.execute_batch("ROLLBACK TO mortise; RELEASE mortise"))?;
    }
    result
}

impl<'c> Prepared<'c> {
    /// The statement.
    pub(super) fn get(&mut self) -> Result<&mut CachedStatement<'c>, Failed> {
        self.statement
            .as_mut()
            .ok_or_else(|| invalid("the statement is over"))
    }
}

impl Drop for Prepared<'_> {
    fn drop(&mut self) {
        let Some(statement) = self.statement.take() else {
            return;
        };
        if !self.kept {
            statement.discard();
        }
        if self.shortened {
            // Only an unknown limit can fail.
            _ = self
                .connection
                .raw
                .set_limit(Limit::SQLITE_LIMIT_LENGTH, VALUE_BYTES);
        }
    }
}

impl<'s> Reading<'s> {
    pub(super) fn of(statement: &'s mut rusqlite::Statement<'_>) -> Self {
        Self {
            columns: statement.column_count(),
            rows: statement.raw_query(),
            pending: false,
        }
    }

    /// Reads all rows. Returns an error if they exceed `bounds`.
    fn all(&mut self, bounds: Bounds) -> Result<Vec<Vec<Value>>, Failed> {
        let rows = self.piece(bounds)?;
        if self.pending || self.is_more()? {
            return Err(too_much(bounds, rows.len()));
        }
        Ok(rows)
    }

    /// Reads as many of the next rows as fit into `bounds`. An empty vector marks the end.
    pub(super) fn piece(&mut self, bounds: Bounds) -> Result<Vec<Vec<Value>>, Failed> {
        let mut rows = Vec::new();
        let mut left = bounds.bytes;
        while rows.len() < bounds.rows && self.is_more()? {
            let Some(row) = self.rows.get() else { break };
            match read_row(row, self.columns, &mut left)? {
                Some(values) => rows.push(values),
                None if rows.is_empty() => return Err(too_much(bounds, 0)),
                None => break,
            }
            self.pending = false;
        }
        Ok(rows)
    }

    fn skip(&mut self, most: usize) -> Result<(), Failed> {
        let mut count = 0;
        while self.is_more()? {
            self.pending = false;
            count += 1;
            if count > most {
                return Err(too_many_rows(most));
            }
        }
        Ok(())
    }

    fn is_more(&mut self) -> Result<bool, Failed> {
        if !self.pending {
            self.rows.advance()?;
            self.pending = self.rows.get().is_some();
        }
        Ok(self.pending)
    }
}

/// Copies a row. Returns `None` if it has more bytes than `left`.
fn read_row(row: &Row<'_>, columns: usize, left: &mut usize) -> Result<Option<Vec<Value>>, Failed> {
    let mut values = Vec::with_capacity(columns);
    for index in 0..columns {
        let value = row.get_ref(index)?;
        let content = match value {
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.len(),
            ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => 0,
        };
        match left.checked_sub(weight(content)) {
            Some(rest) => *left = rest,
            None => return Ok(None),
        }
        values.push(match value {
            ValueRef::Null => Value::Null,
            ValueRef::Integer(integer) => Value::Integer(integer),
            ValueRef::Real(real) => Value::Real(real),
            ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
            ValueRef::Text(bytes) => Value::Text(statement::text(bytes, index)?.to_owned()),
        });
    }
    Ok(Some(values))
}

/// A value to bind, borrowed instead of copied.
fn by_reference(value: &Value) -> ValueRef<'_> {
    match value {
        Value::Null => ValueRef::Null,
        Value::Boolean(boolean) => ValueRef::Integer(i64::from(*boolean)),
        Value::Integer(integer) => ValueRef::Integer(*integer),
        Value::Real(real) => ValueRef::Real(*real),
        Value::Text(text) => ValueRef::Text(text.as_bytes()),
        Value::Blob(bytes) => ValueRef::Blob(bytes),
    }
}

fn too_much(bounds: Bounds, rows: usize) -> Failed {
    if rows >= bounds.rows {
        return too_many_rows(bounds.rows);
    }
    Failed::Found(DatabaseError::Limit(format!(
        "the result has more than the {} bytes that one may have; select less, or open a cursor",
        bounds.bytes
    )))
}

fn too_many_rows(most: usize) -> Failed {
    Failed::Found(DatabaseError::Limit(format!(
        "the result has more than the {most} rows that one may have; add a LIMIT, or open a cursor"
    )))
}

fn invalid(message: impl Into<String>) -> Failed {
    Failed::Found(DatabaseError::Invalid(message.into()))
}
