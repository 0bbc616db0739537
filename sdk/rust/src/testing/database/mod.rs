//! The test database: SQLite in a temporary file, with the host's rules (`mortise-sql`).
//!
//! - `connection`: one connection; `script`: the SQL of the schema; `folder`: the temporary folder.

mod connection;
#[cfg(test)]
mod corpus;
mod folder;
mod script;
#[cfg(test)]
mod tests;

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;

use mortise_sql::statement::{
    CURSOR_WRITES, SECOND_TRANSACTION, TRANSACTION_OVER, TRANSACTION_ROLLED_BACK, WRITES_BESIDE,
};
use mortise_sql::{Author, Failure, Views, view_texts};

pub(super) use script::{Converting, Script};

use crate::db::{ConstraintKind, Error, Rows, Value};
use connection::{May, TestConnection};
use folder::Folder;

/// A database in which each transaction has its own connection, so that statements outside an open
/// transaction see the state before it, as on the host.
pub(super) struct Database {
    /// Created at the first use, because most tests need none.
    opened: OnceCell<Opened>,
    /// The current invocation: 0 is the test itself, and each request that it sends has a number.
    invocation: Cell<u64>,
}

/// The state that all connections share.
#[derive(Clone, Debug)]
struct Shared {
    /// The invocation with the open transaction, if there is one. Only one transaction can be open.
    in_transaction: Rc<Cell<Option<u64>>>,
    views: Rc<Views>,
    folder: Rc<Folder>,
}

struct Opened {
    main: TestConnection,
    shared: Shared,
}

#[derive(Debug)]
pub(crate) struct TransactionHandle {
    /// `Err` once the transaction has ended, with the reason.
    open: RefCell<Result<OpenTransaction, &'static str>>,
}

/// An open transaction. Dropping it closes the connection, which rolls back.
#[derive(Debug)]
struct OpenTransaction {
    connection: TestConnection,
    _mark: Mark,
    _folder: Rc<Folder>,
}

#[derive(Debug)]
struct Mark(Rc<Cell<Option<u64>>>);

#[derive(Debug)]
pub(crate) struct CursorHandle {
    columns: Vec<String>,
    rows: RefCell<std::vec::IntoIter<Vec<Value>>>,
}

impl Database {
    /// Creates a database and runs `scripts` on it. A mistake in them fails the test.
    pub fn create(scripts: Vec<Script>, converting: Converting) -> Self {
        let opened = OnceCell::new();
        if !scripts.is_empty() {
            opened.get_or_init(|| Opened::new(&scripts, converting));
        }
        Self {
            opened,
            invocation: Cell::new(0),
        }
    }

    /// Sets the invocation of the next calls. The transaction of another invocation counts as
    /// another client's.
    pub fn enter(&self, invocation: u64) {
        self.invocation.set(invocation);
    }

    pub fn query(&self, sql: &str, params: &[Value]) -> Result<Rows, Error> {
        let opened = self.opened();
        Ok(opened
            .main
            .query(sql, params, opened.may(self.invocation.get()))?)
    }

    pub fn execute(&self, sql: &str, params: &[Value]) -> Result<u64, Error> {
        let opened = self.opened();
        Ok(opened
            .main
            .execute(sql, params, opened.may(self.invocation.get()))?)
    }

    pub fn open(&self, sql: &str, params: &[Value]) -> Result<CursorHandle, Error> {
        let rows = self.opened().main.query(sql, params, May::Read(CURSOR_WRITES))?;
        Ok(CursorHandle {
            columns: rows.columns,
            rows: RefCell::new(rows.rows.into_iter()),
        })
    }

    pub fn begin(&self) -> Result<TransactionHandle, Error> {
        let shared = &self.opened().shared;
        let invocation = Some(self.invocation.get());
        if shared.in_transaction.get() == invocation {
            return Err(Error::Invalid(SECOND_TRANSACTION.to_owned()));
        }
        let connection = TestConnection::open(&shared.folder.file(), Author::Plugin, shared.views.clone())?;
        connection.run_trusted("BEGIN IMMEDIATE")?;
        shared.in_transaction.set(invocation);
        let open = OpenTransaction {
            connection,
            _mark: Mark(shared.in_transaction.clone()),
            _folder: shared.folder.clone(),
        };
        Ok(TransactionHandle {
            open: RefCell::new(Ok(open)),
        })
    }

    fn opened(&self) -> &Opened {
        self.opened.get_or_init(|| Opened::new(&[], Converting::Warned))
    }
}

impl Opened {
    fn new(scripts: &[Script], converting: Converting) -> Self {
        let folder = Rc::new(Folder::create());
        let broken = |failure: Failure| panic!("the database of the test cannot be opened: {failure:?}");
        let file = folder.file();
        script::run(&file, scripts, converting);
        let looking = TestConnection::open(&file, Author::Host, Rc::default()).unwrap_or_else(broken);
        let texts = view_texts(&looking.raw)
            .unwrap_or_else(|error| panic!("the views of the test's database cannot be read: {error}"));
        let shared = Shared {
            in_transaction: Rc::default(),
            views: Rc::new(Views::of(texts)),
            folder,
        };
        Self {
            main: TestConnection::open(&file, Author::Plugin, shared.views.clone()).unwrap_or_else(broken),
            shared,
        }
    }

    /// Whether a statement outside a transaction may write. If another invocation has a transaction
    /// open, SQLite's own lock decides.
    fn may(&self, invocation: u64) -> May {
        if self.shared.in_transaction.get() == Some(invocation) {
            May::Read(WRITES_BESIDE)
        } else {
            May::Write
        }
    }
}

impl TransactionHandle {
    pub fn query(&self, sql: &str, params: &[Value]) -> Result<Rows, Error> {
        self.run(|connection| connection.query(sql, params, May::Write))
    }

    pub fn execute(&self, sql: &str, params: &[Value]) -> Result<u64, Error> {
        self.run(|connection| connection.execute(sql, params, May::Write))
    }

    /// An error if the transaction has ended.
    pub fn check_open(&self) -> Result<(), Error> {
        match &*self.open.borrow() {
            Ok(_) => Ok(()),
            Err(reason) => Err(over(reason).into()),
        }
    }

    pub fn end(&self, how: &str) -> Result<(), Error> {
        let ended = self.open.replace(Err(TRANSACTION_OVER));
        Ok(ended.map_err(over)?.connection.run_trusted(how)?)
    }

    fn run<T>(&self, work: impl FnOnce(&TestConnection) -> Result<T, Failure>) -> Result<T, Error> {
        let mut open = self.open.borrow_mut();
        let connection = match &*open {
            Ok(open) => &open.connection,
            Err(ended) => return Err(over(ended).into()),
        };
        let result = work(connection);
        // OR ROLLBACK ends the transaction. The next statement must not run outside of it.
        if connection.raw.is_autocommit() {
            *open = Err(TRANSACTION_ROLLED_BACK);
        }
        Ok(result?)
    }
}

impl CursorHandle {
    pub fn columns(&self) -> Vec<String> {
        self.columns.clone()
    }

    pub fn next(&self, max: u32) -> Vec<Vec<Value>> {
        self.rows.borrow_mut().by_ref().take(max as usize).collect()
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        self.0.set(None);
    }
}

fn over(reason: &str) -> Failure {
    Failure::Invalid(reason.to_owned())
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        use mortise_sql::ConstraintKind as Kind;
        match failure {
            Failure::Constraint { kind, name } => Error::Constraint {
                kind: match kind {
                    Kind::Unique => ConstraintKind::Unique,
                    Kind::ForeignKey => ConstraintKind::ForeignKey,
                    Kind::NotNull => ConstraintKind::NotNull,
                    Kind::Check => ConstraintKind::Check,
                    Kind::Other => ConstraintKind::Other,
                },
                name,
            },
            Failure::Invalid(message) => Error::Invalid(message),
            Failure::Conflict(message) => Error::Conflict(message),
            Failure::Denied(message) => Error::Denied(message),
            Failure::Limit(message) => Error::Limit(message),
            Failure::Unavailable(message) => Error::Unavailable(message),
        }
    }
}
