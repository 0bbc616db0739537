//! A transaction of the test database, with the jobs, events and results that exist once it
//! commits.

use std::cell::RefCell;

use mortise_sql::statement::COMPLETED_BEFORE;

use super::{Accepted, Background};
use crate::db::{Error, Rows, Value};
use crate::testing::database;

#[derive(Debug)]
pub(crate) struct TransactionHandle {
    database: database::TransactionHandle,
    pending: RefCell<Pending>,
}

/// What exists once the transaction commits.
#[derive(Debug, Default)]
struct Pending {
    accepted: Vec<Accepted>,
    /// Job, name and result of steps.
    steps: Vec<(String, String, String)>,
    /// The job that the transaction completes.
    completes: Option<String>,
    /// Whether the job was completed before, so that the transaction cannot commit.
    is_conflicting: bool,
}

impl TransactionHandle {
    pub fn new(database: database::TransactionHandle) -> Self {
        Self {
            database,
            pending: RefCell::default(),
        }
    }

    pub fn query(&self, sql: &str, params: &[Value]) -> Result<Rows, Error> {
        self.database.query(sql, params)
    }

    pub fn execute(&self, sql: &str, params: &[Value]) -> Result<u64, Error> {
        self.database.execute(sql, params)
    }

    /// An error if the transaction has ended.
    pub fn check_open(&self) -> Result<(), Error> {
        self.database.check_open()
    }

    /// How many jobs wait for the commit.
    pub fn pending_jobs(&self) -> usize {
        self.pending.borrow().accepted.iter().map(Accepted::jobs).sum()
    }

    /// How many results of steps wait for the commit.
    pub fn pending_steps(&self) -> usize {
        self.pending.borrow().steps.len()
    }

    /// Keeps a job or an event until the commit. Returns its id.
    pub(in crate::testing) fn add(&self, accepted: Accepted) -> String {
        let id = match &accepted {
            Accepted::Job(job) => job.job.id.clone(),
            Accepted::Event(event, _) => event.id.clone(),
        };
        self.pending.borrow_mut().accepted.push(accepted);
        id
    }

    pub fn store_step(&self, job: String, name: &str, result: &str) {
        let step = (job, name.to_owned(), result.to_owned());
        self.pending.borrow_mut().steps.push(step);
    }

    /// Completes the running job when the transaction commits.
    pub(in crate::testing) fn complete(&self, job: String, background: &Background) -> Result<(), Error> {
        let mut pending = self.pending.borrow_mut();
        if pending.completes.is_some() || background.completed.borrow().contains(&job) {
            pending.is_conflicting = true;
            return Err(Error::Conflict(COMPLETED_BEFORE.to_owned()));
        }
        pending.completes = Some(job);
        Ok(())
    }

    pub(in crate::testing) fn commit(&self, background: &Background) -> Result<(), Error> {
        let pending = self.pending.take();
        if pending.is_conflicting {
            self.database.end("ROLLBACK")?;
            return Err(Error::Conflict(COMPLETED_BEFORE.to_owned()));
        }
        self.database.end("COMMIT")?;
        for accepted in pending.accepted {
            background.add(accepted);
        }
        for (job, name, result) in pending.steps {
            background.store_step(job, name, result);
        }
        background.completed.borrow_mut().extend(pending.completes);
        Ok(())
    }

    pub fn rollback(&self) -> Result<(), Error> {
        self.pending.take();
        self.database.end("ROLLBACK")
    }
}
