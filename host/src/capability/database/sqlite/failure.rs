//! What SQLite says, in the words of the contract.

use rusqlite::ffi::{self, ErrorCode};

use super::super::error::{ConstraintKind, DatabaseError};
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
        } if error.code == ErrorCode::Unknown => {
            DatabaseError::Invalid(format!("{msg} (at byte {offset} of the statement)"))
        }
        rusqlite::Error::SqlInputError { error, msg, .. } => by_code(error, msg, watch),
        rusqlite::Error::MultipleStatement => {
            DatabaseError::Invalid("one call runs one statement; there is another one after it".to_owned())
        }
        other => DatabaseError::Invalid(other.to_string()),
    }
}

/// What is wrong where the connection should not be used again.
pub(super) fn fault(error: &rusqlite::Error) -> Option<Fault> {
    match error.sqlite_error_code()? {
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Some(Fault::Damage),
        ErrorCode::SystemIoFailure
        | ErrorCode::CannotOpen
        | ErrorCode::OutOfMemory
        | ErrorCode::ApiMisuse => Some(Fault::Other),
        _ => None,
    }
}

fn by_code(failure: &ffi::Error, message: &str, watch: &Watch) -> DatabaseError {
    match failure.code {
        ErrorCode::ConstraintViolation => constraint(failure.extended_code, message),
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::SchemaChanged => {
            DatabaseError::Conflict("the database is locked by another writer; try again".to_owned())
        }
        ErrorCode::OperationInterrupted if watch.has_outgrown() => DatabaseError::Limit(
            "the statement sorts or changes more than fits into the database; take fewer rows at once"
                .to_owned(),
        ),
        ErrorCode::OperationInterrupted => time_limit(watch.allowed()),
        ErrorCode::DiskFull => DatabaseError::Limit(
            "the database is full: the plan's `database_size` is reached; delete rows or raise it".to_owned(),
        ),
        ErrorCode::TooBig => {
            DatabaseError::Limit(format!("a value or the statement is too large: {message}"))
        }
        ErrorCode::OutOfMemory => DatabaseError::Limit(
            "the statement needs more memory than there is; sort or group fewer rows".to_owned(),
        ),
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
        ErrorCode::ReadOnly => DatabaseError::Denied("this statement may only read".to_owned()),
        _ => DatabaseError::Invalid(message.to_owned()),
    }
}

/// A statement took longer than it may.
pub(super) fn time_limit(allowed: std::time::Duration) -> DatabaseError {
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
