//! Following the log of a tenant.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::Entry;
use crate::domain::id::TenantId;
use crate::storage::{LogFilter, StoredLogLine};

/// Entries that a slow follower may lag behind before it misses some.
const FOLLOWED_ENTRIES: usize = 1_024;

/// Who follows, each tenant apart: what one of them logs pushes nothing of another out.
#[derive(Default)]
pub(super) struct Followers(Mutex<HashMap<TenantId, broadcast::Sender<Arc<Entry>>>>);

/// Sees the lines of one tenant after they are written.
pub struct Follower {
    live: broadcast::Receiver<Arc<Entry>>,
    filter: LogFilter,
    pending: VecDeque<StoredLogLine>,
}

/// What a follower sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Followed {
    /// A line.
    Line(StoredLogLine),
    /// The follower was too slow: so many invocations went by unseen. They can be read from the database.
    Missed(u64),
}

impl Followers {
    /// Follows a tenant.
    pub fn follow(&self, tenant: TenantId, filter: LogFilter) -> Follower {
        let mut tenants = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let live = tenants
            .entry(tenant)
            .or_insert_with(|| broadcast::channel(FOLLOWED_ENTRIES).0);
        Follower {
            live: live.subscribe(),
            filter,
            pending: VecDeque::new(),
        }
    }

    /// Shows an entry to those who follow its tenant.
    pub fn show(&self, entry: Entry) {
        let tenant = entry.record.tenant;
        let mut tenants = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // It fails where the last follower has left.
        if let Some(live) = tenants.get(&tenant)
            && live.send(Arc::new(entry)).is_err()
        {
            tenants.remove(&tenant);
        }
    }
}

impl Follower {
    /// The next line; `None` when the ledger ended. Nothing is lost where the future is dropped.
    pub async fn next(&mut self) -> Option<Followed> {
        loop {
            if let Some(line) = self.pending.pop_front() {
                return Some(Followed::Line(line));
            }
            match self.live.recv().await {
                Ok(entry) => self.take(&entry),
                Err(RecvError::Lagged(missed)) => return Some(Followed::Missed(missed)),
                Err(RecvError::Closed) => return None,
            }
        }
    }

    fn take(&mut self, entry: &Entry) {
        for (position, line) in (0..).zip(&entry.log_lines) {
            if self.filter.accepts(line) {
                self.pending.push_back(StoredLogLine {
                    position,
                    line: line.clone(),
                });
            }
        }
    }
}
