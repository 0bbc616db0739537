//! Jobs that were completed in a transaction of the tenant's database, together with their effects.

use super::super::error::DatabaseError;
use super::SqliteDatabases;
use super::connection::Connection;
use super::host_work::has_table;
use super::outbox;
use super::pool::Role;
use super::run::broken_or;
use crate::domain::clock::Timestamp;
use crate::domain::id::{JobId, TenantId};

const CREATE: &str = "
    CREATE TABLE IF NOT EXISTS _mortise_completed (
        job TEXT NOT NULL PRIMARY KEY,
        at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID";

impl SqliteDatabases {
    /// See [`DatabaseEngine::is_completed`](super::super::engine::DatabaseEngine::is_completed).
    pub(super) async fn was_completed(&self, id: TenantId, job: JobId) -> Result<bool, DatabaseError> {
        if !self.has_file(id)? {
            return Ok(false);
        }
        let tenant = self.tenant(id);
        let file = tenant.file.clone();
        let look = self.host_work(&tenant, Role::Reader, move |connection| {
            let result = connection.as_host(|raw| contains(raw, job));
            let is_completed = result.map_err(|error| broken_or(connection, error.into()))?;
            // The attempt that completed it may have ended before the commit was on the disk.
            if is_completed {
                outbox::sync(&file)?;
            }
            Ok(is_completed)
        });
        look.await
    }
}

/// Marks a job as completed in an open transaction. Returns `false` if it was completed before.
pub(super) fn add(connection: &mut Connection, job: JobId, now: Timestamp) -> Result<bool, DatabaseError> {
    let result = connection.as_host(|raw| {
        raw.execute_batch(CREATE)?;
        raw.execute(
            "INSERT INTO _mortise_completed (job, at) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
            (job.to_string(), now.0),
        )
    });
    result
        .map(|inserted| inserted == 1)
        .map_err(|error| broken_or(connection, error.into()))
}

fn contains(raw: &rusqlite::Connection, job: JobId) -> rusqlite::Result<bool> {
    if !has_table(raw, "_mortise_completed")? {
        return Ok(false);
    }
    raw.query_row(
        "SELECT EXISTS (SELECT 1 FROM _mortise_completed WHERE job = ?1)",
        [job.to_string()],
        |row| row.get(0),
    )
}
