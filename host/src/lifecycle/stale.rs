//! Tenants whose stored state could not be read back after a change. They are read again until that succeeds.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use crate::domain::id::TenantId;

/// Tenants to be read again.
#[derive(Default)]
pub(super) struct Stale {
    tenants: Mutex<BTreeSet<TenantId>>,
    added: Notify,
}

impl Stale {
    /// Reads a tenant again later.
    pub fn add(&self, tenant: TenantId) {
        self.lock().insert(tenant);
        self.added.notify_one();
    }

    /// Reads a tenant again with the next round.
    pub fn keep(&self, tenant: TenantId) {
        self.lock().insert(tenant);
    }

    /// The tenants so far, which are no longer in the set.
    pub fn take(&self) -> BTreeSet<TenantId> {
        std::mem::take(&mut *self.lock())
    }

    /// Waits until a tenant is added.
    pub async fn added(&self) {
        self.added.notified().await;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<TenantId>> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
