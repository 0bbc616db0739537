//! Translates SQLite's errors into errors of the contract.

use rusqlite::ffi::{self, ErrorCode};

use crate::functions::instead_of;
use crate::limits;

/// Why a statement failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The statement violates a constraint of the schema.
    Constraint {
        /// The kind of the constraint.
        kind: ConstraintKind,
        /// The name that SQLite gives the constraint.
        name: String,
    },
    /// The statement or its parameters are wrong.
    Invalid(String),
    /// A concurrent statement is in conflict with this one. A retry may succeed.
    Conflict(String),
    /// Plugins may not run the statement.
    Denied(String),
    /// The statement or the database exceeds a limit.
    Limit(String),
    /// The database is unavailable.
    Unavailable(String),
}

/// Why a statement failed: an error of SQLite, or one that this crate found.
#[derive(Debug)]
pub enum StatementError {
    /// An error of SQLite.
    Sqlite(rusqlite::Error),
    /// An error that was found without SQLite.
    Found(Failure),
}

impl From<Failure> for StatementError {
    fn from(failure: Failure) -> Self {
        Self::Found(failure)
    }
}

impl From<rusqlite::Error> for StatementError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// The kind of a violated constraint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are SQL's")]
pub enum ConstraintKind {
    Unique,
    ForeignKey,
    NotNull,
    Check,
    Other,
}

/// Translates an error of a plugin's statement. `denial` is the authorizer's reason, if it rejected
/// the statement.
pub fn translate(error: &rusqlite::Error, denial: Option<String>) -> Failure {
    if let Some(reason) = denial {
        return Failure::Denied(reason);
    }
    match error {
        rusqlite::Error::SqliteFailure(failure, message) => {
            by_code(failure, message.as_deref().unwrap_or("no details"))
        }
        rusqlite::Error::SqlInputError {
            error, msg, offset, ..
        } if error.code == ErrorCode::Unknown && limit(msg).is_none() => Failure::Invalid(format!(
            "{msg} (at byte {offset} of the statement){}",
            instead(msg)
        )),
        rusqlite::Error::SqlInputError { error, msg, .. } => by_code(error, msg),
        rusqlite::Error::MultipleStatement => {
            Failure::Invalid("one call runs one statement; there is another one after it".to_owned())
        }
        other => Failure::Invalid(other.to_string()),
    }
}

/// Whether LIKE or GLOB rejected the pattern as too long. A host uses the same limit to stop them.
pub fn is_pattern_limit(error: &rusqlite::Error) -> bool {
    let message = match error {
        rusqlite::Error::SqliteFailure(_, message) => message.as_deref(),
        rusqlite::Error::SqlInputError { msg, .. } => Some(msg.as_str()),
        _ => None,
    };
    message == Some(PATTERN_TOO_LONG)
}

const PATTERN_TOO_LONG: &str = "LIKE or GLOB pattern too complex";

fn by_code(failure: &ffi::Error, message: &str) -> Failure {
    match failure.code {
        ErrorCode::ConstraintViolation => constraint(failure.extended_code, message),
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::SchemaChanged => {
            Failure::Conflict("the database is locked by another writer; try again".to_owned())
        }
        ErrorCode::OperationInterrupted => Failure::Limit("the statement was stopped".to_owned()),
        ErrorCode::DiskFull => Failure::Limit(
            "the database is full: the plan's `database_size` is reached; delete rows or raise it".to_owned(),
        ),
        ErrorCode::OutOfMemory => too_many_instructions(),
        ErrorCode::TooBig if message == "statement too long" => Failure::Limit(format!(
            "the statement is too large: it has at most {} bytes, and a file of a migration {}",
            limits::SQL_BYTES,
            limits::MIGRATION_BYTES
        )),
        ErrorCode::TooBig => Failure::Limit(format!(
            "a value or a row is too large: each has at most {} bytes, and fewer in a large statement",
            limits::VALUE_BYTES
        )),
        ErrorCode::AuthorizationForStatementDenied => {
            Failure::Denied(format!("plugins may not run this statement: {message}"))
        }
        ErrorCode::DatabaseCorrupt
        | ErrorCode::NotADatabase
        | ErrorCode::SystemIoFailure
        | ErrorCode::CannotOpen
        | ErrorCode::PermissionDenied
        | ErrorCode::FileLockingProtocolFailed
        | ErrorCode::NoLargeFileSupport
        | ErrorCode::InternalMalfunction
        | ErrorCode::ApiMisuse => {
            Failure::Unavailable("the tenant's database cannot be used at the moment".to_owned())
        }
        ErrorCode::ReadOnly => Failure::Denied("this statement may only read".to_owned()),
        _ => match limit(message) {
            Some(reached) => Failure::Limit(reached),
            None => Failure::Invalid(format!("{message}{}", instead(message))),
        },
    }
}

/// The error for a statement whose program is too long, which SQLite reports as a lack of memory.
pub fn too_many_instructions() -> Failure {
    Failure::Limit(format!(
        "the statement has more instructions than the {} that one may have, with its views and triggers; take it apart",
        limits::INSTRUCTIONS
    ))
}

/// Describes the limit that SQLite's message reports. Most limits have no error code of their own.
fn limit(message: &str) -> Option<String> {
    let begins = |words: &[&str]| words.iter().any(|begin| message.starts_with(begin));
    let (what, most) = if begins(&["too many SQL variables"]) {
        (
            "a statement has at most",
            format!("{} parameters", limits::PARAMETERS),
        )
    } else if begins(&["too many terms in compound SELECT"]) {
        (
            "a UNION and the like have at most",
            format!("{} terms", limits::TERMS),
        )
    } else if begins(&["too many arguments on"]) {
        (
            "a function has at most",
            format!("{} arguments", limits::ARGUMENTS),
        )
    } else if begins(&["too many columns", "too many terms in"]) {
        (
            "a table, a result and an ORDER BY have at most",
            format!("{} columns", limits::COLUMNS),
        )
    } else if begins(&["too many levels of trigger recursion"]) {
        (
            "triggers call each other over at most",
            format!("{} levels", limits::TRIGGERS),
        )
    } else if begins(&[
        "Expression tree is too large",
        "parser stack overflow",
        "Recursion limit",
    ]) {
        ("an expression has at most", format!("{} levels", limits::DEPTH))
    } else if message == PATTERN_TOO_LONG {
        (
            "a pattern has at most",
            format!("{} bytes", limits::PATTERN_BYTES),
        )
    } else if message.starts_with("at most ") && message.ends_with("tables in a join") {
        ("a join has at most", format!("{} tables", limits::TABLES))
    } else if begins(&["too many "]) {
        return Some(format!(
            "{message}; the limits of one statement stand in the documentation (limits.md)"
        ));
    } else {
        return None;
    };
    Some(format!(
        "{message}: {what} {most} (limits.md of the documentation lists the limits of one statement)"
    ))
}

/// Suggests a replacement for a function that does not exist.
fn instead(message: &str) -> &'static str {
    let name = message.strip_prefix("no such function: ").unwrap_or_default();
    instead_of(&name.to_ascii_lowercase())
}

/// Splits the constraint from the message, such as `UNIQUE constraint failed: orders.number`.
fn constraint(extended_code: i32, message: &str) -> Failure {
    let kind = match extended_code {
        ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY | ffi::SQLITE_CONSTRAINT_ROWID => {
            ConstraintKind::Unique
        }
        ffi::SQLITE_CONSTRAINT_FOREIGNKEY => ConstraintKind::ForeignKey,
        ffi::SQLITE_CONSTRAINT_NOTNULL => ConstraintKind::NotNull,
        ffi::SQLITE_CONSTRAINT_CHECK => ConstraintKind::Check,
        _ => ConstraintKind::Other,
    };
    let name = message
        .split_once("constraint failed: ")
        .map_or(message, |(_, name)| name);
    Failure::Constraint {
        kind,
        name: name.to_owned(),
    }
}
