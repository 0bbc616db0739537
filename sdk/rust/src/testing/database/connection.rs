//! One connection of the test database. Only the test host may begin or end a transaction on it.

use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use mortise_sql::{
    Author, Authorizer, Failure, StatementError, VALUE_BYTES, Views, compiled_bytes, longest_value,
    statement, translate,
};
use rusqlite::hooks::AuthContext;
use rusqlite::limits::Limit;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, Row, Statement};

use crate::db::{Rows, Value};

/// Settings for speed: nothing has to survive a crash. WAL mode requires a file and lets readers
/// see the state before an open transaction.
const PRAGMAS: &str = "PRAGMA synchronous = OFF; PRAGMA journal_mode = WAL; PRAGMA temp_store = MEMORY;";

#[derive(Debug)]
pub(super) struct TestConnection {
    pub raw: Connection,
    pub authorizer: Arc<Authorizer>,
    views: Rc<Views>,
}

/// Whether a statement may write.
#[derive(Clone, Copy, Debug)]
pub(super) enum May {
    Write,
    /// It may only read. A write is invalid, with this message.
    Read(&'static str),
}

impl TestConnection {
    /// Opens the file for the SQL of `author`. The database has `views`.
    pub fn open(file: &Path, author: Author, views: Rc<Views>) -> Result<Self, Failure> {
        let authorizer = Arc::new(Authorizer::new(author));
        let open = || {
            mortise_sql::use_utc();
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
            let connection = Connection::open_with_flags(file, flags)?;
            // The test runs on one thread, so waiting for a lock could never succeed.
            connection.busy_timeout(Duration::ZERO)?;
            connection.execute_batch(PRAGMAS)?;
            mortise_sql::set_up(&connection, author)?;
            let asked = Arc::clone(&authorizer);
            connection.authorizer(Some(move |context: AuthContext<'_>| asked.authorize(&context)))?;
            Ok(connection)
        };
        let raw = open().map_err(|error: rusqlite::Error| translate(&error, None))?;
        Ok(Self {
            raw,
            authorizer,
            views,
        })
    }

    pub fn query(&self, sql: &str, params: &[Value], may: May) -> Result<Rows, Failure> {
        self.run(sql, params, may, |statement| {
            let columns: Vec<String> = statement.column_names().into_iter().map(str::to_owned).collect();
            let count = columns.len();
            let mut found = statement.raw_query();
            let mut rows = Vec::new();
            while let Some(row) = found.next()? {
                rows.push(read(row, count)?);
            }
            Ok(Rows { columns, rows })
        })
    }

    pub fn execute(&self, sql: &str, params: &[Value], may: May) -> Result<u64, Failure> {
        self.run(sql, params, may, |statement| {
            let reads = statement.readonly();
            let mut rows = statement.raw_query();
            while rows.next()?.is_some() {}
            Ok(if reads { 0 } else { self.raw.changes() })
        })
    }

    /// Runs the test host's own SQL.
    pub fn run_trusted(&self, sql: &str) -> Result<(), Failure> {
        let author = self.authorizer.set_author(Author::Host);
        let result = self.raw.execute_batch(sql);
        self.authorizer.set_author(author);
        result.map_err(|error| translate(&error, None))
    }

    /// Compiles one statement, binds its parameters, and calls `work` with it.
    fn run<T>(
        &self,
        sql: &str,
        params: &[Value],
        may: May,
        work: impl FnOnce(&mut Statement<'_>) -> Result<T, StatementError>,
    ) -> Result<T, Failure> {
        statement::check_text(sql, &self.views)?;
        self.authorizer.take_denial();
        let result = self.run_compiled(sql, params, may, work);
        let limit = Limit::SQLITE_LIMIT_LENGTH;
        result
            .and_then(|done| Ok(self.raw.set_limit(limit, VALUE_BYTES).map(|_| done)?))
            .map_err(|error| {
                // Only an unknown limit can fail.
                _ = self.raw.set_limit(limit, VALUE_BYTES);
                match error {
                    StatementError::Sqlite(error) => translate(&error, self.authorizer.take_denial()),
                    StatementError::Found(failure) => failure,
                }
            })
    }

    fn run_compiled<T>(
        &self,
        sql: &str,
        params: &[Value],
        may: May,
        work: impl FnOnce(&mut Statement<'_>) -> Result<T, StatementError>,
    ) -> Result<T, StatementError> {
        let mut statement = self.raw.prepare(sql)?;
        statement::check_compiled(&statement)?;
        if let (May::Read(reason), false) = (may, statement.readonly()) {
            return Err(Failure::Invalid(reason.to_owned()).into());
        }
        let longest = longest_value(compiled_bytes(&statement), sql.len());
        self.raw.set_limit(Limit::SQLITE_LIMIT_LENGTH, longest)?;
        statement::bind(&mut statement, params, by_reference)?;
        work(&mut statement)
    }
}

fn by_reference(value: &Value) -> ValueRef<'_> {
    match value {
        Value::Null => ValueRef::Null,
        Value::Boolean(value) => ValueRef::Integer((*value).into()),
        Value::Integer(value) => ValueRef::Integer(*value),
        Value::Real(value) => ValueRef::Real(*value),
        Value::Text(value) => ValueRef::Text(value.as_bytes()),
        Value::Blob(value) => ValueRef::Blob(value),
    }
}

/// Reads a row as the host does. SQLite has no booleans, so they are returned as 0 and 1.
fn read(row: &Row<'_>, columns: usize) -> Result<Vec<Value>, StatementError> {
    let read = |index| {
        Ok(match row.get_ref(index)? {
            ValueRef::Null => Value::Null,
            ValueRef::Integer(value) => Value::Integer(value),
            ValueRef::Real(value) => Value::Real(value),
            ValueRef::Text(bytes) => Value::Text(statement::text(bytes, index)?.to_owned()),
            ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
        })
    };
    (0..columns).map(read).collect()
}
