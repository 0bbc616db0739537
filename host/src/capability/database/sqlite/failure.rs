//! Translates the errors of SQLite on a watched connection into errors of the contract.

use std::time::Duration;

use rusqlite::ffi::{self, ErrorCode};

use super::super::error::DatabaseError;
use super::file_faults::{self, Fault};
use crate::sqlite::memory::{self, Shortage};
use crate::sqlite::watch::Watch;

/// Translates an error of a plugin's statement.
pub(super) fn translate(error: &rusqlite::Error, watch: &Watch) -> DatabaseError {
    let denial = watch.authorizer.take_denial();
    if denial.is_none() {
        if is_out_of_memory(error) {
            return out_of_memory(stopped(watch));
        }
        if mortise_sql::is_pattern_limit(error) && watch.is_over() {
            return time_limit(watch.allowed());
        }
        match error.sqlite_error_code() {
            Some(ErrorCode::OperationInterrupted) => return stopped(watch),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => return file_faults::damaged(),
            _ => {}
        }
    }
    mortise_sql::translate(error, denial).into()
}

/// The fault of the connection, if it must not be used again.
pub(super) fn fault(error: &rusqlite::Error) -> Option<Fault> {
    if is_out_of_memory(error) {
        return match memory::refusal() {
            Some(Shortage::Tenant | Shortage::Host) => Some(Fault::Memory),
            Some(Shortage::System) => Some(Fault::Other),
            // The program was too long or the time was over. The connection remains usable.
            Some(Shortage::Late | Shortage::Deep) | None => None,
        };
    }
    match error.sqlite_error_code()? {
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Some(Fault::Damage),
        ErrorCode::SystemIoFailure | ErrorCode::CannotOpen | ErrorCode::ApiMisuse => Some(Fault::Other),
        _ => None,
    }
}

/// Whether an allocation of SQLite failed.
pub(super) fn is_out_of_memory(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|failure| {
        failure.code == ErrorCode::OutOfMemory || failure.extended_code == ffi::SQLITE_IOERR_NOMEM
    })
}

/// The error for a connection that could not be opened for lack of memory.
pub(super) fn out_of_memory_to_open() -> DatabaseError {
    out_of_memory(time_limit(Duration::ZERO))
}

/// The error for a statement that the watch stopped.
fn stopped(watch: &Watch) -> DatabaseError {
    if watch.has_outgrown() {
        return DatabaseError::Limit(
            "the statement sorts or changes more than fits into the database; take fewer rows at once"
                .to_owned(),
        );
    }
    time_limit(watch.allowed())
}

/// The error for a failed allocation. `stopped` is returned if the watch refused the memory because
/// the time was over.
fn out_of_memory(stopped: DatabaseError) -> DatabaseError {
    match memory::refusal() {
        Some(Shortage::Tenant) => DatabaseError::Limit(
            "the tenant's SQL needs more memory than the plan's `sql_memory`; read, sort or group less at once, run \
             fewer statements at once, or raise it"
                .to_owned(),
        ),
        Some(Shortage::Host) => DatabaseError::Limit(
            "the memory for the SQL of all tenants is used up; try again, or process less at once"
                .to_owned(),
        ),
        Some(Shortage::Late) => stopped,
        Some(Shortage::Deep) => DatabaseError::Limit(
            "the statement uses triggers, foreign keys or generated columns that are nested too deeply; reduce \
             their nesting"
                .to_owned(),
        ),
        Some(Shortage::System) => DatabaseError::Unavailable("the host has no memory at the moment".to_owned()),
        None => mortise_sql::too_many_instructions().into(),
    }
}

/// The error for a statement that exceeded its time limit.
pub(super) fn time_limit(allowed: Duration) -> DatabaseError {
    DatabaseError::Limit(format!(
        "the statement took longer than the {} ms that it had; read less at once or add an index",
        allowed.as_millis()
    ))
}
