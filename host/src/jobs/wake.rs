//! Wakes the background tasks of jobs as soon as there is work for them.
//!
//! A wake-up is a shortcut: each task also looks for work at intervals, so that a lost wake-up only
//! costs time.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::domain::id::TenantId;

/// The wake-ups of one host. Each kind has one waiting task; a wake-up that comes while the task is
/// busy is kept until it waits again.
#[derive(Debug, Default)]
pub struct Wake {
    jobs: Notify,
    outbox: Notify,
    cancellations: Notify,
    /// The tenants with new outbox entries.
    dirty: Mutex<BTreeSet<TenantId>>,
}

impl Wake {
    /// Jobs were added or became ready.
    pub fn jobs_added(&self) {
        self.jobs.notify_one();
    }

    /// A transaction of this tenant with outbox entries was committed.
    pub fn outbox_written(&self, tenant: TenantId) {
        self.dirty().insert(tenant);
        self.outbox.notify_one();
    }

    /// Somebody asked to cancel a running job.
    pub fn cancellation_requested(&self) {
        self.cancellations.notify_one();
    }

    /// Waits until jobs are added or become ready.
    pub async fn for_jobs(&self) {
        self.jobs.notified().await;
    }

    /// Waits until an outbox is written.
    pub async fn for_outbox(&self) {
        self.outbox.notified().await;
    }

    /// Waits until somebody asks to cancel a running job.
    pub async fn for_cancellations(&self) {
        self.cancellations.notified().await;
    }

    /// The tenants whose outboxes were written since the last call.
    pub fn take_dirty(&self) -> Vec<TenantId> {
        std::mem::take(&mut *self.dirty()).into_iter().collect()
    }

    fn dirty(&self) -> MutexGuard<'_, BTreeSet<TenantId>> {
        // Nothing panics while the lock is held.
        self.dirty.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn a_wake_up_is_kept_for_a_task_that_is_busy() {
        let wake = Wake::default();
        assert!(wake.for_jobs().now_or_never().is_none());
        wake.jobs_added();
        wake.jobs_added();
        assert!(wake.for_jobs().now_or_never().is_some());
        assert!(wake.for_jobs().now_or_never().is_none());
    }

    #[test]
    fn each_tenant_with_entries_is_named_once() {
        let wake = Wake::default();
        let mut tenants = [TenantId::generate(), TenantId::generate()];
        tenants.sort_unstable();
        for tenant in [tenants[1], tenants[0], tenants[1]] {
            wake.outbox_written(tenant);
        }
        assert!(wake.for_outbox().now_or_never().is_some());
        assert_eq!(wake.take_dirty(), tenants);
        assert!(wake.take_dirty().is_empty());
    }
}
