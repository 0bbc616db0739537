//! The task that writes entries in batches.

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

/// How a batch is tried again that the database did not take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retry {
    /// Waiting before the second attempt. It doubles with each further one.
    pub first_wait: Duration,
    /// Waiting is never longer than this.
    pub longest_wait: Duration,
    /// Attempts during which a flush waits, and attempts of a ledger that is being closed.
    pub patient: u32,
    /// Attempts after which a batch is given up.
    pub most: u32,
}

impl Retry {
    /// About ten minutes: a disk that fills up is noticed and freed. Meanwhile the queue is bounded, and the
    /// usage of dropped records is kept.
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

/// Rounds of pruning after a batch. More waits for the next batch, so that no tenant keeps the others' records waiting.
const PRUNE_ROUNDS: usize = 32;

/// Where a tenant has more than is kept of it, the oldest leaves until this part is free, so that it is not pruned again
/// with each batch.
const FREED_PART: u64 = 16;

/// At most one warning about dropped entries within this time.
const WARNING_INTERVAL: Duration = Duration::from_secs(10);

pub(super) struct Writer {
    db: Arc<dyn Repository>,
    clock: SharedClock,
    followers: Arc<Followers>,
    counts: Arc<Counts>,
    retry: Retry,
    /// What was consumed and has no record, and is not written yet.
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

    /// Writes entries of a batch, again and again until the database takes them or they are given up. What is
    /// given up is counted, and its usage is written later.
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
                    "the ledger could not write invocations and gave them up"
                );
                for entry in &entries {
                    self.unrecorded.add(&entry.record);
                }
                return;
            }
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                attempt,
                "the ledger tries again"
            );
            if attempt >= self.retry.patient {
                // Readers of records see the written ones meanwhile.
                release(&mut batch.flushed);
                release(&mut queue.take_flushed());
            }
            sleep(self.retry.wait(attempt)).await;
        }
    }

    /// Who gave way has no record, but is billed all the same. Where that fails, it is tried again with the next batch.
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

    /// Where a tenant has more than is kept of it, the oldest leaves.
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
            // What is left beyond it was recorded together with what is to be kept.
            if left == kept {
                break;
            }
            kept = left;
        }
    }

    /// Followers see lines only after they are written: what they see, they can also read again.
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

/// Lets those go on who wait for a flush.
fn release(flushed: &mut Vec<oneshot::Sender<()>>) {
    for done in flushed.drain(..) {
        // The waiting caller may have gone.
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
