//! The ledger records invocations, their usage and their log lines, and writes them to the database
//! in batches.
//!
//! A request queues its entry and never waits for the database. If the queue is full, an entry of
//! the tenant with the most queued entries is dropped; its usage is still recorded. Log lines are
//! limited to the tenant's rate, and the number of records and lines per tenant is bounded.
//!
//! A crash loses at most the unwritten entries: those of one batch interval. If the database fails
//! (a full disk, a lock), a batch is retried for minutes. Writes are idempotent by id, so that a
//! retried batch counts nothing twice.

mod bucket;
mod follow;
mod queue;
mod writer;

pub use follow::{Followed, FollowedLine, Follower, LineOrigin};

pub use crate::storage::Entry;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use moka::sync::Cache;
use tokio::sync::oneshot;

use crate::domain::clock::{SharedClock, Timestamp};
use crate::domain::id::TenantId;
use crate::domain::limits::Limits;
use crate::domain::units::as_u64;
use crate::metrics::LedgerCounts;
use crate::storage::{DbError, Kept, LogFilter, Repository};

use bucket::Bucket;
use follow::Followers;
use queue::{Queue, keep_lines};
use writer::{Retry, Writer};

/// After this idle time a tenant's log bucket is dropped, and starts full again.
const BUCKET_IDLE: Duration = Duration::from_secs(60 * 60);

/// Queues entries and writes them in the background.
pub struct Ledger {
    db: Arc<dyn Repository>,
    clock: SharedClock,
    queue: Arc<Queue>,
    buckets: Cache<TenantId, Arc<Bucket>>,
    followers: Arc<Followers>,
    counts: Arc<Counts>,
}

/// The entries that wait to be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LedgerHeld {
    /// Entries in the queue.
    pub entries: u64,
    /// Bytes of log lines, in the queue or being written.
    pub log_bytes: u64,
}

#[derive(Default)]
struct Counts {
    written: AtomicU64,
    lost: AtomicU64,
}

impl Ledger {
    /// Starts a ledger whose writer runs on the current tokio runtime. The writer ends when the
    /// ledger is dropped and all entries are written.
    pub fn start(db: Arc<dyn Repository>, clock: SharedClock) -> Arc<Self> {
        Self::start_with(db, clock, Retry::DEFAULT)
    }

    fn start_with(db: Arc<dyn Repository>, clock: SharedClock, retry: Retry) -> Arc<Self> {
        let queue = Arc::new(Queue::default());
        let followers = Arc::new(Followers::default());
        let counts = Arc::new(Counts::default());
        let writer = Writer::new(
            db.clone(),
            clock.clone(),
            followers.clone(),
            counts.clone(),
            retry,
        );
        tokio::spawn(writer.run(queue.clone()));
        Arc::new(Self {
            db,
            clock,
            queue,
            buckets: Cache::builder().time_to_idle(BUCKET_IDLE).build(),
            followers,
            counts,
        })
    }

    /// Queues an entry of a tenant with these limits. It never waits: if the queue is full, an
    /// entry is dropped and counted.
    pub fn record(&self, entry: Entry, limits: &Limits) {
        let mut entry = Box::new(entry);
        self.hold_to_rate(&mut entry, limits);
        let most = Kept {
            records: limits.records_kept.into(),
            log_bytes: limits.log_size.0,
        };
        self.queue.push(entry, most);
    }

    /// Waits until all entries recorded before are written or dropped. While the database fails, it
    /// waits for a few attempts only.
    pub async fn flush(&self) {
        let (done, written) = oneshot::channel();
        self.queue.flush(done);
        // The writer cannot end here, because it ends only after the ledger is dropped.
        let _ = written.await;
    }

    /// Follows the log lines of a tenant as they are written.
    pub fn follow(&self, tenant: TenantId, filter: LogFilter) -> Follower {
        self.followers.follow(tenant, filter)
    }

    /// The counters since the start.
    pub fn counts(&self) -> LedgerCounts {
        let gave_way = self.queue.gave_way();
        LedgerCounts {
            written: self.counts.written.load(Ordering::Relaxed),
            dropped: gave_way.entries,
            without_lines: gave_way.lines,
            lost: self.counts.lost.load(Ordering::Relaxed),
        }
    }

    /// The entries that wait now.
    pub fn held(&self) -> LedgerHeld {
        self.queue.held()
    }

    /// Deletes invocations and log lines from before `before`. Returns the number of deleted rows.
    /// The usage stays.
    pub async fn prune(&self, before: Timestamp) -> Result<u64, DbError> {
        let mut pruned = 0;
        loop {
            // In rounds, so that the writer can write between them.
            match self.db.prune_before(before).await? {
                0 => return Ok(pruned),
                rows => pruned += rows,
            }
        }
    }
}

impl Ledger {
    /// Drops lines beyond the tenant's rate.
    fn hold_to_rate(&self, entry: &mut Entry, limits: &Limits) {
        if entry.log_lines.is_empty() {
            return;
        }
        let now = self.clock.now();
        let bucket = self
            .buckets
            .get_with(entry.record.tenant, || Arc::new(Bucket::full(limits, now)));
        let sizes = entry.log_lines.iter().map(|line| as_u64(line.stored_bytes()));
        let kept = bucket.take(limits, now, sizes);
        keep_lines(entry, kept);
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.queue.close();
    }
}

#[cfg(test)]
mod tests {
    use super::queue::{MOST_ENTRIES, MOST_LOG_BYTES};
    use super::*;
    use crate::domain::clock::ManualClock;
    use crate::domain::log_line::Level;
    use crate::domain::units::ByteSize;
    use crate::storage::conformance::{entry, tenant};
    use crate::storage::sqlite::SqliteRepository;
    use crate::storage::{InvocationFilter, Invocations as _, Page};

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
            ledger.record(entry(acme, "orders", at, &[Level::Info]), &Limits::default());
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
        for at in (0..).take(MOST_ENTRIES + 3) {
            ledger.record(entry(acme, "orders", at, &[]), &Limits::default());
        }
        assert_eq!(ledger.counts().dropped, 3);
        ledger.flush().await;
        assert_eq!(ledger.counts().written, MOST_ENTRIES as u64);
        let usage = db.usage(acme, Timestamp(0), Timestamp(3_600_000)).await.unwrap();
        assert_eq!(usage[0].invocations, MOST_ENTRIES as u64 + 3);
    }

    #[tokio::test]
    async fn too_many_bytes_of_lines_cost_the_lines_and_not_the_usage() {
        let (_folder, db, ledger) = ledger().await;
        let acme = tenant(&*db, "acme").await.id;
        let mut large = entry(acme, "orders", 1, &[Level::Info]);
        large.log_lines[0].message = "x".repeat(MOST_LOG_BYTES);
        let id = large.record.id;
        let limits = Limits {
            log_burst: ByteSize::mib(1_024),
            ..Limits::default()
        };
        ledger.record(large, &limits);
        assert_eq!(ledger.counts().without_lines, 1);
        ledger.flush().await;
        let record = db.invocation(acme, id).await.unwrap().unwrap();
        assert_eq!(record.usage.log_lines_dropped, 1);
        assert_eq!(ledger.queue.held().log_bytes, 0);
    }

    const QUICK: Retry = Retry {
        first_wait: Duration::from_millis(1),
        longest_wait: Duration::from_millis(1),
        patient: 2,
        most: u32::MAX,
    };

    async fn full_disk(retry: Retry) -> (tempfile::TempDir, SqliteRepository, Arc<Ledger>, TenantId) {
        let folder = tempfile::tempdir().unwrap();
        let db = SqliteRepository::open(folder.path()).await.unwrap();
        let clock = Arc::new(ManualClock::new(Timestamp(0)));
        let acme = tenant(&db, "acme").await.id;
        let ledger = Ledger::start_with(Arc::new(db.clone()), clock, retry);
        db.limit_pages(1).await;
        let mut large = entry(acme, "orders", 1, &[Level::Info]);
        large.log_lines[0].message = "x".repeat(1 << 20);
        ledger.record(large, &Limits::default());
        (folder, db, ledger, acme)
    }

    #[tokio::test]
    async fn after_a_full_disk_everything_is_written_and_nobody_waited_for_it() {
        let (_folder, db, ledger, acme) = full_disk(QUICK).await;
        // The disk is full, so a flush ends without a record.
        ledger.flush().await;
        assert_eq!(invocations(&db, acme).await, 0);
        for at in 2..5_000 {
            ledger.record(entry(acme, "orders", at, &[]), &Limits::default());
        }
        ledger.flush().await;
        db.limit_pages(u32::MAX).await;
        while ledger.held().entries > 0 || ledger.counts().written < 4_999 {
            ledger.flush().await;
            tokio::task::yield_now().await;
        }
        assert_eq!(invocations(&db, acme).await, 4_999);
        let usage = db.usage(acme, Timestamp(0), Timestamp(3_600_000)).await.unwrap();
        assert_eq!(usage[0].invocations, 4_999, "counted once");
        assert_eq!(ledger.counts().lost, 0);
    }

    #[tokio::test]
    async fn what_is_given_up_is_counted_and_its_usage_is_written() {
        let (_folder, db, ledger, acme) = full_disk(Retry { most: 3, ..QUICK }).await;
        while ledger.counts().lost == 0 {
            ledger.flush().await;
        }
        db.limit_pages(u32::MAX).await;
        ledger.record(entry(acme, "orders", 2, &[]), &Limits::default());
        ledger.flush().await;
        assert_eq!(ledger.counts().lost, 1);
        assert_eq!(invocations(&db, acme).await, 1);
        let usage = db.usage(acme, Timestamp(0), Timestamp(3_600_000)).await.unwrap();
        assert_eq!(usage[0].invocations, 2);
    }

    #[tokio::test]
    async fn pruning_goes_on_until_nothing_is_left() {
        let (_folder, db, ledger) = ledger().await;
        let acme = tenant(&*db, "acme").await.id;
        for at in 0..6_000 {
            ledger.record(entry(acme, "orders", at, &[]), &Limits::default());
        }
        ledger.flush().await;
        // In rounds, so that no other writer waits long.
        assert_eq!(db.prune_before(Timestamp(5_999)).await.unwrap(), 5_000);
        // The last batch has a record that is not old enough.
        assert_eq!(ledger.prune(Timestamp(5_999)).await.unwrap(), 500);
        assert_eq!(invocations(&*db, acme).await, 500);
        assert_eq!(ledger.prune(Timestamp(6_000)).await.unwrap(), 500);
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
        // More entries than an inbox holds, but of another tenant.
        for at in 0..2_000 {
            ledger.record(entry(other, "orders", at, &[Level::Error]), &Limits::default());
        }
        ledger.flush().await;
        ledger.record(
            entry(acme, "orders", 2, &[Level::Info, Level::Warn]),
            &Limits::default(),
        );
        let Some(Followed::Line(seen)) = follower.next().await else {
            panic!("the ledger is still there")
        };
        assert_eq!(
            (
                seen.stored.line.tenant,
                seen.stored.line.level,
                seen.stored.position
            ),
            (acme, Level::Warn, 1)
        );
        drop(ledger);
        assert!(follower.next().await.is_none());
    }

    #[tokio::test]
    async fn a_tenant_logs_at_its_rate_and_the_record_says_what_is_lost() {
        let (_folder, db, ledger) = ledger().await;
        let acme = tenant(&*db, "acme").await.id;
        let lines = [Level::Info; 3];
        let bytes = as_u64(entry(acme, "orders", 1, &lines).log_lines[0].stored_bytes());
        let of_burst = |burst: u64| Limits {
            log_burst: ByteSize(burst),
            log_bytes_per_second: ByteSize(0),
            ..Limits::default()
        };
        for (burst, kept) in [(3 * bytes - 1, 2), (3 * bytes, 3), (3 * bytes + 1, 3)] {
            let tenant = tenant(&*db, &format!("t{burst}")).await.id;
            let mut entry = entry(tenant, "orders", 1, &lines);
            entry.record.usage.log_lines = 3;
            let id = entry.record.id;
            ledger.record(entry, &of_burst(burst));
            ledger.flush().await;
            let usage = db.invocation(tenant, id).await.unwrap().unwrap().usage;
            assert_eq!((usage.log_lines, usage.log_lines_dropped), (kept, 3 - kept));
            let stored = db.log_lines(tenant, &LogFilter::default(), Page::first(9)).await;
            assert_eq!(stored.unwrap().len(), kept as usize);
        }
    }

    #[tokio::test]
    async fn only_so_much_is_kept_of_a_tenant_and_the_oldest_batches_leave() {
        let (_folder, db, ledger) = ledger().await;
        let acme = tenant(&*db, "acme").await.id;
        let other = tenant(&*db, "other").await.id;
        let limits = Limits {
            records_kept: 10,
            ..Limits::default()
        };
        let mut kept = Vec::new();
        for (count, left) in [(1, 1), (8, 9), (1, 10), (1, 10), (1, 11), (600, 100)] {
            for at in 0..count {
                ledger.record(entry(acme, "orders", at, &[Level::Info]), &limits);
                ledger.record(entry(other, "orders", at, &[]), &Limits::default());
            }
            ledger.flush().await;
            assert_eq!(invocations(&*db, acme).await, left);
            kept.push(db.kept(acme).await.unwrap().records);
        }
        assert_eq!(kept, [1, 9, 10, 10, 11, 100]);
        assert_eq!(invocations(&*db, other).await, 612);
    }

    #[tokio::test]
    async fn a_sixteenth_is_freed_so_that_not_every_batch_prunes() {
        let (_folder, db, ledger) = ledger().await;
        let acme = tenant(&*db, "acme").await.id;
        let limits = Limits {
            records_kept: 32,
            ..Limits::default()
        };
        let mut kept = Vec::new();
        for at in 0..36 {
            ledger.record(entry(acme, "orders", at, &[]), &limits);
            ledger.flush().await;
            kept.push(db.kept(acme).await.unwrap().records);
        }
        assert_eq!(kept[30..], [31, 32, 30, 31, 32, 30]);
    }

    #[tokio::test]
    async fn only_so_many_bytes_of_lines_are_kept_of_a_tenant() {
        let (_folder, db, ledger) = ledger().await;
        let acme = tenant(&*db, "acme").await.id;
        // Times of two digits each, so that all lines are as long.
        let mut at = 10;
        ledger.record(entry(acme, "orders", at, &[Level::Info]), &Limits::default());
        ledger.flush().await;
        let line = db.kept(acme).await.unwrap().log_bytes;
        for _ in 0..6 {
            ledger.record(entry(acme, "orders", at, &[]), &Limits::default());
        }
        // Beyond three lines, a sixteenth of them is to be free, so one more is deleted.
        for (bytes, left) in [
            (3 * line - 1, [2, 2, 2]),
            (3 * line, [3, 2, 3]),
            (3 * line + 1, [2, 3, 2]),
        ] {
            let limits = Limits {
                log_size: ByteSize(bytes),
                records_kept: 16,
                ..Limits::default()
            };
            for left in left {
                at += 1;
                ledger.record(entry(acme, "orders", at, &[Level::Info]), &limits);
                ledger.flush().await;
                let lines = db
                    .log_lines(acme, &LogFilter::default(), Page::first(9))
                    .await
                    .unwrap();
                assert_eq!(lines.len() as u64, left);
                assert_eq!(lines[0].line.at, Timestamp(at));
                assert_eq!(db.kept(acme).await.unwrap().log_bytes, left * line);
            }
        }
        // The number of records is within its limit, so none was deleted.
        assert_eq!(invocations(&*db, acme).await, 16);
    }
}
