//! Tenants whose data could not be read, and the time of the next attempt for each.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::domain::clock::Timestamp;
use crate::domain::id::TenantId;

/// Time until the first new attempt. Each further attempt doubles it.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// The longest time between two attempts.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Tenants that could not be read. A successful attempt removes the tenant.
#[derive(Default)]
pub(super) struct Failing(Mutex<HashMap<TenantId, Failed>>);

#[derive(Clone, Copy)]
struct Failed {
    attempts: u32,
    at: Timestamp,
}

impl Failing {
    /// Records a failed attempt. Returns the number of failures in a row.
    pub fn failed(&self, tenant: TenantId, now: Timestamp) -> u32 {
        let mut failing = self.lock();
        let before = failing.get(&tenant).map_or(0, |failed| failed.attempts);
        let attempts = before.saturating_add(1);
        failing.insert(tenant, Failed { attempts, at: now });
        attempts
    }

    /// Removes a tenant that was read or deleted.
    pub fn clear(&self, tenant: TenantId) {
        self.lock().remove(&tenant);
    }

    /// Whether the next attempt is due.
    pub fn is_due(&self, tenant: TenantId, now: Timestamp) -> bool {
        self.lock().get(&tenant).is_none_or(|failed| {
            let doubled = 1_u32.checked_shl(failed.attempts - 1).unwrap_or(u32::MAX);
            let wait = FIRST_WAIT.saturating_mul(doubled).min(LONGEST_WAIT);
            now.since(failed.at) >= wait
        })
    }

    /// The tenants that could not be read.
    pub fn tenants(&self) -> Vec<TenantId> {
        self.lock().keys().copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TenantId, Failed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_is_tried_again_and_again_with_longer_waits_until_it_is_read() {
        let (failing, tenant) = (Failing::default(), TenantId::generate());
        assert!(failing.is_due(tenant, Timestamp(0)));
        let mut now = 0;
        for (attempt, wait) in [
            (1, 1_000),
            (2, 2_000),
            (3, 4_000),
            (4, 8_000),
            (5, 10_000),
            (6, 10_000),
        ] {
            assert_eq!(failing.failed(tenant, Timestamp(now)), attempt);
            assert!(!failing.is_due(tenant, Timestamp(now + wait - 1)));
            now += wait;
            assert!(failing.is_due(tenant, Timestamp(now)));
        }
        failing.clear(tenant);
        assert_eq!(failing.failed(tenant, Timestamp(now)), 1);
    }
}
