//! Writes how attempts ended, many in one transaction.
//!
//! An acknowledgement is kept until it is written, however long the database fails. Its slot stays
//! in use meanwhile, so a node whose database fails soon runs no jobs any more. If the process ends
//! before, the attempt counts as lost when its lease ends.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::counters::Counters;
use super::slots::{Slot, Slots};
use crate::domain::job::Acknowledgement;
use crate::domain::units::as_u64;
use crate::fail_point;
use crate::storage::{Acknowledged, DbError, Repository};

/// The most acknowledgements of one transaction.
const MOST: usize = 100;

/// How long the task waits.
#[derive(Clone, Copy, Debug)]
struct Waits {
    /// For more acknowledgements of a transaction.
    gather: Duration,
    /// After a failure. It doubles with each further failure.
    first: Duration,
    /// The longest wait after a failure.
    longest: Duration,
}

impl Waits {
    const DEFAULT: Self = Self {
        gather: Duration::from_millis(5),
        first: Duration::from_millis(50),
        longest: Duration::from_secs(2),
    };

    /// The wait after so many failures in a row.
    fn after(&self, failures: u32) -> Duration {
        let doubled = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
        self.first.saturating_mul(doubled).min(self.longest)
    }
}

/// Failures in a row after which the rest of a round waits for the next one.
const PATIENT: u32 = 3;

/// Where acknowledgements are written to.
#[async_trait]
pub trait AcknowledgementLog: Send + Sync + 'static {
    /// Writes how attempts ended, in one transaction. The results are in the order of `ended`.
    async fn write(&self, ended: &[Acknowledgement]) -> Result<Vec<Acknowledged>, DbError>;
}

#[async_trait]
impl AcknowledgementLog for Arc<dyn Repository> {
    async fn write(&self, ended: &[Acknowledgement]) -> Result<Vec<Acknowledged>, DbError> {
        self.acknowledge_jobs(ended).await
    }
}

/// Passes acknowledgements to the task that writes them.
#[derive(Clone)]
pub struct Acknowledger {
    sender: mpsc::UnboundedSender<Pending>,
}

/// An acknowledgement that is not written yet.
pub struct Pending {
    /// The acknowledgement.
    pub ended: Acknowledgement,
    /// Its slot, which is freed once the acknowledgement is written.
    pub slot: Slot,
}

/// The task that writes acknowledgements.
struct Writer<L> {
    log: L,
    counters: Arc<Counters>,
    waits: Waits,
    /// Acknowledgements that could not be written.
    unwritten: VecDeque<Pending>,
    /// Rounds after which some were still not written.
    failures: u32,
    /// When they are tried again.
    due: Instant,
}

/// What the task does next.
enum Next {
    Write(Vec<Pending>),
    TryAgain,
    End,
}

impl Acknowledger {
    /// Starts the task on the current tokio runtime. It ends when all clones of the acknowledger
    /// are dropped and everything is written.
    pub fn start(log: impl AcknowledgementLog, counters: Arc<Counters>) -> (Self, JoinHandle<()>) {
        Self::start_with(log, counters, Waits::DEFAULT)
    }

    fn start_with(
        log: impl AcknowledgementLog,
        counters: Arc<Counters>,
        waits: Waits,
    ) -> (Self, JoinHandle<()>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let writer = Writer {
            log,
            counters,
            waits,
            unwritten: VecDeque::new(),
            failures: 0,
            due: Instant::now(),
        };
        (Self { sender }, tokio::spawn(writer.run(receiver)))
    }

    /// Queues an acknowledgement. It never waits, and the number of acknowledgements is bounded by
    /// the slots.
    pub fn acknowledge(&self, pending: Pending) {
        // The task receives until the last sender is dropped, and this is one of them.
        let _ = self.sender.send(pending);
    }
}

impl<L: AcknowledgementLog> Writer<L> {
    async fn run(mut self, mut receiver: mpsc::UnboundedReceiver<Pending>) {
        loop {
            match self.next(&mut receiver).await {
                Next::Write(batch) => {
                    if let Err((batch, error)) = self.write(batch).await {
                        self.failed(batch, &error);
                    }
                }
                Next::TryAgain => self.try_again().await,
                Next::End => return,
            }
        }
    }

    async fn next(&self, receiver: &mut mpsc::UnboundedReceiver<Pending>) -> Next {
        let has_unwritten = !self.unwritten.is_empty();
        tokio::select! {
            first = receiver.recv(), if !receiver.is_closed() || !receiver.is_empty() => {
                if let Some(first) = first {
                    return Next::Write(self.gather(first, receiver).await);
                }
            }
            () = sleep_until(self.due), if has_unwritten => return Next::TryAgain,
            else => {}
        }
        // No sender is left.
        match has_unwritten {
            true => {
                sleep_until(self.due).await;
                Next::TryAgain
            }
            false => Next::End,
        }
    }

    /// Waits for more acknowledgements: up to [`MOST`] of them, or for a while. If no other job of
    /// this node runs, there is nothing to wait for.
    async fn gather(&self, first: Pending, receiver: &mut mpsc::UnboundedReceiver<Pending>) -> Vec<Pending> {
        let mut batch = vec![first];
        let deadline = Instant::now() + self.waits.gather;
        let in_use = |batch: &[Pending]| batch.first().map_or(0, |first| first.slot.all_in_use());
        let ended = |batch: &[Pending]| as_u64(batch.len() + self.unwritten.len());
        while batch.len() < MOST && ended(&batch) < u64::from(in_use(&batch)) {
            match timeout_at(deadline, receiver.recv()).await {
                Ok(Some(more)) => batch.push(more),
                Ok(None) | Err(_) => break,
            }
        }
        batch
    }

    /// Writes a batch, and frees its slots. Returns the batch if it was not written.
    async fn write(&self, batch: Vec<Pending>) -> Result<(), (Vec<Pending>, DbError)> {
        let ended: Vec<Acknowledgement> = batch.iter().map(|pending| pending.ended.clone()).collect();
        fail_point::reach("before-acknowledge");
        let written = match self.log.write(&ended).await {
            Ok(written) => written,
            Err(error) => return Err((batch, error)),
        };
        fail_point::reach("after-acknowledge");
        for (ended, written) in ended.iter().zip(written) {
            self.counters.acknowledged(written);
            if written == Acknowledged::Stale {
                tracing::warn!(
                    job = %ended.job,
                    claim = %ended.claim.0,
                    invocation = ended.invocation.map(tracing::field::display),
                    ending = ?ended.ending,
                    "an attempt ended after its lease, so its result is ignored"
                );
            }
        }
        Slots::free_together(batch.into_iter().map(|pending| pending.slot));
        Ok(())
    }

    /// Keeps a batch that was not written.
    fn failed(&mut self, batch: Vec<Pending>, error: &DbError) {
        if self.unwritten.is_empty() {
            let error = error as &dyn std::error::Error;
            tracing::error!(
                error,
                attempts = batch.len(),
                "the results of attempts cannot be written; their slots stay in use until a retry succeeds"
            );
            self.due = Instant::now() + self.waits.after(1);
        }
        self.unwritten.extend(batch);
    }

    /// Writes what was not written: together, and if that fails one by one, in case one of them is
    /// the cause.
    async fn try_again(&mut self) {
        let batch: Vec<Pending> = self.unwritten.drain(..self.unwritten.len().min(MOST)).collect();
        let mut failures_in_a_row = 0;
        if let Err((batch, _)) = self.write(batch).await {
            let mut alone = batch.into_iter();
            while failures_in_a_row < PATIENT
                && let Some(pending) = alone.next()
            {
                match self.write(vec![pending]).await {
                    Ok(()) => failures_in_a_row = 0,
                    Err((batch, _)) => {
                        failures_in_a_row += 1;
                        // At the end, so that the next round begins with others.
                        self.unwritten.extend(batch);
                    }
                }
            }
            for pending in alone.rev() {
                self.unwritten.push_front(pending);
            }
        }
        self.failures = match self.unwritten.is_empty() {
            true => 0,
            false => self.failures.saturating_add(1),
        };
        self.due = Instant::now() + self.waits.after(self.failures);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::domain::clock::Timestamp;
    use crate::domain::id::{ClaimId, JobId};
    use crate::domain::job::{Ending, JobState};

    /// A log that fails as often as it is told, and always for one job.
    #[derive(Default)]
    struct Log {
        batches: Mutex<Vec<Vec<JobId>>>,
        failures: Mutex<u32>,
        poison: Option<JobId>,
        stale: Option<JobId>,
    }

    #[async_trait]
    impl AcknowledgementLog for Arc<Log> {
        async fn write(&self, ended: &[Acknowledgement]) -> Result<Vec<Acknowledged>, DbError> {
            let jobs: Vec<JobId> = ended.iter().map(|ended| ended.job).collect();
            let mut failures = self.failures.lock().unwrap();
            if *failures > 0 || self.poison.is_some_and(|poison| jobs.contains(&poison)) {
                *failures = failures.saturating_sub(1);
                return Err(DbError::corrupt("jobs", "for a test"));
            }
            self.batches.lock().unwrap().push(jobs.clone());
            let written = jobs.into_iter().map(|job| match Some(job) == self.stale {
                true => Acknowledged::Stale,
                false => Acknowledged::Applied(JobState::Done),
            });
            Ok(written.collect())
        }
    }

    fn done(slots: &Arc<Slots>) -> Pending {
        Pending {
            ended: Acknowledgement {
                job: JobId::generate(),
                claim: ClaimId::generate(),
                ending: Ending::Done,
                ended_at: Timestamp(1),
                invocation: None,
            },
            slot: slots.take(),
        }
    }

    fn started(log: &Arc<Log>) -> (Acknowledger, JoinHandle<()>, Arc<Counters>) {
        let counters = Arc::<Counters>::default();
        let short = Duration::from_micros(50);
        let waits = Waits {
            // Long enough for any machine, and never waited for to the end.
            gather: Duration::from_secs(60),
            first: short,
            longest: short,
        };
        let (acknowledger, task) = Acknowledger::start_with(log.clone(), counters.clone(), waits);
        (acknowledger, task, counters)
    }

    #[tokio::test]
    async fn many_are_written_at_once_in_their_order_and_their_slots_are_freed() {
        let (log, slots) = (Arc::<Log>::default(), Slots::new(250));
        let (acknowledger, task, counters) = started(&log);
        let all: Vec<Pending> = (0..250).map(|_| done(&slots)).collect();
        let wanted: Vec<JobId> = all.iter().map(|pending| pending.ended.job).collect();
        for pending in all {
            acknowledger.acknowledge(pending);
        }
        slots.all_free().await;
        let batches = log.batches.lock().unwrap().clone();
        let sizes: Vec<usize> = batches.iter().map(Vec::len).collect();
        assert_eq!(sizes, [MOST, MOST, 50]);
        assert_eq!(batches.concat(), wanted);
        assert_eq!(counters.totals().done, 250);
        drop(acknowledger);
        task.await.unwrap();
    }

    #[tokio::test]
    async fn none_is_lost_while_the_database_fails() {
        let (log, slots) = (Arc::<Log>::default(), Slots::new(3));
        *log.failures.lock().unwrap() = 40;
        let (acknowledger, task, _) = started(&log);
        let mut wanted = Vec::new();
        for _ in 0..3 {
            let pending = done(&slots);
            wanted.push(pending.ended.job);
            acknowledger.acknowledge(pending);
        }
        while *log.failures.lock().unwrap() > 20 {
            tokio::task::yield_now().await;
        }
        assert_eq!(slots.in_use(), 3, "slots are freed only by a write");
        drop(acknowledger);
        task.await.unwrap();
        assert_eq!(slots.in_use(), 0);
        let mut written = log.batches.lock().unwrap().concat();
        written.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(written, wanted);
    }

    #[tokio::test]
    async fn one_that_cannot_be_written_does_not_keep_back_the_others() {
        let slots = Slots::new(5);
        let all: Vec<Pending> = (0..5).map(|_| done(&slots)).collect();
        let log = Arc::new(Log {
            poison: Some(all[1].ended.job),
            ..Log::default()
        });
        let (acknowledger, _task, _) = started(&log);
        for pending in all {
            acknowledger.acknowledge(pending);
        }
        while slots.in_use() > 1 {
            slots.freed().await;
        }
        assert_eq!(log.batches.lock().unwrap().concat().len(), 4);
        // Later ones do not wait for it either.
        acknowledger.acknowledge(done(&slots));
        while slots.in_use() > 1 {
            slots.freed().await;
        }
    }

    #[tokio::test]
    async fn a_stale_result_frees_its_slot_and_is_counted() {
        let slots = Slots::new(1);
        let pending = done(&slots);
        let log = Arc::new(Log {
            stale: Some(pending.ended.job),
            ..Log::default()
        });
        let (acknowledger, _task, counters) = started(&log);
        acknowledger.acknowledge(pending);
        slots.all_free().await;
        assert_eq!((counters.totals().stale, counters.totals().done), (1, 0));
    }

    #[test]
    fn the_wait_doubles_up_to_the_longest() {
        let after = |failures| Waits::DEFAULT.after(failures).as_millis();
        assert_eq!(
            [1, 2, 3, 6, 7, u32::MAX].map(after),
            [50, 100, 200, 1_600, 2_000, 2_000]
        );
    }
}
