//! The task that writes entries in batches.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout_at};

use super::{Counts, Entry, Message, log_bytes};
use crate::db::Repository;
use crate::domain::clock::{SharedClock, Timestamp};

/// Entries of one transaction.
const BATCH_ENTRIES: usize = 500;

/// How long the first entry of a batch waits for others: what a crash may lose.
const BATCH_WAIT: Duration = Duration::from_millis(200);

/// How often a batch is tried before it is given up, and how long in between.
const ATTEMPTS: u32 = 5;
const ATTEMPT_WAIT: Duration = Duration::from_secs(1);

/// At most one warning about dropped entries within this time.
const WARNING_INTERVAL: Duration = Duration::from_secs(10);

pub(super) struct Writer {
    db: Arc<dyn Repository>,
    clock: SharedClock,
    live: broadcast::Sender<Arc<Entry>>,
    counts: Arc<Counts>,
    warned_at: Option<Timestamp>,
    warned_of: u64,
}

impl Writer {
    pub fn new(
        db: Arc<dyn Repository>,
        clock: SharedClock,
        live: broadcast::Sender<Arc<Entry>>,
        counts: Arc<Counts>,
    ) -> Self {
        Self {
            db,
            clock,
            live,
            counts,
            warned_at: None,
            warned_of: 0,
        }
    }

    /// Writes until the ledger is dropped and its queue is empty.
    pub async fn run(mut self, mut receiver: mpsc::Receiver<Message>) {
        while let Some(first) = receiver.recv().await {
            let (batch, flushed) = gather(first, &mut receiver).await;
            self.write(batch).await;
            self.warn_of_dropped();
            for done in flushed {
                // Whoever waited may have gone.
                let _ = done.send(());
            }
        }
    }

    async fn write(&self, batch: Vec<Entry>) {
        if batch.is_empty() {
            return;
        }
        let count = batch.len() as u64;
        let bytes: usize = batch.iter().map(log_bytes).sum();
        for attempt in 1..=ATTEMPTS {
            match self.db.record(&batch).await {
                Ok(()) => {
                    self.counts.written.fetch_add(count, Ordering::Relaxed);
                    self.publish(batch);
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
        self.counts.queued_log_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Followers see lines only after they are written: what they see, they can also read again.
    fn publish(&self, batch: Vec<Entry>) {
        for entry in batch {
            if self.live.receiver_count() > 0 && !entry.log_lines.is_empty() {
                // The last follower may leave at this moment.
                let _ = self.live.send(Arc::new(entry));
            }
        }
    }

    fn warn_of_dropped(&mut self) {
        let dropped =
            self.counts.dropped.load(Ordering::Relaxed) + self.counts.without_lines.load(Ordering::Relaxed);
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

/// A batch: what comes within its time, until it is full or somebody waits for it.
async fn gather(
    first: Message,
    receiver: &mut mpsc::Receiver<Message>,
) -> (Vec<Entry>, Vec<oneshot::Sender<()>>) {
    let deadline = Instant::now() + BATCH_WAIT;
    let (mut batch, mut flushed) = (Vec::new(), Vec::new());
    let mut next = Some(first);
    while let Some(message) = next {
        match message {
            Message::Entry(entry) => batch.push(*entry),
            Message::Flush(done) => flushed.push(done),
        }
        if !flushed.is_empty() || batch.len() >= BATCH_ENTRIES {
            break;
        }
        next = timeout_at(deadline, receiver.recv()).await.unwrap_or_default();
    }
    (batch, flushed)
}
