//! Counts jobs for the metrics of this node.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::slots::Slots;
use crate::domain::clock::SharedClock;
use crate::domain::job::JobState;
use crate::metrics::{JobTotals, JobsNow};
use crate::storage::{Acknowledged, DbError, Repository};

/// Counts what becomes of jobs.
#[derive(Debug, Default)]
pub struct Counters {
    enqueued: AtomicU64,
    done: AtomicU64,
    retried: AtomicU64,
    dead: AtomicU64,
    cancelled: AtomicU64,
    lost: AtomicU64,
    stale: AtomicU64,
}

/// Reads and counts jobs for the metrics.
#[derive(Clone)]
pub struct JobMetrics {
    db: Arc<dyn Repository>,
    clock: SharedClock,
    counters: Arc<Counters>,
    slots: Arc<Slots>,
}

impl Counters {
    /// Counts jobs that were added.
    pub fn enqueued(&self, jobs: u64) {
        self.enqueued.fetch_add(jobs, Ordering::Relaxed);
    }

    /// Counts attempts whose lease, or whose process, ended before their result was written.
    pub fn lost(&self, attempts: u64) {
        self.lost.fetch_add(attempts, Ordering::Relaxed);
    }

    /// Counts an attempt by what was written about its end.
    pub fn acknowledged(&self, written: Acknowledged) {
        let count = match written {
            Acknowledged::Stale => &self.stale,
            Acknowledged::Applied(JobState::Done) => &self.done,
            Acknowledged::Applied(JobState::Dead) => &self.dead,
            Acknowledged::Applied(JobState::Cancelled) => &self.cancelled,
            Acknowledged::Applied(_) => &self.retried,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// The counts so far.
    pub fn totals(&self) -> JobTotals {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        JobTotals {
            enqueued: read(&self.enqueued),
            done: read(&self.done),
            retried: read(&self.retried),
            dead: read(&self.dead),
            cancelled: read(&self.cancelled),
            lost: read(&self.lost),
            stale: read(&self.stale),
        }
    }
}

impl JobMetrics {
    /// Metrics of a node with these slots.
    pub fn new(
        db: Arc<dyn Repository>,
        clock: SharedClock,
        counters: Arc<Counters>,
        slots: Arc<Slots>,
    ) -> Self {
        Self {
            db,
            clock,
            counters,
            slots,
        }
    }

    /// The counts since the start of this node.
    pub fn totals(&self) -> JobTotals {
        self.counters.totals()
    }

    /// The jobs of all tenants now.
    pub async fn now(&self) -> Result<JobsNow, DbError> {
        let now = self.clock.now();
        let mut all = JobsNow {
            slots_in_use: self.slots.in_use().into(),
            slots: self.slots.total().into(),
            ..JobsNow::default()
        };
        for (_, counts) in self.db.job_counts().await? {
            all.queued += counts.live.saturating_sub(counts.running);
            all.running += counts.running;
            all.dead += counts.dead;
            let waited = counts.oldest_ready.map(|ready| now.since(ready));
            all.oldest_ready = all.oldest_ready.max(waited.unwrap_or_default());
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_counted_by_what_was_written() {
        let counters = Counters::default();
        counters.enqueued(5);
        for written in [
            Acknowledged::Applied(JobState::Done),
            Acknowledged::Applied(JobState::Scheduled),
            Acknowledged::Applied(JobState::Ready),
            Acknowledged::Applied(JobState::Dead),
            Acknowledged::Applied(JobState::Cancelled),
            Acknowledged::Stale,
        ] {
            counters.acknowledged(written);
        }
        counters.lost(2);
        assert_eq!(
            counters.totals(),
            JobTotals {
                enqueued: 5,
                done: 1,
                retried: 2,
                dead: 1,
                cancelled: 1,
                lost: 2,
                stale: 1,
            }
        );
    }
}
