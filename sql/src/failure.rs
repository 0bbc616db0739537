//! What SQLite says, in the words of the contract.

use rusqlite::ffi::{self, ErrorCode};

use crate::functions::instead_of;
use crate::limits;

/// Why a statement did not do what it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// A constraint of the schema does not hold.
    Constraint {
        /// Which kind.
        kind: ConstraintKind,
        /// What SQLite calls it.
        name: String,
    },
    /// The statement or its parameters are wrong.
    Invalid(String),
    /// Somebody else was in the way; trying again may succeed.
    Conflict(String),
    /// A plugin may not run this.
    Denied(String),
    /// More than one statement or one database may have.
    Limit(String),
    /// The database does not work.
    Unavailable(String),
}

/// Why a statement did not run to its end: SQLite said so, or this crate found it.
#[derive(Debug)]
pub enum StatementError {
    /// SQLite said so.
    Sqlite(rusqlite::Error),
    /// It was found without SQLite.
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

/// Translates what SQLite answered to a plugin's statement. `denial` is why the authorizer refused
/// it, if it did.
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

/// Whether LIKE or GLOB found the pattern too long, which is also how a host stops them.
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

/// Why SQLite had no memory though it was refused none: the program of a statement became too long.
pub fn too_many_instructions() -> Failure {
    Failure::Limit(format!(
        "the statement has more instructions than the {} that one may have, with its views and triggers; take it apart",
        limits::INSTRUCTIONS
    ))
}

/// The name and the number of the limit that SQLite speaks of. For most it has no code of their
/// own, only words.
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

/// What to use instead of a function that does not exist.
fn instead(message: &str) -> &'static str {
    let name = message.strip_prefix("no such function: ").unwrap_or_default();
    instead_of(&name.to_ascii_lowercase())
}

/// The message ends in what SQLite calls the constraint, such as `UNIQUE constraint failed: orders.number`.
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
