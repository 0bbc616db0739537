//! The ledger: what ran, what it consumed and what it logged, written in batches.
//!
//! A request hands its entry over and goes on; it never waits for the database. What does not fit in the queue is
//! dropped and counted. A crash loses at most what was not written yet: one batch's time. Ids make writing
//! idempotent, so that a batch that is tried again counts nothing twice.

mod follow;
mod writer;

pub use follow::{Followed, Follower};

pub use crate::db::Entry;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::sync::{broadcast, mpsc, oneshot};

use crate::db::{DbError, LogFilter, Repository};
use crate::domain::clock::{SharedClock, Timestamp};
use crate::domain::id::TenantId;
use crate::domain::log_line::LogLine;

/// Entries that wait to be written.
const QUEUED_ENTRIES: usize = 8_192;

/// Bytes of log lines that wait to be written. Plugins choose how much they log, so the queue is bounded by this
/// too: beyond it an entry goes without its lines, and the usage stays true.
const QUEUED_LOG_BYTES: usize = 64 * 1024 * 1024;

/// Entries that a slow follower may lag behind before it misses some.
const FOLLOWED_ENTRIES: usize = 1_024;

/// Takes entries and writes them behind the requests' backs.
pub struct Ledger {
    db: Arc<dyn Repository>,
    sender: mpsc::Sender<Message>,
    live: broadcast::Sender<Arc<Entry>>,
    counts: Arc<Counts>,
}

/// What the ledger has done since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LedgerCounts {
    /// Entries written.
    pub written: u64,
    /// Entries dropped because the queue was full.
    pub dropped: u64,
    /// Entries that went without their log lines because too many bytes of them were waiting.
    pub without_lines: u64,
    /// Entries given up because the database refused them again and again.
    pub lost: u64,
}

/// What waits to be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LedgerHeld {
    /// Entries in the queue.
    pub entries: u64,
    /// Bytes of log lines, in the queue or being written.
    pub log_bytes: u64,
}

enum Message {
    Entry(Box<Entry>),
    Flush(oneshot::Sender<()>),
}

#[derive(Default)]
struct Counts {
    written: AtomicU64,
    dropped: AtomicU64,
    without_lines: AtomicU64,
    lost: AtomicU64,
    queued_log_bytes: AtomicUsize,
}

impl Ledger {
    /// Starts a ledger whose writer runs on the current tokio runtime. The writer ends when the ledger is dropped
    /// and everything is written.
    pub fn start(db: Arc<dyn Repository>, clock: SharedClock) -> Arc<Self> {
        let (sender, receiver) = mpsc::channel(QUEUED_ENTRIES);
        let (live, _) = broadcast::channel(FOLLOWED_ENTRIES);
        let counts = Arc::new(Counts::default());
        let writer = writer::Writer::new(db.clone(), clock, live.clone(), counts.clone());
        tokio::spawn(writer.run(receiver));
        Arc::new(Self {
            db,
            sender,
            live,
            counts,
        })
    }

    /// Takes an entry. It does not wait: where the queue is full, the entry is dropped and counted.
    pub fn record(&self, mut entry: Entry) {
        let bytes = log_bytes(&entry);
        let waiting = self.counts.queued_log_bytes.fetch_add(bytes, Ordering::Relaxed);
        if waiting + bytes > QUEUED_LOG_BYTES {
            self.counts.queued_log_bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.counts.without_lines.fetch_add(1, Ordering::Relaxed);
            let dropped = u32::try_from(entry.log_lines.len()).unwrap_or(u32::MAX);
            let usage = &mut entry.record.usage;
            usage.log_lines_dropped = usage.log_lines_dropped.saturating_add(dropped);
            usage.log_lines = 0;
            entry.log_lines.clear();
        }
        let kept = log_bytes(&entry);
        if self.sender.try_send(Message::Entry(Box::new(entry))).is_err() {
            self.counts.queued_log_bytes.fetch_sub(kept, Ordering::Relaxed);
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until everything that was recorded before is written, or given up.
    pub async fn flush(&self) {
        let (done, written) = oneshot::channel();
        if self.sender.send(Message::Flush(done)).await.is_ok() {
            // The writer ends only when the ledger is dropped, which it is not while this borrows it.
            let _ = written.await;
        }
    }

    /// Follows the log lines of a tenant as they are written.
    pub fn follow(&self, tenant: TenantId, filter: LogFilter) -> Follower {
        Follower::new(self.live.subscribe(), tenant, filter)
    }

    /// What was done since the start.
    pub fn counts(&self) -> LedgerCounts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        LedgerCounts {
            written: read(&self.counts.written),
            dropped: read(&self.counts.dropped),
            without_lines: read(&self.counts.without_lines),
            lost: read(&self.counts.lost),
        }
    }

    /// What waits now.
    pub fn held(&self) -> LedgerHeld {
        let entries = self.sender.max_capacity().saturating_sub(self.sender.capacity());
        let log_bytes = self.counts.queued_log_bytes.load(Ordering::Relaxed);
        LedgerHeld {
            entries: u64::try_from(entries).unwrap_or(u64::MAX),
            log_bytes: u64::try_from(log_bytes).unwrap_or(u64::MAX),
        }
    }

    /// Deletes invocations and log lines of before `before`, and gives back how many rows went. The usage stays.
    pub async fn prune(&self, before: Timestamp) -> Result<u64, DbError> {
        let mut pruned = 0;
        loop {
            // In rounds, so that the writer gets its turn in between.
            match self.db.prune_before(before).await? {
                0 => return Ok(pruned),
                rows => pruned += rows,
            }
        }
    }
}

/// What the lines of an entry take in memory, roughly.
fn log_bytes(entry: &Entry) -> usize {
    entry.log_lines.iter().map(LogLine::bytes).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::conformance::{entry, tenant};
    use crate::db::sqlite::SqliteRepository;
    use crate::db::{InvocationFilter, Page};
    use crate::domain::clock::ManualClock;
    use crate::domain::log_line::Level;

    async fn ledger() -> (tempfile::TempDir, Arc<dyn Repository>, Arc<Ledger>) {
        let folder = tempfile::tempdir().unwrap();
        let db: Arc<dyn Repository> = Arc::new(SqliteRepository::open(folder.path()).await.unwrap());
        let clock = Arc::new(ManualClock::new(Timestamp(0)));
        let ledger = Ledger::start(db.clone(), clock);
        (folder, db, ledger)
    }

    async fn invocations(db: &dyn Repository, tenant: TenantId) -> usize {
        let all = InvocationFilter::default();
        db.invocations(tenant, &all, Page::first(10_000))
            .await
            .unwrap()
            .len()
    }

    #[tokio::test]
    async fn what_was_recorded_before_a_flush_is_written_after_it() {
        let (_folder, db, ledger) = ledger().await;
        let acme = tenant(&*db, "acme").await.id;
        for at in 0..700 {
            ledger.record(entry(acme, "orders", at, &[Level::Info]));
        }
        ledger.flush().await;
        assert_eq!(invocations(&*db, acme).await, 700);
        assert_eq!(ledger.counts().written, 700);
        ledger.flush().await;
    }

    #[tokio::test]
    async fn a_full_queue_drops_and_counts_but_never_waits() {
        let (_folder, db, ledger) = ledger().await;
        let acme = tenant(&*db, "acme").await.id;
        // The test's runtime has one thread, so the writer cannot run until this awaits.
        for at in (0..).take(QUEUED_ENTRIES + 3) {
            ledger.record(entry(acme, "orders", at, &[]));
        }
        assert_eq!(ledger.counts().dropped, 3);
        ledger.flush().await;
        assert_eq!(ledger.counts().written, QUEUED_ENTRIES as u64);
    }

    #[tokio::test]
    async fn too_many_bytes_of_lines_cost_the_lines_and_not_the_usage() {
        let (_folder, db, ledger) = ledger().await;
        let acme = tenant(&*db, "acme").await.id;
        let mut large = entry(acme, "orders", 1, &[Level::Info]);
        large.log_lines[0].message = "x".repeat(QUEUED_LOG_BYTES);
        let id = large.record.id;
        ledger.record(large);
        assert_eq!(ledger.counts().without_lines, 1);
        ledger.flush().await;
        let record = db.invocation(acme, id).await.unwrap().unwrap();
        assert_eq!(record.usage.log_lines_dropped, 1);
        assert_eq!(ledger.counts.queued_log_bytes.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn pruning_goes_on_until_nothing_is_left() {
        let (_folder, db, ledger) = ledger().await;
        let acme = tenant(&*db, "acme").await.id;
        for at in 0..6_000 {
            ledger.record(entry(acme, "orders", at, &[]));
        }
        ledger.flush().await;
        assert_eq!(ledger.prune(Timestamp(5_999)).await.unwrap(), 5_999);
        assert_eq!(invocations(&*db, acme).await, 1);
    }

    #[tokio::test]
    async fn followers_see_their_own_tenant_only() {
        let (_folder, db, ledger) = ledger().await;
        let acme = tenant(&*db, "acme").await.id;
        let other = tenant(&*db, "other").await.id;
        let filter = LogFilter {
            level: Some(Level::Warn),
            ..Default::default()
        };
        let mut follower = ledger.follow(acme, filter);
        ledger.record(entry(other, "orders", 1, &[Level::Error]));
        ledger.record(entry(acme, "orders", 2, &[Level::Info, Level::Warn]));
        let Some(Followed::Line(seen)) = follower.next().await else {
            panic!("the ledger is still there")
        };
        assert_eq!(
            (seen.line.tenant, seen.line.level, seen.position),
            (acme, Level::Warn, 1)
        );
        drop(ledger);
        assert!(follower.next().await.is_none());
    }
}
