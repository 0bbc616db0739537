//! Following the log of a tenant.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::Entry;
use crate::db::{LogFilter, StoredLogLine};
use crate::domain::id::TenantId;

/// Sees the lines of one tenant after they are written.
pub struct Follower {
    live: broadcast::Receiver<Arc<Entry>>,
    tenant: TenantId,
    filter: LogFilter,
    pending: VecDeque<StoredLogLine>,
}

/// What a follower sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Followed {
    /// A line.
    Line(StoredLogLine),
    /// The follower was too slow: so many invocations, of all tenants together, went by unseen. They can be read
    /// from the database.
    Missed(u64),
}

impl Follower {
    pub(super) fn new(live: broadcast::Receiver<Arc<Entry>>, tenant: TenantId, filter: LogFilter) -> Self {
        Self {
            live,
            tenant,
            filter,
            pending: VecDeque::new(),
        }
    }

    /// The next line; `None` when the ledger ended. Nothing is lost where the future is dropped.
    pub async fn next(&mut self) -> Option<Followed> {
        loop {
            if let Some(line) = self.pending.pop_front() {
                return Some(Followed::Line(line));
            }
            match self.live.recv().await {
                Ok(entry) if entry.record.tenant == self.tenant => self.take(&entry),
                Ok(_) => {}
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
