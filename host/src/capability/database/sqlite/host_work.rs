//! The host's own work on a tenant's database, outside of an invocation: it waits as long as it
//! takes and has no limits but time.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::OptionalExtension as _;
use tokio::time::Instant;

use super::super::error::DatabaseError;
use super::SqliteDatabases;
use super::connection::{Allowance, Connection};
use super::job;
use super::pool::{Role, Tenant};
use super::run::broken_or;
use crate::domain::id::TenantId;

/// The time limit of one piece of work.
const TIME: Duration = Duration::from_secs(60);

impl SqliteDatabases {
    /// Whether the tenant has a database. Returns an error if it should have one and the file is
    /// damaged or missing.
    pub(super) fn has_file(&self, tenant: TenantId) -> Result<bool, DatabaseError> {
        let file = self.file(tenant);
        self.file_faults.check(tenant, &file)?;
        Ok(file.metadata().is_ok_and(|metadata| metadata.len() > 0))
    }

    /// Runs the host's own work on one of the tenant's connections.
    pub(super) async fn host_work<T: Send + 'static>(
        &self,
        tenant: &Arc<Tenant>,
        role: Role,
        work: impl FnOnce(&mut Connection) -> Result<T, DatabaseError> + Send + 'static,
    ) -> Result<T, DatabaseError> {
        let deadline = Instant::now() + TIME;
        let lease = tenant.lease(role, deadline).await?;
        let allowance = Allowance {
            database_bytes: u64::MAX,
            memory: None,
        };
        let (_lease, result) = job::run(&self.threads, lease, deadline, allowance, work).await;
        result
    }
}

/// Runs the host's own SQL in a transaction that writes.
pub(super) fn in_transaction<T>(
    connection: &mut Connection,
    work: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<T>,
) -> Result<T, DatabaseError> {
    begin(connection)?;
    let done = connection
        .as_host(work)
        .map_err(|error| broken_or(connection, error.into()))?;
    commit(connection)?;
    Ok(done)
}

/// Begins a transaction that writes. If it is not committed, it is rolled back when the lease of
/// the connection is dropped.
pub(super) fn begin(connection: &mut Connection) -> Result<(), DatabaseError> {
    run(connection, "BEGIN IMMEDIATE")
}

/// Commits the transaction.
pub(super) fn commit(connection: &mut Connection) -> Result<(), DatabaseError> {
    run(connection, "COMMIT")
}

fn run(connection: &mut Connection, sql: &str) -> Result<(), DatabaseError> {
    connection
        .as_host(|raw| raw.execute_batch(sql))
        .map_err(|error| broken_or(connection, error.into()))
}

/// Whether the database has a table with this name. The host's tables are created at their first
/// use.
pub(super) fn has_table(raw: &rusqlite::Connection, name: &str) -> rusqlite::Result<bool> {
    let found = raw.query_row(
        "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?1",
        [name],
        |_| Ok(()),
    );
    Ok(found.optional()?.is_some())
}
