//! How many live jobs each tenant has, by what this node knows.
//!
//! The queue's counters are read each second. In between, the jobs that this node adds are counted
//! here, so that the limit of the backlog needs no query and is not exceeded by a burst.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::outbox_room::Committed;
use crate::capability::jobs::QueueError;
use crate::domain::id::TenantId;

/// The live jobs of all tenants.
#[derive(Debug, Default)]
pub(super) struct LiveCounts {
    tenants: Mutex<HashMap<TenantId, Count>>,
}

/// The live jobs of one tenant.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    /// What the database said.
    stored: u64,
    /// What this node added before the query that runs now.
    before: u64,
    /// What this node added since that query, or since the last one.
    since: u64,
    /// What is being added now.
    adding: u64,
    /// What transactions committed.
    committed: Committed,
}

/// Room in a tenant's backlog for jobs that are being added. Dropping it gives the room back.
#[derive(Debug)]
pub(super) struct Reserved<'a> {
    counts: &'a LiveCounts,
    tenant: TenantId,
    jobs: u64,
}

impl Count {
    fn live(&self) -> u64 {
        self.stored + self.before + self.since + self.adding + self.committed.waiting()
    }
}

impl LiveCounts {
    /// Returns an error if `more` jobs would exceed the limit.
    pub fn check(&self, tenant: TenantId, more: u64, limit: u64) -> Result<(), QueueError> {
        let live = self.lock().get(&tenant).copied().unwrap_or_default().live();
        is_within(live, more, limit)
    }

    /// Reserves room for `jobs` jobs that are about to be added.
    pub fn reserve(&self, tenant: TenantId, jobs: u64, limit: u64) -> Result<Reserved<'_>, QueueError> {
        self.take_room(tenant, jobs, limit)?;
        Ok(Reserved {
            counts: self,
            tenant,
            jobs,
        })
    }

    /// Takes room for `jobs` jobs, unless they would exceed the limit.
    pub fn take_room(&self, tenant: TenantId, jobs: u64, limit: u64) -> Result<(), QueueError> {
        let mut tenants = self.lock();
        let count = tenants.entry(tenant).or_default();
        is_within(count.live(), jobs, limit)?;
        count.adding += jobs;
        Ok(())
    }

    /// Gives room back that [`Self::take_room`] took.
    pub fn give_room_back(&self, tenant: TenantId, jobs: u64) {
        if let Some(count) = self.lock().get_mut(&tenant) {
            count.adding = count.adding.saturating_sub(jobs);
        }
    }

    /// See [`Committed::total`].
    pub fn committed(&self, tenant: TenantId) -> u64 {
        let tenants = self.lock();
        tenants.get(&tenant).map_or(0, |count| count.committed.total())
    }

    /// Changes what is known of a tenant's committed transactions.
    pub fn change_committed<T>(&self, tenant: TenantId, change: impl FnOnce(&mut Committed) -> T) -> T {
        change(&mut self.lock().entry(tenant).or_default().committed)
    }

    /// Counts jobs that were added without a reservation.
    pub fn added(&self, tenant: TenantId, jobs: u64) {
        if jobs > 0 {
            self.lock().entry(tenant).or_default().since += jobs;
        }
    }

    /// Call it right before the counters are read: what was added until now is part of them.
    pub fn reading(&self) {
        for count in self.lock().values_mut() {
            count.before += std::mem::take(&mut count.since);
        }
    }

    /// Takes over the counters that were read.
    pub fn read(&self, stored: impl IntoIterator<Item = (TenantId, u64)>) {
        let mut tenants = self.lock();
        for count in tenants.values_mut() {
            (count.stored, count.before) = (0, 0);
        }
        for (tenant, live) in stored {
            tenants.entry(tenant).or_default().stored = live;
        }
        tenants.retain(|_, count| count.live() > 0 || count.committed.is_used());
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TenantId, Count>> {
        // Nothing panics while the lock is held.
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reserved<'_> {
    /// So many of the jobs are new. The others had a live job with their unique key.
    pub fn are_added(self, new: u64) {
        self.counts.added(self.tenant, new);
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        self.counts.give_room_back(self.tenant, self.jobs);
    }
}

fn is_within(live: u64, more: u64, limit: u64) -> Result<(), QueueError> {
    match live.saturating_add(more) <= limit {
        true => Ok(()),
        false => Err(QueueError::Full { live, limit }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_free_place_is_given_once() {
        let (counts, tenant) = (LiveCounts::default(), TenantId::generate());
        counts.read([(tenant, 2)]);
        let reserved = counts.reserve(tenant, 1, 3).unwrap();
        let full = QueueError::Full { live: 3, limit: 3 };
        assert_eq!(counts.reserve(tenant, 1, 3).unwrap_err(), full);
        assert_eq!(counts.check(tenant, 1, 3), Err(full.clone()));
        reserved.are_added(1);
        assert_eq!(counts.check(tenant, 1, 3), Err(full));
        assert_eq!(counts.check(tenant, 1, 4), Ok(()));
        // Another tenant is not affected.
        assert_eq!(counts.check(TenantId::generate(), 3, 3), Ok(()));
    }

    #[test]
    fn a_job_that_is_not_added_takes_no_room() {
        let (counts, tenant) = (LiveCounts::default(), TenantId::generate());
        drop(counts.reserve(tenant, 3, 3).unwrap());
        counts.reserve(tenant, 3, 3).unwrap().are_added(0);
        assert_eq!(counts.check(tenant, 3, 3), Ok(()));
    }

    #[test]
    fn jobs_that_are_added_while_the_counters_are_read_stay_counted() {
        let (counts, tenant) = (LiveCounts::default(), TenantId::generate());
        counts.added(tenant, 1);
        counts.reading();
        // This one may or may not be part of what is read.
        counts.added(tenant, 1);
        assert_eq!(
            counts.check(tenant, 1, 2),
            Err(QueueError::Full { live: 2, limit: 2 })
        );
        counts.read([(tenant, 1)]);
        assert_eq!(
            counts.check(tenant, 1, 2),
            Err(QueueError::Full { live: 2, limit: 2 })
        );
        counts.reading();
        counts.read([(tenant, 0)]);
        assert_eq!(counts.check(tenant, 2, 2), Ok(()));
        assert!(counts.lock().is_empty());
    }

    #[test]
    fn a_query_that_fails_loses_no_count() {
        let (counts, tenant) = (LiveCounts::default(), TenantId::generate());
        counts.added(tenant, 1);
        counts.reading();
        counts.reading();
        assert_eq!(
            counts.check(tenant, 1, 1),
            Err(QueueError::Full { live: 1, limit: 1 })
        );
    }
}
