//! Room in the backlog of a tenant for the jobs of transactions.
//!
//! A transaction reserves room for each entry of the outbox before it writes the entry. Room of a
//! transaction that does not commit is given back. Room of a committed one stays taken until the
//! relay has added the jobs, so requests cannot commit more than the relay and the limit allow.
//!
//! The reservations are in memory. After a start, the relay counts what an earlier process
//! committed when it first looks at a tenant's outbox.

use std::sync::Arc;

use super::live_counts::LiveCounts;
use crate::capability::database::OutboxRoom;
use crate::capability::jobs::QueueError;
use crate::domain::id::TenantId;

/// Room for the jobs of one entry.
pub(super) struct Room {
    counts: Arc<LiveCounts>,
    tenant: TenantId,
    jobs: u64,
}

/// The jobs of a tenant's committed transactions. Both totals only grow, so that the relay can say
/// which of them it has added while more are committed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Committed {
    /// The jobs that were committed.
    total: u64,
    /// How many of them the relay has added.
    relayed: u64,
    /// Whether the relay has counted what an earlier process committed.
    is_counted: bool,
}

impl Room {
    /// Reserves room for `jobs` jobs.
    pub fn reserve(
        counts: Arc<LiveCounts>,
        tenant: TenantId,
        jobs: u64,
        limit: u64,
    ) -> Result<Self, QueueError> {
        counts.take_room(tenant, jobs, limit)?;
        Ok(Self { counts, tenant, jobs })
    }
}

impl OutboxRoom for Room {
    fn jobs(&self) -> u64 {
        self.jobs
    }

    fn committed(self: Box<Self>) {
        self.counts
            .change_committed(self.tenant, |committed| committed.total += self.jobs);
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.counts.give_room_back(self.tenant, self.jobs);
    }
}

impl Committed {
    /// The jobs that the relay has not added yet.
    pub fn waiting(&self) -> u64 {
        self.total.saturating_sub(self.relayed)
    }

    /// Whether it has to be kept although no job waits.
    pub fn is_used(&self) -> bool {
        self.total > 0 || self.is_counted
    }

    /// The jobs that were committed until now. Call it before the outbox is read: all of them are
    /// in what is read then.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The outbox was read after `before` jobs were committed, and `found` jobs wait in it. The
    /// first time, jobs that an earlier process committed are counted. Returns what `before` is
    /// with them.
    pub fn count_earlier(&mut self, before: u64, found: u64) -> u64 {
        if std::mem::replace(&mut self.is_counted, true) {
            return before;
        }
        let earlier = found.saturating_sub(before.saturating_sub(self.relayed));
        self.total += earlier;
        before + earlier
    }

    /// The relay has added `jobs` of the first `before` jobs.
    pub fn relayed(&mut self, jobs: u64, before: u64) {
        let relayed = self.relayed.saturating_add(jobs).min(before);
        self.relayed = self.relayed.max(relayed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(live: u64, limit: u64) -> Result<(), QueueError> {
        Err(QueueError::Full { live, limit })
    }

    #[test]
    fn room_is_taken_until_the_jobs_are_relayed() {
        let (counts, tenant) = (Arc::new(LiveCounts::default()), TenantId::generate());
        let reserve = |jobs| Room::reserve(counts.clone(), tenant, jobs, 10);
        let rolled_back = reserve(10).unwrap();
        assert_eq!(counts.check(tenant, 1, 10), full(10, 10));
        drop(rolled_back);
        let committed: Box<dyn OutboxRoom> = Box::new(reserve(6).unwrap());
        assert_eq!(committed.jobs(), 6);
        committed.committed();
        assert_eq!(counts.check(tenant, 5, 10), full(6, 10));
        // The counters of the queue do not know these jobs.
        counts.reading();
        counts.read([]);
        assert_eq!(reserve(5).map(drop), full(6, 10));
        let before = counts.committed(tenant);
        Box::new(reserve(3).unwrap()).committed();
        counts.change_committed(tenant, |committed| committed.relayed(6, before));
        assert_eq!(counts.check(tenant, 8, 10), full(3, 10));
        assert_eq!(counts.check(tenant, 7, 10), Ok(()));
    }

    #[test]
    fn an_empty_outbox_gives_back_everything_that_was_committed_before() {
        let mut committed = Committed {
            total: 9,
            ..Committed::default()
        };
        // Fewer jobs were relayed than reserved, because subscribers are gone.
        committed.relayed(2, 9);
        committed.total += 4;
        committed.relayed(u64::MAX, 9);
        assert_eq!(committed.waiting(), 4);
        // More were relayed than reserved.
        committed.relayed(50, 13);
        assert_eq!(committed.waiting(), 0);
        // An older answer changes nothing.
        committed.relayed(50, 9);
        assert_eq!((committed.waiting(), committed.total()), (0, 13));
    }

    #[test]
    fn what_an_earlier_process_committed_is_counted_once() {
        let mut committed = Committed {
            total: 3,
            ..Committed::default()
        };
        let before = committed.count_earlier(3, 10);
        assert_eq!((before, committed.waiting()), (10, 10));
        committed.relayed(4, before);
        assert_eq!(committed.count_earlier(before, 6), before);
        assert_eq!(committed.waiting(), 6);
        let mut none = Committed::default();
        assert_eq!((none.count_earlier(0, 0), none.waiting()), (0, 0));
    }
}
