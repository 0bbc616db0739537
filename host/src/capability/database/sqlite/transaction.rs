//! Transactions that a guest keeps open between host calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use mortise_sql::statement::{TRANSACTION_OVER, TRANSACTION_ROLLED_BACK};

use super::super::engine::OpenTransaction;
use super::super::error::DatabaseError;
use super::super::statement::{Answer, Scope, Statement, Want};
use super::connection::Allowance;
use super::job::{self, Threads};
use super::pool::Lease;
use super::run::{Outcome, run};

/// A transaction. Dropping it while it is open rolls it back before anybody else writes.
pub(super) struct SqliteTransaction {
    open: Option<Open>,
    threads: Threads,
    scope: Scope,
    ended: &'static str,
}

/// Marks an invocation as having an open transaction.
pub(super) struct OpenMark(Arc<AtomicBool>);

struct Open {
    lease: Lease,
    mark: OpenMark,
}

impl OpenMark {
    /// Sets `flag` until the mark is dropped.
    pub(super) fn set(flag: &Arc<AtomicBool>) -> Self {
        flag.store(true, Ordering::Relaxed);
        Self(flag.clone())
    }
}

impl Drop for OpenMark {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

impl SqliteTransaction {
    /// Begins a transaction on a lease of the writer.
    pub(super) async fn begin(
        threads: &Threads,
        lease: Lease,
        scope: Scope,
        mark: OpenMark,
    ) -> Result<Self, DatabaseError> {
        let (lease, begun) = job::host(threads, lease, &scope, "BEGIN IMMEDIATE").await;
        begun?;
        Ok(Self {
            open: lease.map(|lease| Open { lease, mark }),
            threads: threads.clone(),
            scope,
            ended: TRANSACTION_ROLLED_BACK,
        })
    }

    async fn end(&mut self, sql: &'static str) -> Result<(), DatabaseError> {
        let Open { lease, mark } = self.take()?;
        self.ended = TRANSACTION_OVER;
        let (lease, result) = job::host(&self.threads, lease, &self.scope, sql).await;
        // A commit that failed leaves the transaction open; dropping the lease rolls it back.
        drop((lease, mark));
        result
    }

    fn take(&mut self) -> Result<Open, DatabaseError> {
        self.open.take().ok_or_else(|| self.over())
    }

    fn over(&self) -> DatabaseError {
        DatabaseError::Invalid(self.ended.to_owned())
    }
}

#[async_trait]
impl OpenTransaction for SqliteTransaction {
    async fn run(&mut self, statement: Statement, want: Want) -> Result<Answer, DatabaseError> {
        let Open { lease, mark } = self.take()?;
        let bounds = self.scope.bounds();
        // Set before the statement runs, because a dropped future does not return here.
        self.ended = TRANSACTION_ROLLED_BACK;
        let (lease, result) = job::run(
            &self.threads,
            lease,
            self.scope.statement_deadline(),
            Allowance::of(&self.scope.limits),
            move |connection| {
                let result = run(connection, statement, want, bounds);
                // SQLite itself rolls back the transaction if a write is interrupted or the disk is
                // full. The next statement must not run outside of it.
                Ok((result, connection.is_clean() || connection.fault.is_some()))
            },
        )
        .await;
        let (result, ended) = result?;
        if !ended {
            self.open = lease.map(|lease| Open { lease, mark });
        }
        match result? {
            Outcome::Done(answer) => Ok(answer),
            Outcome::NeedsWriter(_) => Err(DatabaseError::Unavailable("the database failed".to_owned())),
        }
    }

    async fn commit(&mut self) -> Result<(), DatabaseError> {
        self.end("COMMIT").await
    }

    async fn rollback(&mut self) -> Result<(), DatabaseError> {
        self.end("ROLLBACK").await
    }

    fn check_open(&self) -> Result<(), DatabaseError> {
        match self.open {
            Some(_) => Ok(()),
            None => Err(self.over()),
        }
    }
}
