//! What SQLite says, in the words of the contract.

use std::time::Duration;

use rusqlite::ffi::{self, ErrorCode};

use super::super::error::{ConstraintKind, DatabaseError};
use super::memory::{self, Shortage};
use super::trouble::{self, Fault};
use super::watch::Watch;

/// Translates what SQLite answered to a plugin's statement on a watched connection.
pub(super) fn translate(error: &rusqlite::Error, watch: &Watch) -> DatabaseError {
    if let Some(reason) = watch.take_denial() {
        return DatabaseError::Denied(reason);
    }
    match error {
        rusqlite::Error::SqliteFailure(failure, message) => {
            by_code(failure, message.as_deref().unwrap_or("no details"), watch)
        }
        rusqlite::Error::SqlInputError {
            error, msg, offset, ..
        } if error.code == ErrorCode::Unknown && !is_limit(msg) => {
            DatabaseError::Invalid(format!("{msg} (at byte {offset} of the statement)"))
        }
        rusqlite::Error::SqlInputError { error, msg, .. } => by_code(error, msg, watch),
        rusqlite::Error::MultipleStatement => {
            DatabaseError::Invalid("one call runs one statement; there is another one after it".to_owned())
        }
        other => DatabaseError::Invalid(other.to_string()),
    }
}

/// What LIKE and GLOB say, also where `stop` ended them.
const PATTERN_TOO_LONG: &str = "LIKE or GLOB pattern too complex";

/// Whether SQLite speaks of one of its limits. For most it has no code of their own, only words.
fn is_limit(message: &str) -> bool {
    [
        "too many ",
        "Expression tree is too large",
        "parser stack overflow",
        "Recursion limit",
        PATTERN_TOO_LONG,
    ]
    .iter()
    .any(|begin| message.starts_with(begin))
        || (message.starts_with("at most ") && message.ends_with("tables in a join"))
}

/// What is wrong where the connection should not be used again.
pub(super) fn fault(error: &rusqlite::Error) -> Option<Fault> {
    if is_out_of_memory(error) {
        return match memory::refusal() {
            Some(Shortage::Tenant | Shortage::Host) => Some(Fault::Memory),
            Some(Shortage::System) => Some(Fault::Other),
            // SQLite's program was too long, or the time was over: the connection goes on.
            Some(Shortage::Late | Shortage::Deep) | None => None,
        };
    }
    match error.sqlite_error_code()? {
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Some(Fault::Damage),
        ErrorCode::SystemIoFailure | ErrorCode::CannotOpen | ErrorCode::ApiMisuse => Some(Fault::Other),
        _ => None,
    }
}

fn by_code(failure: &ffi::Error, message: &str, watch: &Watch) -> DatabaseError {
    if is_out_of_memory_code(failure) {
        return out_of_memory(stopped(watch));
    }
    match failure.code {
        ErrorCode::ConstraintViolation => constraint(failure.extended_code, message),
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::SchemaChanged => {
            DatabaseError::Conflict("the database is locked by another writer; try again".to_owned())
        }
        ErrorCode::OperationInterrupted => stopped(watch),
        ErrorCode::DiskFull => DatabaseError::Limit(
            "the database is full: the plan's `database_size` is reached; delete rows or raise it".to_owned(),
        ),
        ErrorCode::TooBig => {
            DatabaseError::Limit(format!("a value or the statement is too large: {message}"))
        }
        ErrorCode::AuthorizationForStatementDenied => {
            DatabaseError::Denied(format!("plugins may not run this statement: {message}"))
        }
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => trouble::damaged(),
        ErrorCode::SystemIoFailure
        | ErrorCode::CannotOpen
        | ErrorCode::PermissionDenied
        | ErrorCode::FileLockingProtocolFailed
        | ErrorCode::NoLargeFileSupport
        | ErrorCode::InternalMalfunction
        | ErrorCode::ApiMisuse => {
            DatabaseError::Unavailable("the tenant's database cannot be used at the moment".to_owned())
        }
        _ if message == PATTERN_TOO_LONG && watch.is_over() => time_limit(watch.allowed()),
        _ if is_limit(message) => DatabaseError::Limit(format!(
            "{message}; the limits of one statement stand in the documentation (limits.md)"
        )),
        ErrorCode::ReadOnly => DatabaseError::Denied("this statement may only read".to_owned()),
        _ => DatabaseError::Invalid(message.to_owned()),
    }
}

/// Whether SQLite was refused memory.
pub(super) fn is_out_of_memory(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(is_out_of_memory_code)
}

fn is_out_of_memory_code(failure: &ffi::Error) -> bool {
    failure.code == ErrorCode::OutOfMemory || failure.extended_code == ffi::SQLITE_IOERR_NOMEM
}

/// Why there was no memory to open a connection.
pub(super) fn out_of_memory_to_open() -> DatabaseError {
    out_of_memory(time_limit(Duration::ZERO))
}

/// Why the watch stopped a statement.
fn stopped(watch: &Watch) -> DatabaseError {
    if watch.has_outgrown() {
        return DatabaseError::Limit(
            "the statement sorts or changes more than fits into the database; take fewer rows at once"
                .to_owned(),
        );
    }
    time_limit(watch.allowed())
}

/// Why SQLite had no memory; `stopped` where that is how the watch stopped the statement.
fn out_of_memory(stopped: DatabaseError) -> DatabaseError {
    match memory::refusal() {
        Some(Shortage::Tenant) => DatabaseError::Limit(
            "the tenant's SQL needs more memory than the plan's `sql_memory`; read, sort or group less at once, run \
             fewer statements at once, or raise it"
                .to_owned(),
        ),
        Some(Shortage::Host) => DatabaseError::Limit(
            "the SQL of all tenants has taken the memory that there is for it; try again, or with less at once"
                .to_owned(),
        ),
        Some(Shortage::Late) => stopped,
        Some(Shortage::Deep) => DatabaseError::Limit(
            "the statement leads to triggers, foreign keys or generated columns that are nested too deeply; let \
             fewer of them lead to each other"
                .to_owned(),
        ),
        Some(Shortage::System) => DatabaseError::Unavailable("the host has no memory at the moment".to_owned()),
        None => DatabaseError::Limit(
            "the statement has more instructions than one may have, with its views and triggers; take it apart"
                .to_owned(),
        ),
    }
}

/// A statement took longer than it may.
pub(super) fn time_limit(allowed: Duration) -> DatabaseError {
    DatabaseError::Limit(format!(
        "the statement took longer than the {} ms that it had; read less at once or add an index",
        allowed.as_millis()
    ))
}

/// The message ends in what SQLite calls the constraint, such as `UNIQUE constraint failed: orders.number`.
fn constraint(extended_code: i32, message: &str) -> DatabaseError {
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
    DatabaseError::Constraint {
        kind,
        name: name.to_owned(),
    }
}
