//! Notifies nodes of changed tenants, so that they need not wait for the next poll.
//!
//! A notification may be lost. Polling guarantees that every change is served.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::domain::generation::Generations;
use crate::domain::id::TenantId;

/// Changed tenants since the last call, with their generations.
pub type Changed = BTreeMap<TenantId, Generations>;

/// Notifications within one process.
#[derive(Debug, Default)]
pub struct Doorbell {
    changed: Mutex<Changed>,
    rung: Notify,
}

impl Doorbell {
    /// Reports changed tenants. Call it after the change is committed.
    pub fn ring(&self, changed: impl IntoIterator<Item = (TenantId, Generations)>) {
        self.lock().extend(changed);
        self.rung.notify_one();
    }

    /// Waits for a notification.
    pub async fn rung(&self) {
        self.rung.notified().await;
    }

    /// The tenants that changed since the last call.
    pub fn take(&self) -> Changed {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Changed> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
