//! Notifies nodes of changed tenants, so that they need not wait for the next poll.
//!
//! A notification may be lost. Polling guarantees that every change is served.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::domain::generation::Generations;
use crate::domain::id::TenantId;

/// The tenants that changed since the last look, with their generations after the change. `None`
/// means that the tenant was purged.
pub type Changed = BTreeMap<TenantId, Option<Generations>>;

/// Notifications within one process.
#[derive(Debug, Default)]
pub struct ChangeNotifier {
    changed: Mutex<Changed>,
    notify: Notify,
}

impl ChangeNotifier {
    /// Reports changed tenants. Call it after the change is committed.
    pub fn notify(&self, changed: impl IntoIterator<Item = (TenantId, Generations)>) {
        let changed = changed.into_iter();
        self.lock()
            .extend(changed.map(|(tenant, generations)| (tenant, Some(generations))));
        self.notify.notify_one();
    }

    /// Tells that this tenant was purged. To be called after the purge is committed.
    pub fn notify_purged(&self, tenant: TenantId) {
        self.lock().insert(tenant, None);
        self.notify.notify_one();
    }

    /// Waits for a notification.
    pub async fn notified(&self) {
        self.notify.notified().await;
    }

    /// The tenants that changed since the last call.
    pub fn take(&self) -> Changed {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Changed> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
