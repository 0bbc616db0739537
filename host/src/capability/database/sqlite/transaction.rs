//! Transactions that a guest keeps open between host calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use mortise_sql::statement::{COMPLETED_BEFORE, COMPLETED_LATE, TRANSACTION_OVER, TRANSACTION_ROLLED_BACK};
use tokio::time::Instant;

use super::super::engine::{Effects, OnCommit, OpenTransaction, OutboxMarks, OutboxRoom, Step};
use super::super::error::DatabaseError;
use super::super::statement::{Answer, Scope, Statement, Want};
use super::SqliteDatabases;
use super::connection::{Allowance, Connection};
use super::pool::Lease;
use super::run::{Outcome, broken_or, run};
use super::{completed, job, outbox, steps};
use crate::domain::id::JobId;

/// A transaction. Dropping it while it is open rolls it back before anybody else writes.
pub(super) struct SqliteTransaction {
    open: Option<Open>,
    databases: Arc<SqliteDatabases>,
    scope: Scope,
    ended: Ended,
    effects: Effects,
    /// Whether the outbox was compared with what was relayed, in this transaction.
    outbox_checked: bool,
}

/// Marks an invocation as having an open transaction.
pub(super) struct OpenMark(Arc<AtomicBool>);

struct Open {
    lease: Lease,
    mark: OpenMark,
    /// The room for the jobs of its outbox entries.
    rooms: Vec<Box<dyn OutboxRoom>>,
}

/// Why a transaction is not open.
#[derive(Clone, Copy)]
enum Ended {
    /// The guest committed it or rolled it back.
    ByGuest,
    /// It was rolled back, because a statement in it was stopped.
    Stopped,
    /// It was rolled back for this reason, and the guest has not rolled it back yet.
    Refused(&'static str),
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
        databases: Arc<SqliteDatabases>,
        lease: Lease,
        scope: Scope,
        mark: OpenMark,
    ) -> Result<Self, DatabaseError> {
        let (lease, begun) = job::host(&databases.threads, lease, &scope, "BEGIN IMMEDIATE").await;
        begun?;
        Ok(Self {
            open: lease.map(|lease| Open {
                lease,
                mark,
                rooms: Vec::new(),
            }),
            databases,
            scope,
            ended: Ended::Stopped,
            effects: Effects::default(),
            outbox_checked: false,
        })
    }

    /// Does work in the transaction.
    async fn work<T: Send + 'static>(
        &mut self,
        deadline: Instant,
        work: impl FnOnce(&mut Connection) -> Result<T, DatabaseError> + Send + 'static,
    ) -> Result<T, DatabaseError> {
        let Open { lease, mark, rooms } = self.take()?;
        // Set before the work runs, because a dropped future does not return here.
        self.ended = Ended::Stopped;
        let allowance = Allowance::of(&self.scope.limits);
        let (lease, result) = job::run(
            &self.databases.threads,
            lease,
            deadline,
            allowance,
            move |connection| {
                let result = work(connection);
                // SQLite itself rolls back the transaction if a write is interrupted or the disk is
                // full. The next statement must not run outside of it.
                Ok((result, connection.is_clean() || connection.fault.is_some()))
            },
        )
        .await;
        let (result, ended) = result?;
        if !ended {
            self.open = lease.map(|lease| Open { lease, mark, rooms });
        }
        result
    }

    /// Rolls back, and leaves the guest nothing but to do so too. The writer is free at once.
    fn refuse(&mut self, why: &'static str) -> DatabaseError {
        self.open = None;
        self.ended = Ended::Refused(why);
        self.over()
    }

    fn take(&mut self) -> Result<Open, DatabaseError> {
        self.open.take().ok_or_else(|| self.over())
    }

    fn over(&self) -> DatabaseError {
        match self.ended {
            Ended::ByGuest => DatabaseError::Invalid(TRANSACTION_OVER.to_owned()),
            Ended::Stopped => DatabaseError::Invalid(TRANSACTION_ROLLED_BACK.to_owned()),
            Ended::Refused(why) => DatabaseError::Conflict(why.to_owned()),
        }
    }
}

#[async_trait]
impl OpenTransaction for SqliteTransaction {
    async fn run(&mut self, statement: Statement, want: Want) -> Result<Answer, DatabaseError> {
        let (deadline, bounds) = (self.scope.statement_deadline(), self.scope.bounds());
        let outcome = self
            .work(deadline, move |connection| {
                run(connection, statement, want, bounds)
            })
            .await?;
        match outcome {
            Outcome::Done(answer) => Ok(answer),
            Outcome::NeedsWriter(_) => Err(DatabaseError::Unavailable("the database failed".to_owned())),
        }
    }

    async fn add_to_outbox(
        &mut self,
        entry: String,
        room: Box<dyn OutboxRoom>,
        marks: &dyn OutboxMarks,
    ) -> Result<(), DatabaseError> {
        self.check_open()?;
        let tenant = self.open.as_ref().map(|open| open.lease.tenant.clone());
        let deadline = self.scope.deadline;
        if let Some(tenant) = tenant
            && !self.outbox_checked
            && !tenant.outbox_is_checked()
        {
            let mark = marks.mark(tenant.id).await?;
            let is_known = mark.is_some();
            let checked = tenant.clone();
            let epoch = self
                .work(deadline, move |connection| {
                    outbox::prepare(connection, &checked, mark.as_ref())
                })
                .await?;
            // The control plane has to know of the outbox before it has an entry.
            if !is_known {
                marks.set_epoch(tenant.id, &epoch).await?;
            }
            self.outbox_checked = true;
        }
        let jobs = room.jobs();
        self.work(deadline, move |connection| outbox::add(connection, &entry, jobs))
            .await?;
        if let Some(open) = &mut self.open {
            open.rooms.push(room);
        }
        self.effects.outbox_entries += 1;
        Ok(())
    }

    async fn complete(&mut self, job: JobId) -> Result<(), DatabaseError> {
        self.check_open()?;
        let (now, deadline) = (self.databases.clock.now(), self.scope.deadline);
        // After the deadline, the mark of another attempt may be gone already.
        if Instant::now() >= deadline {
            return Err(self.refuse(COMPLETED_LATE));
        }
        let is_first = self
            .work(deadline, move |connection| completed::add(connection, job, now))
            .await?;
        if !is_first {
            return Err(self.refuse(COMPLETED_BEFORE));
        }
        self.effects.completed_job = true;
        Ok(())
    }

    async fn store_step(&mut self, step: Step) -> Result<u32, DatabaseError> {
        let deadline = self.scope.deadline;
        self.work(deadline, move |connection| steps::store(connection, &step))
            .await
    }

    fn effects(&self) -> Effects {
        self.effects
    }

    async fn commit(&mut self, then: OnCommit) -> Result<Effects, DatabaseError> {
        let Open { lease, mark, rooms } = self.take()?;
        self.ended = Ended::ByGuest;
        let (tenant, effects, outbox_checked) = (lease.tenant.clone(), self.effects, self.outbox_checked);
        let committed = tenant.clone();
        let allowance = Allowance::of(&self.scope.limits);
        let (lease, result) = job::run(
            &self.databases.threads,
            lease,
            self.scope.deadline,
            allowance,
            move |connection| {
                let commit = connection.as_host(|raw| raw.execute_batch("COMMIT"));
                commit.map_err(|error| broken_or(connection, error.into()))?;
                if outbox_checked {
                    committed.outbox_was_checked();
                }
                for room in rooms {
                    room.committed();
                }
                then(effects);
                Ok(())
            },
        )
        .await;
        // A commit that failed leaves the transaction open; dropping the lease rolls it back.
        drop((lease, mark));
        result?;
        if effects.completed_job {
            // The next writer does not wait for the disk.
            let file = tenant.file.clone();
            let synced = self.databases.threads.spawn(move || outbox::sync(&file)).await;
            synced.unwrap_or_else(|error| {
                tracing::error!(%error, "a database thread failed");
                Err(DatabaseError::Unavailable("the database failed".to_owned()))
            })?;
        }
        Ok(effects)
    }

    async fn rollback(&mut self) -> Result<(), DatabaseError> {
        if let (None, Ended::Refused(_)) = (&self.open, self.ended) {
            self.ended = Ended::ByGuest;
            return Ok(());
        }
        let Open { lease, mark, rooms } = self.take()?;
        self.ended = Ended::ByGuest;
        let (lease, result) = job::host(&self.databases.threads, lease, &self.scope, "ROLLBACK").await;
        drop((lease, mark, rooms));
        result
    }

    fn check_open(&self) -> Result<(), DatabaseError> {
        match self.open {
            Some(_) => Ok(()),
            None => Err(self.over()),
        }
    }
}
