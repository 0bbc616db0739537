//! Tenants that could not be read, and when each is tried again.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::domain::clock::Timestamp;
use crate::domain::id::TenantId;

/// Waiting before the first new attempt. It doubles with each further one.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// Waiting is never longer than this.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Tenants that could not be read. An attempt that succeeds takes its tenant out.
#[derive(Default)]
pub(super) struct Failing(Mutex<HashMap<TenantId, Failed>>);

#[derive(Clone, Copy)]
struct Failed {
    attempts: u32,
    at: Timestamp,
}

impl Failing {
    /// An attempt failed. Gives back how many have failed one after the other.
    pub fn failed(&self, tenant: TenantId, now: Timestamp) -> u32 {
        let mut failing = self.lock();
        let before = failing.get(&tenant).map_or(0, |failed| failed.attempts);
        let attempts = before.saturating_add(1);
        failing.insert(tenant, Failed { attempts, at: now });
        attempts
    }

    /// The tenant was read, or is gone.
    pub fn clear(&self, tenant: TenantId) {
        self.lock().remove(&tenant);
    }

    /// Whether the tenant is to be tried now.
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
