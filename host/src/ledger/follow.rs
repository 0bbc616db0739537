//! Streams a tenant's log lines to followers after they are written.
//!
//! Each follower has an inbox with a limit in bytes. If a follower reads too slowly, the oldest
//! entries of its inbox are dropped and counted.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Notify;

use super::Entry;
use super::queue::log_bytes;
use crate::domain::id::TenantId;
use crate::domain::invocation::{InvocationRecord, Triggered};
use crate::storage::{LogFilter, StoredLogLine};

/// The most bytes of log lines in an inbox. A single larger entry is accepted if it is alone.
const INBOX_BYTES: usize = 2 * 1024 * 1024;

/// The inboxes of all followers, by the tenant that they follow.
#[derive(Default)]
pub(super) struct Followers(Mutex<HashMap<TenantId, Vec<Weak<Inbox>>>>);

/// Receives the lines of one tenant after they are written.
pub struct Follower {
    inbox: Arc<Inbox>,
    pending: VecDeque<FollowedLine>,
}

/// An item that a follower receives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Followed {
    /// A line.
    Line(FollowedLine),
    /// The follower was too slow, and this many invocations were dropped from its inbox. They can
    /// be read from the database.
    Missed(u64),
}

/// A line with the invocation that wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowedLine {
    /// The line.
    pub stored: StoredLogLine,
    /// The invocation that wrote the line.
    pub origin: LineOrigin,
}

/// The data about the invocation that accompanies a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineOrigin {
    /// The trigger of the invocation.
    pub triggered: Triggered,
    /// The lines that were dropped because of a limit. It is set on the last line that is shown of
    /// the invocation, and zero on the others.
    pub dropped: u32,
}

impl LineOrigin {
    /// The origin of a line of this invocation. `is_last` says that no later line of the invocation
    /// is shown.
    pub fn of(record: &InvocationRecord, is_last: bool) -> Self {
        Self {
            triggered: record.triggered.clone(),
            dropped: if is_last {
                record.usage.log_lines_dropped
            } else {
                0
            },
        }
    }
}

/// The entries that wait for one follower.
struct Inbox {
    filter: LogFilter,
    waiting: Mutex<Waiting>,
    changed: Notify,
}

#[derive(Default)]
struct Waiting {
    entries: VecDeque<Arc<Entry>>,
    bytes: usize,
    missed: u64,
    closed: bool,
}

impl Followers {
    /// Adds a follower of a tenant.
    pub fn follow(&self, tenant: TenantId, filter: LogFilter) -> Follower {
        let inbox = Arc::new(Inbox {
            filter,
            waiting: Mutex::default(),
            changed: Notify::new(),
        });
        let mut tenants = lock(&self.0);
        tenants.retain(|_, inboxes| {
            inboxes.retain(|inbox| inbox.strong_count() > 0);
            !inboxes.is_empty()
        });
        tenants.entry(tenant).or_default().push(Arc::downgrade(&inbox));
        Follower {
            inbox,
            pending: VecDeque::new(),
        }
    }

    /// Passes an entry to the followers of its tenant.
    pub fn show(&self, entry: Entry) {
        let tenant = entry.record.tenant;
        let mut tenants = lock(&self.0);
        let Some(inboxes) = tenants.get_mut(&tenant) else {
            return;
        };
        let entry = Arc::new(entry);
        inboxes.retain(|inbox| match inbox.upgrade() {
            Some(inbox) => {
                inbox.put(&entry);
                true
            }
            None => false,
        });
        if inboxes.is_empty() {
            tenants.remove(&tenant);
        }
    }
}

impl Drop for Followers {
    fn drop(&mut self) {
        for inbox in lock(&self.0).values().flatten().filter_map(Weak::upgrade) {
            lock(&inbox.waiting).closed = true;
            inbox.changed.notify_one();
        }
    }
}

impl Inbox {
    /// Adds an entry if the follower wants one of its lines. The oldest entries are dropped to make
    /// room.
    fn put(&self, entry: &Arc<Entry>) {
        if !entry.log_lines.iter().any(|line| self.filter.accepts(line)) {
            return;
        }
        let mut waiting = lock(&self.waiting);
        waiting.bytes += log_bytes(entry);
        waiting.entries.push_back(entry.clone());
        while waiting.bytes > INBOX_BYTES && waiting.entries.len() > 1 {
            waiting.take();
            waiting.missed += 1;
        }
        drop(waiting);
        self.changed.notify_one();
    }
}

impl Waiting {
    fn take(&mut self) -> Option<Arc<Entry>> {
        let entry = self.entries.pop_front()?;
        self.bytes -= log_bytes(&entry);
        Some(entry)
    }
}

impl Follower {
    /// The next item, or `None` when the ledger has ended. It is cancel-safe: nothing is lost if
    /// the future is dropped.
    pub async fn next(&mut self) -> Option<Followed> {
        loop {
            if let Some(line) = self.pending.pop_front() {
                return Some(Followed::Line(line));
            }
            let entry = {
                let mut waiting = lock(&self.inbox.waiting);
                match std::mem::take(&mut waiting.missed) {
                    0 => {}
                    missed => return Some(Followed::Missed(missed)),
                }
                let entry = waiting.take();
                if entry.is_none() && waiting.closed {
                    return None;
                }
                entry
            };
            match entry {
                Some(entry) => self.take(&entry),
                // An entry that arrived in the meantime left a permit, so that this returns at
                // once.
                None => self.inbox.changed.notified().await,
            }
        }
    }

    /// Bytes of log lines that wait for this follower.
    #[cfg(test)]
    pub fn waiting_bytes(&self) -> usize {
        lock(&self.inbox.waiting).bytes
    }

    fn take(&mut self, entry: &Entry) {
        let lines = (0..).zip(&entry.log_lines);
        let wanted: Vec<_> = lines
            .filter(|(_, line)| self.inbox.filter.accepts(line))
            .collect();
        let last = wanted.last().map(|(position, _)| *position);
        for (position, line) in wanted {
            self.pending.push_back(FollowedLine {
                stored: StoredLogLine {
                    position,
                    written: None,
                    line: line.clone(),
                },
                origin: LineOrigin::of(&entry.record, last == Some(position)),
            });
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::log_line::Level;
    use crate::storage::conformance::entry;

    fn large(tenant: TenantId, bytes: usize) -> Entry {
        let mut entry = entry(tenant, "orders", 1, &[Level::Info]);
        entry.log_lines[0].message = "x".repeat(bytes);
        entry
    }

    #[tokio::test]
    async fn what_waits_for_a_slow_follower_is_bounded_by_bytes() {
        let tenant = TenantId::generate();
        // From many small lines to single ones that are larger than an inbox.
        for (count, bytes) in [
            (20_000, 0),
            (2_000, 8_192),
            (64, 65_536),
            (5, 1 << 20),
            (3, 3 << 20),
        ] {
            let followers = Followers::default();
            let mut slow = followers.follow(tenant, LogFilter::default());
            for _ in 0..count {
                followers.show(large(tenant, bytes));
            }
            let one = log_bytes(&large(tenant, bytes));
            assert!(slow.waiting_bytes() <= INBOX_BYTES.max(one), "{bytes}");
            let Some(Followed::Missed(missed)) = slow.next().await else {
                panic!("{count} entries of {bytes} bytes fit")
            };
            let mut seen = 0;
            while slow.waiting_bytes() > 0 {
                assert!(matches!(slow.next().await, Some(Followed::Line(_))));
                seen += 1;
            }
            assert_eq!(missed + seen, count);
            assert!(seen > 0, "the newest is there");
        }
    }

    #[tokio::test]
    async fn only_entries_with_wanted_lines_wait_and_a_dropped_ledger_ends_it() {
        let tenant = TenantId::generate();
        let followers = Followers::default();
        let filter = LogFilter {
            level: Some(Level::Error),
            ..LogFilter::default()
        };
        let mut follower = followers.follow(tenant, filter);
        followers.show(large(tenant, 1_000));
        assert_eq!(follower.waiting_bytes(), 0);
        drop(followers);
        assert_eq!(follower.next().await, None);
    }

    #[test]
    fn a_follower_that_left_is_forgotten() {
        let tenant = TenantId::generate();
        let followers = Followers::default();
        drop(followers.follow(tenant, LogFilter::default()));
        followers.show(large(tenant, 1));
        assert!(lock(&followers.0).is_empty());
    }
}
