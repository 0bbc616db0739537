//! The background task that writes ledger entries to the database in batches.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::sleep;

use super::follow::Followers;
use super::queue::{BATCH_ENTRIES, Batch, GaveWay, Queue, log_bytes};
use super::{Counts, Entry};
use crate::domain::clock::{SharedClock, Timestamp};
use crate::domain::id::TenantId;
use crate::domain::units::as_u64;
use crate::storage::{Kept, Repository, Totals};

/// How often a failed batch is retried.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retry {
    /// The wait before the second attempt. It doubles with each further attempt.
    pub first_wait: Duration,
    pub longest_wait: Duration,
    /// The attempts that a flush waits for, and the attempts of a ledger that is being closed.
    pub patient: u32,
    /// The attempts after which a batch is dropped.
    pub most: u32,
}

impl Retry {
    /// About ten minutes, the time to notice and free a full disk. Meanwhile the queue is bounded,
    /// and the usage of dropped records is kept.
    pub const DEFAULT: Self = Self {
        first_wait: Duration::from_millis(500),
        longest_wait: Duration::from_secs(15),
        patient: 4,
        most: 45,
    };

    fn wait(&self, attempt: u32) -> Duration {
        let doubled = 1_u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
        self.first_wait.saturating_mul(doubled).min(self.longest_wait)
    }
}

/// The most rounds of pruning after a batch. Further pruning waits for the next batch, so that one
/// tenant does not delay the records of others.
const PRUNE_ROUNDS: usize = 32;

/// When a tenant exceeds its limit, the oldest part of this size (1/16) is deleted, so that not
/// every batch prunes again.
const FREED_PART: u64 = 16;

/// The least time between two warnings about dropped entries.
const WARNING_INTERVAL: Duration = Duration::from_secs(10);

pub(super) struct Writer {
    db: Arc<dyn Repository>,
    clock: SharedClock,
    followers: Arc<Followers>,
    counts: Arc<Counts>,
    retry: Retry,
    /// The usage of invocations without a record that is not written yet.
    unrecorded: Totals,
    warned_at: Option<Timestamp>,
    warned_of: u64,
}

impl Writer {
    pub fn new(
        db: Arc<dyn Repository>,
        clock: SharedClock,
        followers: Arc<Followers>,
        counts: Arc<Counts>,
        retry: Retry,
    ) -> Self {
        Self {
            db,
            clock,
            followers,
            counts,
            retry,
            unrecorded: Totals::default(),
            warned_at: None,
            warned_of: 0,
        }
    }

    /// Writes until the ledger is dropped and its queue is empty.
    pub async fn run(mut self, queue: Arc<Queue>) {
        while let Some(mut batch) = queue.next().await {
            let mut entries = std::mem::take(&mut batch.entries);
            while !entries.is_empty() {
                let rest = entries.split_off(entries.len().min(BATCH_ENTRIES));
                let bytes = entries.iter().map(log_bytes).sum();
                self.write(entries, &mut batch, &queue).await;
                queue.written(bytes);
                entries = rest;
            }
            self.unrecorded.merge(batch.unrecorded);
            self.write_unrecorded().await;
            self.warn_of(queue.gave_way());
            release(&mut batch.flushed);
        }
    }

    /// Writes entries of a batch, with retries, until the database accepts them or they are
    /// dropped. Dropped entries are counted, and their usage is written later.
    async fn write(&mut self, entries: Vec<Entry>, batch: &mut Batch, queue: &Queue) {
        let count = as_u64(entries.len());
        for attempt in 1.. {
            let error = match self.db.record(&entries).await {
                Ok(kept) => {
                    self.counts.written.fetch_add(count, Ordering::Relaxed);
                    self.publish(entries);
                    for (tenant, kept) in kept {
                        if let Some(most) = batch.most.get(&tenant) {
                            self.prune(tenant, kept, *most).await;
                        }
                    }
                    return;
                }
                Err(error) => error,
            };
            let most = if queue.is_closed() {
                self.retry.patient
            } else {
                self.retry.most
            };
            if attempt >= most {
                self.counts.lost.fetch_add(count, Ordering::Relaxed);
                let error = &error as &dyn std::error::Error;
                tracing::error!(
                    error,
                    count,
                    "the ledger could not write invocations and dropped them"
                );
                for entry in &entries {
                    self.unrecorded.add(&entry.record);
                }
                return;
            }
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                attempt,
                "the ledger could not write a batch; the ledger tries again"
            );
            if attempt >= self.retry.patient {
                // Releases waiting readers, who then see only the records written so far.
                release(&mut batch.flushed);
                release(&mut queue.take_flushed());
            }
            sleep(self.retry.wait(attempt)).await;
        }
    }

    /// Writes the usage of dropped entries, which is billed although it has no record. After a
    /// failure it is retried with the next batch.
    async fn write_unrecorded(&mut self) {
        if self.unrecorded.is_empty() {
            return;
        }
        match self.db.add_totals(&self.unrecorded).await {
            Ok(()) => self.unrecorded = Totals::default(),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(
                    error,
                    "the usage of invocations without a record is not written yet"
                );
            }
        }
    }

    /// Deletes the oldest records of a tenant that exceeds its limit.
    async fn prune(&self, tenant: TenantId, mut kept: Kept, most: Kept) {
        let down_to = |kept, most| {
            if kept > most {
                most - most / FREED_PART
            } else {
                most
            }
        };
        let wanted = Kept {
            records: down_to(kept.records, most.records),
            log_bytes: down_to(kept.log_bytes, most.log_bytes),
        };
        for _ in 0..PRUNE_ROUNDS {
            if !kept.exceeds(wanted) {
                break;
            }
            let left = match self.db.prune_beyond(tenant, wanted).await {
                Ok(left) => left,
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, %tenant, "the oldest records of a tenant could not be deleted");
                    break;
                }
            };
            // Nothing was deleted: the oldest block also contains records that have to be kept.
            if left == kept {
                break;
            }
            kept = left;
        }
    }

    /// Shows lines to followers after they are written, so that followers can also read them again.
    fn publish(&self, batch: Vec<Entry>) {
        for entry in batch {
            if !entry.log_lines.is_empty() {
                self.followers.show(entry);
            }
        }
    }

    fn warn_of(&mut self, gave_way: GaveWay) {
        let dropped = gave_way.entries + gave_way.lines;
        let now = self.clock.now();
        let due = self.warned_at.is_none_or(|at| now.since(at) >= WARNING_INTERVAL);
        if dropped > self.warned_of && due {
            let since_last = dropped - self.warned_of;
            tracing::warn!(
                since_last,
                dropped,
                "the ledger's queue was full, and entries were dropped"
            );
            self.warned_at = Some(now);
            self.warned_of = dropped;
        }
    }
}

/// Notifies the callers that wait for a flush.
fn release(flushed: &mut Vec<oneshot::Sender<()>>) {
    for done in flushed.drain(..) {
        // An error means that the waiting caller was dropped.
        let _ = done.send(());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let waits: Vec<u128> = (1..=7)
            .map(|attempt| Retry::DEFAULT.wait(attempt).as_millis())
            .collect();
        assert_eq!(waits, [500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000]);
        assert_eq!(Retry::DEFAULT.wait(u32::MAX), Retry::DEFAULT.longest_wait);
        let all: Duration = (1..Retry::DEFAULT.most)
            .map(|attempt| Retry::DEFAULT.wait(attempt))
            .sum();
        assert!((540..660).contains(&all.as_secs()), "{all:?}");
    }
}
