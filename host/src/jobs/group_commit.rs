//! Adds the jobs of many callers in one commit.
//!
//! A commit is synced to the disk, which takes milliseconds. Callers that arrive while one runs
//! share the next one. As long as callers share commits, the next commit also waits a moment for
//! more of them. A single caller does not wait.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};

use super::counters::Counters;
use super::logged_errors::{LoggedErrors, WorkError, in_time};
use super::wake::Wake;
use crate::capability::jobs::QueueError;
use crate::domain::job::NewJob;
use crate::domain::units::as_u64;
use crate::fail_point;
use crate::storage::{Added, Repository};

/// The most jobs of one commit, unless one caller adds more at once.
const MOST: usize = 100;

/// How long a commit waits for more callers.
const GATHER: Duration = Duration::from_millis(2);

/// Adds jobs to the queue.
pub(super) struct GroupCommit {
    db: Arc<dyn Repository>,
    wake: Arc<Wake>,
    counters: Arc<Counters>,
    runtime: Handle,
    pending: Mutex<Pending>,
    /// Told when a full batch waits.
    full: Notify,
    logged_errors: LoggedErrors<&'static str>,
}

/// The callers that wait for a commit.
#[derive(Default)]
struct Pending {
    callers: Vec<Caller>,
    jobs: usize,
    /// Whether a task commits. It takes the callers until none is left.
    is_served: bool,
}

/// A caller with its jobs.
struct Caller {
    jobs: Vec<NewJob>,
    answer: oneshot::Sender<Result<Vec<Added>, QueueError>>,
}

/// Lets the callers go if the task is aborted or panics before it has served them.
struct Serving<'a> {
    commits: &'a GroupCommit,
    is_done: bool,
}

impl GroupCommit {
    /// Commits run on the current tokio runtime.
    pub fn new(db: Arc<dyn Repository>, wake: Arc<Wake>, counters: Arc<Counters>) -> Arc<Self> {
        Arc::new(Self {
            db,
            wake,
            counters,
            runtime: Handle::current(),
            pending: Mutex::default(),
            full: Notify::new(),
            logged_errors: LoggedErrors::default(),
        })
    }

    /// Adds jobs, all of them or none. Returns once they are durable. If the caller stops waiting
    /// before the commit begins, they are not added.
    pub async fn add(self: &Arc<Self>, jobs: Vec<NewJob>) -> Result<Vec<Added>, QueueError> {
        let (answer, answered) = oneshot::channel();
        {
            let mut pending = self.pending();
            pending.jobs += jobs.len();
            pending.callers.push(Caller { jobs, answer });
            if pending.jobs >= MOST {
                self.full.notify_one();
            }
            if !std::mem::replace(&mut pending.is_served, true) {
                let this = self.clone();
                self.runtime.spawn(async move { this.serve().await });
            }
        }
        answered.await.unwrap_or(Err(QueueError::Unavailable))
    }

    /// Commits until no caller waits.
    async fn serve(&self) {
        let mut serving = Serving {
            commits: self,
            is_done: false,
        };
        let mut is_shared = false;
        loop {
            if is_shared {
                // If a permit of `full` is left over from an earlier batch, this one is smaller.
                let _ = tokio::time::timeout(GATHER, self.full.notified()).await;
            }
            let Some(batch) = self.take() else {
                // From here on, another task may serve.
                serving.is_done = true;
                return;
            };
            is_shared = batch.len() > 1;
            self.commit(batch).await;
        }
    }

    /// The callers of the next commit. `None` if there is none: the next caller starts a new task.
    fn take(&self) -> Option<Vec<Caller>> {
        let mut pending = self.pending();
        let mut jobs = 0;
        let counted = pending.callers.iter().take_while(|caller| {
            let fits = jobs < MOST;
            jobs += caller.jobs.len();
            fits
        });
        let count = counted.count();
        if count == 0 {
            pending.is_served = false;
            return None;
        }
        let batch: Vec<Caller> = pending.callers.drain(..count).collect();
        pending.jobs = pending.callers.iter().map(|caller| caller.jobs.len()).sum();
        Some(batch)
    }

    async fn commit(&self, mut batch: Vec<Caller>) {
        batch.retain(|caller| !caller.answer.is_closed());
        let sizes: Vec<usize> = batch.iter().map(|caller| caller.jobs.len()).collect();
        let jobs: Vec<NewJob> = batch
            .iter_mut()
            .flat_map(|caller| caller.jobs.drain(..))
            .collect();
        let mut added = self.write(&jobs).await;
        for (caller, size) in batch.into_iter().zip(sizes) {
            let answer = match &mut added {
                Ok(added) => Ok(added.drain(..size.min(added.len())).collect()),
                Err(_) => Err(QueueError::Unavailable),
            };
            // If the caller is gone, its jobs are added all the same.
            let _ = caller.answer.send(answer);
        }
    }

    async fn write(&self, jobs: &[NewJob]) -> Result<Vec<Added>, WorkError> {
        if jobs.is_empty() {
            return Ok(Vec::new());
        }
        let added = in_time(self.db.add_jobs(jobs)).await;
        if let Some(error) = self.logged_errors.news(&"add", &added) {
            tracing::error!(
                error,
                "jobs cannot be added to the queue; plugins get `unavailable`"
            );
        }
        let added = added?;
        fail_point::reach("enqueue-added");
        self.counters.enqueued(as_u64(count_new(&added)));
        self.wake.jobs_added();
        Ok(added)
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        // Nothing panics while the lock is held.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Serving<'_> {
    fn drop(&mut self) {
        if !self.is_done {
            // The callers get an error, since their senders are dropped.
            *self.commits.pending() = Pending::default();
        }
    }
}

/// How many of the jobs are new.
pub(super) fn count_new(added: &[Added]) -> usize {
    added
        .iter()
        .filter(|added| matches!(added, Added::New(_)))
        .count()
}
