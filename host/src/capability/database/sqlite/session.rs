//! The session: one invocation's use of its tenant's database.
//!
//! A database has one writer. An invocation with an open transaction holds it. A write outside that
//! transaction, or a second transaction, would wait for itself, so both are rejected.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use mortise_sql::statement::{SECOND_TRANSACTION, STEP_BESIDE, WRITES_BESIDE};

use super::super::engine::{Cursor, DatabaseSize, Session, Step, Transaction};
use super::super::error::DatabaseError;
use super::super::statement::{Answer, Scope, Statement, Want};
use super::SqliteDatabases;
use super::connection::{Allowance, Connection};
use super::cursor::SqliteCursor;
use super::pool::{Role, Tenant};
use super::run::{self, Outcome};
use super::transaction::{OpenMark, SqliteTransaction};
use super::{host_work, job, steps};
use crate::domain::id::JobId;

/// One invocation's use of its tenant's database.
pub(super) struct SqliteSession {
    databases: Arc<SqliteDatabases>,
    tenant: Arc<Tenant>,
    scope: Scope,
    /// Whether the invocation has an open transaction, which holds the tenant's only writer.
    in_transaction: Arc<AtomicBool>,
}

impl SqliteSession {
    pub(super) fn new(databases: Arc<SqliteDatabases>, tenant: Arc<Tenant>, scope: Scope) -> Self {
        Self {
            databases,
            tenant,
            scope,
            in_transaction: Arc::default(),
        }
    }

    fn is_in_transaction(&self) -> bool {
        self.in_transaction.load(Ordering::Relaxed)
    }

    async fn run_on(&self, role: Role, statement: Statement, want: Want) -> Result<Outcome, DatabaseError> {
        let lease = self.tenant.lease(role, self.scope.deadline).await?;
        let (deadline, bounds) = (self.scope.statement_deadline(), self.scope.bounds());
        let allowance = Allowance::of(&self.scope.limits);
        let work = move |connection: &mut Connection| run::run(connection, statement, want, bounds);
        let (_lease, result) = job::run(&self.databases.threads, lease, deadline, allowance, work).await;
        self.databases.weigh_again(&self.tenant);
        result
    }

    /// Runs the host's own SQL for the invocation, within its limits and until its deadline.
    async fn host_work<T: Send + 'static>(
        &self,
        role: Role,
        work: impl FnOnce(&mut Connection) -> Result<T, DatabaseError> + Send + 'static,
    ) -> Result<T, DatabaseError> {
        let deadline = self.scope.deadline;
        let lease = self.tenant.lease(role, deadline).await?;
        let allowance = Allowance::of(&self.scope.limits);
        let (_lease, result) = job::run(&self.databases.threads, lease, deadline, allowance, work).await;
        self.databases.weigh_again(&self.tenant);
        result
    }
}

#[async_trait]
impl Session for SqliteSession {
    async fn run(&mut self, statement: Statement, want: Want) -> Result<Answer, DatabaseError> {
        let may_write = !self.is_in_transaction();
        let mut statement = statement;
        // SQLite decides whether a statement reads. The first word only saves most writes an
        // attempt on a reader.
        if !may_write || begins_like_a_read(&statement.sql) {
            match self.run_on(Role::Reader, statement, want).await? {
                Outcome::Done(answer) => return Ok(answer),
                Outcome::NeedsWriter(back) => statement = back,
            }
        }
        if !may_write {
            return Err(DatabaseError::Invalid(WRITES_BESIDE.to_owned()));
        }
        match self.run_on(Role::Writer, statement, want).await? {
            Outcome::Done(answer) => Ok(answer),
            Outcome::NeedsWriter(_) => Err(DatabaseError::Unavailable("the database failed".to_owned())),
        }
    }

    /// Begins a transaction. It waits for the writer.
    async fn begin(&mut self) -> Result<Transaction, DatabaseError> {
        if self.is_in_transaction() {
            return Err(DatabaseError::Invalid(SECOND_TRANSACTION.to_owned()));
        }
        let mark = OpenMark::set(&self.in_transaction);
        let mut lease = self.tenant.lease(Role::Writer, self.scope.deadline).await?;
        lease.count(self.databases.transactions.hold());
        let begun = SqliteTransaction::begin(self.databases.clone(), lease, self.scope.clone(), mark).await;
        self.databases.weigh_again(&self.tenant);
        Ok(Box::new(begun?))
    }

    async fn open(&mut self, statement: Statement) -> Result<Cursor, DatabaseError> {
        let threads = &self.databases.cursors;
        let lease = self.tenant.lease(Role::Cursor, self.scope.deadline).await?;
        let permit = threads
            .acquire(&self.tenant.cursor_threads, self.scope.deadline)
            .await?;
        let opened = SqliteCursor::open(threads, lease, permit, self.scope.clone(), statement).await;
        self.databases.weigh_again(&self.tenant);
        Ok(Box::new(opened?))
    }

    async fn step(&mut self, job: JobId, name: &str) -> Result<Option<String>, DatabaseError> {
        if !self.databases.has_file(self.scope.tenant)? {
            return Ok(None);
        }
        let name = name.to_owned();
        self.host_work(Role::Reader, move |connection| {
            steps::load(connection, job, &name)
        })
        .await
    }

    async fn store_step(&mut self, step: Step) -> Result<u32, DatabaseError> {
        if self.is_in_transaction() {
            return Err(DatabaseError::Invalid(STEP_BESIDE.to_owned()));
        }
        self.host_work(Role::Writer, move |connection| {
            host_work::begin(connection)?;
            let count = steps::store(connection, &step)?;
            host_work::commit(connection)?;
            Ok(count)
        })
        .await
    }

    fn size(&self) -> DatabaseSize {
        DatabaseSize {
            stored: self.tenant.bytes(),
            memory: self.tenant.budget.most(),
        }
    }
}

fn begins_like_a_read(sql: &str) -> bool {
    let word = sql
        .trim_start()
        .split(|character: char| !character.is_ascii_alphabetic())
        .next()
        .unwrap_or("");
    ["select", "with", "values", "explain"]
        .iter()
        .any(|read| word.eq_ignore_ascii_case(read))
}
