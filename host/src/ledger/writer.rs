//! The task that writes entries in batches.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::sleep;

use super::follow::Followers;
use super::queue::{BATCH_ENTRIES, GaveWay, Queue, log_bytes};
use super::{Counts, Entry};
use crate::domain::clock::{SharedClock, Timestamp};
use crate::domain::id::TenantId;
use crate::storage::{HourlyUsage, Kept, Repository};

/// How often a batch is tried before it is given up, and how long in between.
const ATTEMPTS: u32 = 5;
const ATTEMPT_WAIT: Duration = Duration::from_secs(1);

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
    /// What was consumed and has no record, and is not written yet.
    unrecorded: HourlyUsage,
    warned_at: Option<Timestamp>,
    warned_of: u64,
}

impl Writer {
    pub fn new(
        db: Arc<dyn Repository>,
        clock: SharedClock,
        followers: Arc<Followers>,
        counts: Arc<Counts>,
    ) -> Self {
        Self {
            db,
            clock,
            followers,
            counts,
            unrecorded: HourlyUsage::default(),
            warned_at: None,
            warned_of: 0,
        }
    }

    /// Writes until the ledger is dropped and its queue is empty.
    pub async fn run(mut self, queue: Arc<Queue>) {
        while let Some(batch) = queue.next().await {
            let mut entries = batch.entries;
            while !entries.is_empty() {
                let rest = entries.split_off(entries.len().min(BATCH_ENTRIES));
                let bytes = entries.iter().map(log_bytes).sum();
                self.write(entries, &batch.most).await;
                queue.written(bytes);
                entries = rest;
            }
            self.unrecorded.merge(batch.unrecorded);
            self.write_unrecorded().await;
            self.warn_of(queue.gave_way());
            for done in batch.flushed {
                // Whoever waited may have gone.
                let _ = done.send(());
            }
        }
    }

    async fn write(&self, batch: Vec<Entry>, most: &BTreeMap<TenantId, Kept>) {
        let count = batch.len() as u64;
        for attempt in 1..=ATTEMPTS {
            match self.db.record(&batch).await {
                Ok(kept) => {
                    self.counts.written.fetch_add(count, Ordering::Relaxed);
                    self.publish(batch);
                    for (tenant, kept) in kept {
                        if let Some(most) = most.get(&tenant) {
                            self.prune(tenant, kept, *most).await;
                        }
                    }
                    break;
                }
                Err(error) if attempt < ATTEMPTS => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        attempt,
                        "the ledger tries again"
                    );
                    sleep(ATTEMPT_WAIT).await;
                }
                Err(error) => {
                    self.counts.lost.fetch_add(count, Ordering::Relaxed);
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(
                        error,
                        count,
                        "the ledger could not write invocations and gave them up"
                    );
                }
            }
        }
    }

    /// Who gave way has no record, but is billed all the same. Where that fails, it is tried again with the next batch.
    async fn write_unrecorded(&mut self) {
        if self.unrecorded.is_empty() {
            return;
        }
        match self.db.add_usage(&self.unrecorded).await {
            Ok(()) => self.unrecorded = HourlyUsage::default(),
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
