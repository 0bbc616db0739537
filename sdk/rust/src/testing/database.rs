//! The stand-in for the database: SQLite in memory, under the same refusals as the host's.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::types::{Value as SqliteValue, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags, Statement, ffi};

use crate::db::{ConstraintKind, Error, Rows, Value};

/// A database in memory that several connections share, so that what runs beside an open transaction never sees its
/// changes, and a second writer is refused, as on the host. Unlike there, a reader is refused as well: SQLite keeps no
/// older state of a database in memory.
pub(super) struct Database {
    uri: String,
    main: Door,
}

#[derive(Debug)]
pub(crate) struct TransactionHandle {
    /// `None` once the transaction has ended. Closing the connection rolls back.
    door: RefCell<Option<Door>>,
}

#[derive(Debug)]
pub(crate) struct CursorHandle {
    columns: Vec<String>,
    rows: RefCell<std::vec::IntoIter<Vec<Value>>>,
}

/// A connection on which only statements of the stand-in itself may begin or end a transaction.
#[derive(Debug)]
struct Door {
    connection: Connection,
    trusted: Arc<AtomicBool>,
}

impl Database {
    pub fn create(migrations: &[(String, String)]) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let uri = format!("file:/mortise-testing-{number}?vfs=memdb");
        let main =
            Door::open(&uri).unwrap_or_else(|error| panic!("SQLite in memory cannot be opened: {error}"));
        for (name, sql) in migrations {
            if let Err(error) = main.connection.execute_batch(sql) {
                panic!("the migration {name} failed: {error}");
            }
        }
        Self { uri, main }
    }

    pub fn query(&self, sql: &str, params: &[Value]) -> Result<Rows, Error> {
        self.main.query(sql, params)
    }

    pub fn execute(&self, sql: &str, params: &[Value]) -> Result<u64, Error> {
        self.main.execute(sql, params)
    }

    pub fn begin(&self) -> Result<TransactionHandle, Error> {
        let door = Door::open(&self.uri).map_err(to_error)?;
        door.run_trusted("BEGIN IMMEDIATE")?;
        Ok(TransactionHandle {
            door: RefCell::new(Some(door)),
        })
    }
}

impl TransactionHandle {
    pub fn query(&self, sql: &str, params: &[Value]) -> Result<Rows, Error> {
        self.door.borrow().as_ref().ok_or_else(ended)?.query(sql, params)
    }

    pub fn execute(&self, sql: &str, params: &[Value]) -> Result<u64, Error> {
        self.door
            .borrow()
            .as_ref()
            .ok_or_else(ended)?
            .execute(sql, params)
    }

    pub fn end(&self, how: &str) -> Result<(), Error> {
        let door = self.door.borrow_mut().take().ok_or_else(ended)?;
        door.run_trusted(how)
    }
}

impl CursorHandle {
    pub fn new(rows: Rows) -> Self {
        Self {
            columns: rows.columns,
            rows: RefCell::new(rows.rows.into_iter()),
        }
    }

    pub fn columns(&self) -> Vec<String> {
        self.columns.clone()
    }

    pub fn next(&self, max: u32) -> Vec<Vec<Value>> {
        self.rows.borrow_mut().by_ref().take(max as usize).collect()
    }
}

impl Door {
    fn open(uri: &str) -> rusqlite::Result<Self> {
        let flags =
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_URI;
        let connection = Connection::open_with_flags(uri, flags)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, true)?;
        // The test runs on one thread: whoever holds a lock cannot let go of it while somebody waits.
        connection.busy_timeout(Duration::ZERO)?;
        let trusted = Arc::new(AtomicBool::new(false));
        let is_trusted = Arc::clone(&trusted);
        connection.authorizer(Some(move |context: AuthContext<'_>| {
            if is_trusted.load(Ordering::Relaxed) {
                Authorization::Allow
            } else {
                authorize(context.action)
            }
        }))?;
        Ok(Self { connection, trusted })
    }

    fn query(&self, sql: &str, params: &[Value]) -> Result<Rows, Error> {
        let mut statement = self.prepare(sql, params)?;
        let columns: Vec<String> = statement.column_names().into_iter().map(str::to_owned).collect();
        let width = columns.len();
        let mut found = statement.raw_query();
        let mut rows = Vec::new();
        while let Some(row) = found.next().map_err(to_error)? {
            let read = |index| Ok(to_value(row.get_ref(index)?));
            let values = (0..width).map(read).collect::<rusqlite::Result<_>>();
            rows.push(values.map_err(to_error)?);
        }
        Ok(Rows { columns, rows })
    }

    fn execute(&self, sql: &str, params: &[Value]) -> Result<u64, Error> {
        let before = self.connection.total_changes();
        let mut statement = self.prepare(sql, params)?;
        let mut rows = statement.raw_query();
        while rows.next().map_err(to_error)?.is_some() {}
        // `changes` keeps the count of an earlier statement where this one changed nothing.
        Ok(if self.connection.total_changes() == before {
            0
        } else {
            self.connection.changes()
        })
    }

    /// Prepares one statement and binds `$1`, `$2`, … by their numbers: to SQLite alone they are only names.
    fn prepare(&self, sql: &str, params: &[Value]) -> Result<Statement<'_>, Error> {
        let mut statement = self.connection.prepare(sql).map_err(to_error)?;
        let mut highest = 0;
        for index in 1..=statement.parameter_count() {
            let number = statement
                .parameter_name(index)
                .and_then(|name| name.strip_prefix('$')?.parse().ok());
            let Some(number @ 1..) = number else {
                return Err(Error::Invalid("parameters are written $1, $2, …".to_owned()));
            };
            let Some(value) = params.get(number - 1) else {
                return Err(Error::Invalid(format!(
                    "the statement needs ${number}, {} were given",
                    params.len()
                )));
            };
            statement
                .raw_bind_parameter(index, to_sqlite(value))
                .map_err(to_error)?;
            highest = highest.max(number);
        }
        if highest < params.len() {
            return Err(Error::Invalid(format!(
                "{} parameters were given, the statement has {highest}",
                params.len()
            )));
        }
        Ok(statement)
    }

    fn run_trusted(&self, sql: &str) -> Result<(), Error> {
        self.trusted.store(true, Ordering::Relaxed);
        let result = self.connection.execute_batch(sql).map_err(to_error);
        self.trusted.store(false, Ordering::Relaxed);
        result
    }
}

fn authorize(action: AuthAction<'_>) -> Authorization {
    match action {
        AuthAction::Attach { .. }
        | AuthAction::Detach { .. }
        | AuthAction::Pragma { .. }
        | AuthAction::Transaction { .. }
        | AuthAction::Savepoint { .. }
        | AuthAction::CreateTempIndex { .. }
        | AuthAction::CreateTempTable { .. }
        | AuthAction::CreateTempTrigger { .. }
        | AuthAction::CreateTempView { .. }
        | AuthAction::CreateVtable { .. } => Authorization::Deny,
        AuthAction::Function { function_name } if is_refused(function_name) => Authorization::Deny,
        _ => Authorization::Allow,
    }
}

fn is_refused(function: &str) -> bool {
    let refused = ["load_extension", "printf", "format", "zeroblob", "randomblob"];
    refused.iter().any(|name| function.eq_ignore_ascii_case(name))
}

fn to_sqlite(value: &Value) -> SqliteValue {
    match value {
        Value::Null => SqliteValue::Null,
        Value::Boolean(value) => SqliteValue::Integer((*value).into()),
        Value::Integer(value) => SqliteValue::Integer(*value),
        Value::Real(value) => SqliteValue::Real(*value),
        Value::Text(value) => SqliteValue::Text(value.clone()),
        Value::Blob(value) => SqliteValue::Blob(value.clone()),
    }
}

fn to_value(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(value) => Value::Integer(value),
        ValueRef::Real(value) => Value::Real(value),
        ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
    }
}

fn ended() -> Error {
    Error::Invalid("the transaction has ended".to_owned())
}

fn to_error(error: rusqlite::Error) -> Error {
    let why = error.to_string();
    let Some(code) = error.sqlite_error() else {
        return Error::Invalid(why);
    };
    match code.code {
        ErrorCode::ConstraintViolation => {
            let name = why
                .split_once("failed: ")
                .map_or(why.as_str(), |(_, name)| name)
                .to_owned();
            Error::Constraint {
                kind: constraint_kind(code.extended_code),
                name,
            }
        }
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Error::Conflict(why),
        ErrorCode::AuthorizationForStatementDenied => Error::Denied(why),
        ErrorCode::DiskFull | ErrorCode::TooBig | ErrorCode::OutOfMemory => Error::Limit(why),
        _ => Error::Invalid(why),
    }
}

fn constraint_kind(extended_code: i32) -> ConstraintKind {
    match extended_code {
        ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY | ffi::SQLITE_CONSTRAINT_ROWID => {
            ConstraintKind::Unique
        }
        ffi::SQLITE_CONSTRAINT_FOREIGNKEY => ConstraintKind::ForeignKey,
        ffi::SQLITE_CONSTRAINT_NOTNULL => ConstraintKind::NotNull,
        ffi::SQLITE_CONSTRAINT_CHECK => ConstraintKind::Check,
        _ => ConstraintKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOP: &str = "CREATE TABLE shop (id INTEGER PRIMARY KEY);
        CREATE TABLE item (
            id INTEGER PRIMARY KEY, shop INTEGER REFERENCES shop, name TEXT NOT NULL UNIQUE,
            stock INTEGER NOT NULL DEFAULT 0 CHECK (stock >= 0), active BOOLEAN NOT NULL DEFAULT TRUE
        );";

    fn database() -> Database {
        Database::create(&[("shop".into(), SHOP.into())])
    }

    fn violated(database: &Database, sql: &str) -> ConstraintKind {
        match database.execute(sql, &[]) {
            Err(Error::Constraint { kind, .. }) => kind,
            other => panic!("a violation was expected, not {other:?}"),
        }
    }

    #[test]
    fn parameters_are_bound_by_number() {
        let rows = database().query("SELECT $2 || $1 || $2", &["a".into(), "b".into()]);
        assert_eq!(rows.map(|rows| rows.rows), Ok(vec![vec!["bab".into()]]));
    }

    #[test]
    fn a_wrong_number_of_parameters_is_invalid() {
        let database = database();
        assert!(matches!(database.query("SELECT $1", &[]), Err(Error::Invalid(_))));
        assert!(matches!(
            database.query("SELECT 1", &[1.into()]),
            Err(Error::Invalid(_))
        ));
        assert!(matches!(
            database.query("SELECT ?", &[1.into()]),
            Err(Error::Invalid(_))
        ));
    }

    #[test]
    fn each_violated_constraint_has_its_kind() {
        let database = database();
        assert_eq!(
            database.execute("INSERT INTO item (name) VALUES ('a')", &[]),
            Ok(1)
        );
        assert_eq!(
            violated(&database, "INSERT INTO item (name) VALUES ('a')"),
            ConstraintKind::Unique
        );
        assert_eq!(
            violated(&database, "INSERT INTO item (id, name) VALUES (1, 'b')"),
            ConstraintKind::Unique
        );
        assert_eq!(
            violated(&database, "INSERT INTO item (name) VALUES (NULL)"),
            ConstraintKind::NotNull
        );
        assert_eq!(
            violated(&database, "UPDATE item SET stock = -1"),
            ConstraintKind::Check
        );
        assert_eq!(
            violated(&database, "UPDATE item SET shop = 9"),
            ConstraintKind::ForeignKey
        );
    }

    #[test]
    fn what_a_plugin_may_not_run_is_denied() {
        let database = database();
        for sql in [
            "PRAGMA foreign_keys",
            "BEGIN",
            "COMMIT",
            "ATTACH ':memory:' AS x",
            "CREATE TEMP TABLE t (a)",
        ] {
            assert!(
                matches!(database.execute(sql, &[]), Err(Error::Denied(_))),
                "{sql}"
            );
        }
    }

    #[test]
    fn one_call_runs_one_statement() {
        let outcome = database().execute("DELETE FROM item; DELETE FROM shop", &[]);
        assert!(matches!(outcome, Err(Error::Invalid(_))), "{outcome:?}");
    }

    #[test]
    fn a_transaction_is_isolated_until_it_commits() {
        let database = database();
        let transaction = database.begin().expect("nothing else is open");
        assert_eq!(
            transaction.execute("INSERT INTO item (name) VALUES ('a')", &[]),
            Ok(1)
        );
        let count = |database: &Database| database.query("SELECT * FROM item", &[]).map(|rows| rows.len());
        assert!(matches!(count(&database), Err(Error::Conflict(_))));
        assert!(matches!(database.begin(), Err(Error::Conflict(_))));
        assert!(matches!(
            database.execute("DELETE FROM item", &[]),
            Err(Error::Conflict(_))
        ));
        assert_eq!(transaction.end("COMMIT"), Ok(()));
        assert_eq!(count(&database), Ok(1));
        assert!(matches!(
            transaction.execute("DELETE FROM item", &[]),
            Err(Error::Invalid(_))
        ));
    }

    #[test]
    fn a_statement_that_changes_nothing_answers_zero_and_booleans_are_numbers() {
        let database = database();
        assert_eq!(
            database.execute("INSERT INTO item (name) VALUES ('a')", &[]),
            Ok(1)
        );
        assert_eq!(
            database.execute("UPDATE item SET stock = 1 WHERE id = 99", &[]),
            Ok(0)
        );
        let rows = database
            .query("SELECT active FROM item", &[])
            .map(|rows| rows.rows);
        assert_eq!(rows, Ok(vec![vec![Value::Integer(1)]]));
    }
}
