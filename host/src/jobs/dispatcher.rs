//! Claims ready jobs for the free slots of this node, and runs each in a task of its own.
//!
//! The dispatcher looks for jobs when some are added, when a slot becomes free, and about once a
//! second. It never claims more jobs than there are free slots, because a claimed job that waits
//! would use up its lease.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::acknowledge::{Acknowledger, Pending};
use super::ending;
use super::logged_errors::LoggedErrors;
use super::runner::Runner;
use super::slots::{Slot, Slots};
use super::wake::Wake;
use crate::domain::clock::SharedClock;
use crate::domain::id::{ClaimId, InvocationId, JobId, TenantId};
use crate::domain::job::{Acknowledgement, ClaimedJob, Ending};
use crate::domain::units::as_u64;
use crate::fail_point;
use crate::invoke::HOST_FAILED;
use crate::storage::{ClaimPolicy, ClaimRound, DbError, Repository};

/// How often the dispatcher looks for jobs, if nothing wakes it. Other nodes may have added some.
const POLL: Duration = Duration::from_secs(1);

/// How often the dispatcher looks for jobs to cancel.
const CANCEL_POLL: Duration = Duration::from_secs(1);

/// The most rounds in a row that claim nothing, although there may be more jobs: they only moved
/// jobs that cannot run out of the way.
const EMPTY_ROUNDS: u32 = 16;

/// How long stopped jobs have to end, and the ends of attempts to be written, when the host stops.
const STOPPING: Duration = Duration::from_secs(5);

/// Claims jobs and runs them.
pub struct Dispatcher {
    pub(super) db: Arc<dyn Repository>,
    pub(super) runner: Arc<dyn Runner>,
    pub(super) policy: Arc<dyn ClaimPolicy>,
    pub(super) clock: SharedClock,
    pub(super) wake: Arc<Wake>,
    pub(super) slots: Arc<Slots>,
    pub(super) acknowledger: Acknowledger,
    /// The name of this node in attempts.
    pub(super) node: String,
    /// Where jobs run.
    pub(super) background: Handle,
    /// Cancelled when no more jobs are to be claimed.
    pub(super) draining: CancellationToken,
    pub(super) claims: tokio::sync::Mutex<Claims>,
    /// How many jobs were claimed so far.
    pub(super) claimed: AtomicU64,
    pub(super) running: Mutex<HashMap<ClaimId, Running>>,
    pub(super) logged_errors: LoggedErrors<&'static str>,
}

/// The state of claiming. It is locked during a round.
#[derive(Debug, Default)]
pub(super) struct Claims {
    /// The tenant after which the next round begins.
    cursor: Option<TenantId>,
}

/// A running job of this node.
#[derive(Debug)]
pub(super) struct Running {
    job: JobId,
    stop: oneshot::Sender<Stop>,
}

/// How far a node has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    /// How many jobs were claimed so far.
    claimed: u64,
    /// Whether no job runs.
    pub is_idle: bool,
}

/// Why a running job is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// Somebody cancelled it.
    Cancelled,
    /// The host stops.
    Draining,
}

impl Dispatcher {
    /// Claims and runs jobs until the host drains.
    pub async fn run(self: Arc<Self>) {
        loop {
            tokio::select! {
                () = self.draining.cancelled() => return,
                () = self.wake.for_jobs() => {}
                () = self.slots.freed() => {}
                () = sleep(ending::with_jitter(POLL)) => {}
            }
            self.claim_or_later().await;
        }
    }

    /// Stops cancelled jobs until no job can run any more.
    pub async fn watch_cancellations(self: Arc<Self>, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.wake.for_cancellations() => {}
                () = sleep(CANCEL_POLL) => {}
            }
            self.cancel_requested().await;
        }
    }

    /// Claims jobs while there are some and slots are free. Returns how many.
    pub async fn claim_or_later(self: &Arc<Self>) -> u64 {
        let mut claims = self.claims.lock().await;
        let (mut claimed, mut empty_rounds) = (0, 0);
        while empty_rounds < EMPTY_ROUNDS && !self.draining.is_cancelled() {
            let round = match self.claim(&mut claims).await {
                Some(round) => round,
                None => break,
            };
            let jobs = as_u64(round.claimed.len());
            claimed += jobs;
            self.claimed.fetch_add(jobs, Ordering::SeqCst);
            empty_rounds = if jobs == 0 { empty_rounds + 1 } else { 0 };
            for job in round.claimed {
                self.start(job);
            }
            if !round.more {
                break;
            }
        }
        claimed
    }

    /// One round of claims. `None` if no slot is free or the database failed.
    async fn claim(&self, claims: &mut Claims) -> Option<ClaimRound> {
        let free = self.slots.free();
        if free == 0 {
            return None;
        }
        let now = self.clock.now();
        let round = self
            .db
            .claim_jobs(&self.node, claims.cursor, free, now, &*self.policy);
        // Without a time limit: a claim that is stopped may have been written, and its jobs would
        // wait for the end of their lease. The database has a time limit for locks.
        let round: Result<ClaimRound, DbError> = round.await;
        if let Some(error) = self.logged_errors.news(&"claim", &round) {
            tracing::error!(
                error,
                "jobs cannot be claimed, so none are started; the host tries again"
            );
        }
        let round = round.ok()?;
        claims.cursor = round.cursor;
        if !round.claimed.is_empty() {
            fail_point::reach("claimed");
        }
        Some(round)
    }

    fn start(self: &Arc<Self>, claimed: ClaimedJob) {
        let (stop, stopped) = oneshot::channel();
        let running = Running {
            job: claimed.job.new.id,
            stop,
        };
        self.running().insert(claimed.claim, running);
        let (this, slot) = (self.clone(), self.slots.take());
        self.background
            .spawn(async move { this.run_one(claimed, slot, stopped).await });
    }

    async fn run_one(&self, claimed: ClaimedJob, slot: Slot, stopped: oneshot::Receiver<Stop>) {
        let invocation = OnceLock::new();
        let ending = self.ending(&claimed, &invocation, stopped).await;
        self.running().remove(&claimed.claim);
        let Some(ending) = ending else {
            tracing::warn!(job = %claimed.job.new.id, claim = %claimed.claim.0, attempt = claimed.job.attempt,
                "a job was not run, because its lease had ended before it could start");
            return;
        };
        let ended = Acknowledgement {
            job: claimed.job.new.id,
            claim: claimed.claim,
            ending,
            ended_at: self.clock.now(),
            invocation: invocation.get().copied(),
        };
        self.acknowledger.acknowledge(Pending { ended, slot });
    }

    /// Runs an attempt to its end, or until it is stopped.
    async fn ending(
        &self,
        claimed: &ClaimedJob,
        invocation: &OnceLock<InvocationId>,
        stopped: oneshot::Receiver<Stop>,
    ) -> Option<Ending> {
        let job = &claimed.job;
        let stop = {
            let run = self.runner.run(claimed, invocation);
            let run = pin!(AssertUnwindSafe(run).catch_unwind());
            tokio::select! {
                Ok(stop) = stopped => stop,
                ending = run => match ending {
                    Ok(ending) => return ending,
                    // The panic is logged by its hook.
                    Err(_) => {
                        return Some(ending::retry(job, HOST_FAILED.to_owned(), self.clock.now()));
                    }
                },
            }
        };
        // The plugin may have committed before it was stopped.
        if invocation.get().is_some() && self.runner.has_completed(job).await {
            return Some(Ending::Done);
        }
        Some(match stop {
            Stop::Cancelled => Ending::Cancelled,
            Stop::Draining => Ending::Interrupted {
                error: "the host was stopped before the job ended".to_owned(),
            },
        })
    }

    /// Stops the jobs of this node that somebody cancelled.
    pub async fn cancel_requested(&self) {
        if self.running().is_empty() {
            return;
        }
        let requests = self.db.cancel_requests(&self.node).await;
        if let Some(error) = self.logged_errors.news(&"cancel", &requests) {
            tracing::error!(error, "cancelled jobs cannot be looked up; the host tries again");
        }
        for (_, claim) in requests.unwrap_or_default() {
            self.stop(claim, Stop::Cancelled);
        }
    }

    /// Claims no more jobs.
    pub fn start_draining(&self) {
        self.draining.cancel();
    }

    /// Claims no more jobs, waits for the running ones, and stops those that run longer than
    /// `drain_timeout`. They run again at once, on another node or after the next start.
    pub async fn drain(&self, drain_timeout: Duration) {
        self.start_draining();
        // A round of claims that is in progress starts its jobs first.
        drop(self.claims.lock().await);
        if timeout(drain_timeout, self.slots.all_free()).await.is_ok() {
            return;
        }
        let claims: Vec<ClaimId> = self.running().keys().copied().collect();
        tracing::warn!(
            jobs = claims.len(),
            "jobs are stopped, because the host stops; they run again"
        );
        for claim in claims {
            self.stop(claim, Stop::Draining);
        }
        if timeout(STOPPING, self.slots.all_free()).await.is_err() {
            tracing::error!(
                jobs = self.slots.in_use(),
                "the results of attempts were not written before the host stopped; these attempts are lost, \
                 and their jobs run again, or are dead letters after their last attempt"
            );
        }
    }

    /// How far this node has come.
    pub fn progress(&self) -> Progress {
        Progress {
            claimed: self.claimed.load(Ordering::SeqCst),
            is_idle: self.slots.in_use() == 0,
        }
    }

    /// Claims and runs jobs until none is left that can run now, and none runs.
    pub async fn until_idle(self: &Arc<Self>) {
        while self.claim_or_later().await > 0 || self.slots.in_use() > 0 {
            self.slots.all_free().await;
        }
    }

    fn stop(&self, claim: ClaimId, why: Stop) {
        if let Some(running) = self.running().remove(&claim) {
            tracing::info!(job = %running.job, ?why, "a running job is stopped");
            // An error means that the job has ended by itself.
            let _ = running.stop.send(why);
        }
    }

    fn running(&self) -> MutexGuard<'_, HashMap<ClaimId, Running>> {
        // Nothing panics while the lock is held.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
