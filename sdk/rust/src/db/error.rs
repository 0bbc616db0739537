//! The errors of statements and transactions.

use std::fmt;

use crate::steps;

/// A statement or transaction that failed.
///
/// If a handler returns it through `?`, the response is a 500 and the cause is logged.
/// [`Conflict`](Self::Conflict) and [`Unavailable`](Self::Unavailable) are a 503 with
/// `Retry-After`.
///
/// ```
/// # let _host = mortise_sdk::testing::Host::start();
/// use mortise_sdk::db;
///
/// assert!(matches!(db::query("SELEKT 1", ()), Err(db::Error::Invalid(_))));
/// assert!(matches!(db::query("PRAGMA journal_mode", ()), Err(db::Error::Denied(_))));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The change violates a constraint.
    Constraint {
        /// The kind of constraint.
        kind: ConstraintKind,
        /// Its name if the engine reports one, otherwise the engine's message.
        name: String,
    },
    /// A syntax error, an unknown table or column, a wrong number of parameters, or an ended
    /// transaction.
    Invalid(String),
    /// A lock timeout, a deadlock or a serialization failure. A retry of the transaction may
    /// succeed.
    Conflict(String),
    /// A statement that a plugin may not run.
    Denied(String),
    /// More rows, bytes, statements, time or space than the plan allows.
    Limit(String),
    /// The database is not granted or cannot be reached.
    Unavailable(String),
    /// An error that this version of the SDK does not know.
    Other(String),
    /// A row, or the stored result of a step, does not match the Rust type.
    Decode(String),
    /// [`query_one`](super::query_one) found no row.
    NoRow,
}

/// The kind of a violated constraint.
///
/// ```
/// use mortise_sdk::db::{ConstraintKind, Error};
///
/// let error = Error::Constraint { kind: ConstraintKind::Check, name: "stock >= 0".into() };
/// assert!(!error.is_unique_violation());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConstraintKind {
    /// `UNIQUE` or `PRIMARY KEY`.
    Unique,
    /// `FOREIGN KEY`.
    ForeignKey,
    /// `NOT NULL`.
    NotNull,
    /// `CHECK`.
    Check,
    /// Any other.
    Other,
}

/// Maps database errors to errors for the caller.
///
/// ```
/// use mortise_sdk::prelude::*;
///
/// fn register(email: &str) -> Result<Status, Error> {
///     db::execute("INSERT INTO users (email) VALUES ($1)", (email,))
///         .on_unique_violation(|| Error::conflict("this address is registered already"))?;
///     Ok(Status::CREATED)
/// }
/// # let _host = mortise_sdk::testing::Host::builder().sql("CREATE TABLE users (email TEXT UNIQUE)").start();
/// # assert!(register("a@example.com").is_ok());
/// # assert_eq!(register("a@example.com").unwrap_err().status(), 409);
/// ```
pub trait ResultExt<T> {
    /// Converts a violated `UNIQUE` or `PRIMARY KEY` to the given error, and any other error as `?`
    /// does.
    ///
    /// ```
    /// use mortise_sdk::db::{self, ResultExt};
    ///
    /// let result: Result<u64, db::Error> = Err(db::Error::NoRow);
    /// let error = result.on_unique_violation(|| mortise_sdk::Error::conflict("taken")).unwrap_err();
    /// assert_eq!(error.status(), 500);
    /// ```
    fn on_unique_violation(self, error: impl FnOnce() -> crate::Error) -> Result<T, crate::Error>;
}

impl<T> ResultExt<T> for Result<T, Error> {
    fn on_unique_violation(self, error: impl FnOnce() -> crate::Error) -> Result<T, crate::Error> {
        self.map_err(|cause| {
            if cause.is_unique_violation() {
                error()
            } else {
                cause.into()
            }
        })
    }
}

impl Error {
    /// Whether the change violates a `UNIQUE` or `PRIMARY KEY` constraint.
    ///
    /// ```
    /// assert!(!mortise_sdk::db::Error::NoRow.is_unique_violation());
    /// ```
    pub fn is_unique_violation(&self) -> bool {
        matches!(
            self,
            Self::Constraint {
                kind: ConstraintKind::Unique,
                ..
            }
        )
    }

    /// Whether the change violates a `FOREIGN KEY` constraint.
    ///
    /// ```
    /// assert!(!mortise_sdk::db::Error::NoRow.is_foreign_key_violation());
    /// ```
    pub fn is_foreign_key_violation(&self) -> bool {
        matches!(
            self,
            Self::Constraint {
                kind: ConstraintKind::ForeignKey,
                ..
            }
        )
    }

    /// Whether a retry of the transaction may succeed.
    ///
    /// ```
    /// assert!(mortise_sdk::db::Error::Conflict("database is locked".into()).is_conflict());
    /// ```
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict(_))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constraint { kind, name } => write!(formatter, "a {kind} constraint failed: {name}"),
            Self::Invalid(why) => write!(formatter, "the statement is invalid: {why}"),
            Self::Conflict(why) => write!(formatter, "the database is busy: {why}"),
            Self::Denied(why) => write!(formatter, "the statement is not allowed: {why}"),
            Self::Limit(why) => write!(formatter, "a database limit was reached: {why}"),
            Self::Unavailable(why) => write!(formatter, "the database is unavailable: {why}"),
            Self::Other(why) => write!(formatter, "the database failed: {why}"),
            Self::Decode(why) => write!(formatter, "a row cannot be read: {why}"),
            Self::NoRow => formatter.write_str("the query answered no row"),
        }
    }
}

impl std::error::Error for Error {}

/// Steps are stored in the database, so that a transaction that runs a step has one type of errors.
impl From<steps::Error> for Error {
    fn from(error: steps::Error) -> Self {
        match error {
            steps::Error::Invalid(why) => Self::Invalid(why),
            steps::Error::Limit(why) => Self::Limit(why),
            steps::Error::Unavailable(why) => Self::Unavailable(why),
            steps::Error::Other(why) => Self::Other(why),
            steps::Error::Json(why) => Self::Decode(why),
        }
    }
}

impl fmt::Display for ConstraintKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Unique => "unique",
            Self::ForeignKey => "foreign-key",
            Self::NotNull => "not-null",
            Self::Check => "check",
            Self::Other => "database",
        })
    }
}
