//! Shared resources of the admin API that are held for long: memory for uploads, log followers and
//! exports.
//!
//! Each tenant has a limit of its own, and the tenants together never use up what another tenant
//! needs ([`crate::tenants::budget`]). Operators have a separate share, so that no tenant can block
//! them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::id::TenantId;
use crate::tenants::budget::{Account, SharedBudget};

/// Bytes of uploaded components of all tenants, while they are received or wait for compilation.
const UPLOAD_BYTES: u64 = 512 << 20;

/// The same for operators.
const OPERATORS_UPLOAD_BYTES: u64 = 256 << 20;

/// Log followers of all tenants. Each holds a connection for an unlimited time.
const FOLLOWERS: u64 = 100;

/// Log followers of one tenant.
const TENANTS_FOLLOWERS: u64 = 20;

/// Log followers of operators.
const OPERATORS_FOLLOWERS: u64 = 20;

/// Exports of all tenants. Each holds some jobs with their payloads in memory.
const EXPORTS: u64 = 16;

/// Exports of one tenant.
const TENANTS_EXPORTS: u64 = 2;

/// Exports of operators.
const OPERATORS_EXPORTS: u64 = 4;

/// The holder of a shared resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// An operator, in any tenant.
    Operator,
    /// A user of this tenant.
    Tenant(TenantId),
}

/// All shares.
pub struct Shares {
    uploads: Arc<SharedBudget>,
    followers: Arc<SharedBudget>,
    exports: Arc<SharedBudget>,
    operators: Arc<Share>,
    tenants: Mutex<HashMap<TenantId, Arc<Share>>>,
}

/// The share of one holder.
pub struct Share {
    /// Bytes of uploaded components.
    pub uploads: Arc<Account>,
    /// Log followers.
    pub followers: Arc<Account>,
    /// Exports.
    pub exports: Arc<Account>,
}

impl Default for Shares {
    fn default() -> Self {
        let operators = Share {
            uploads: Account::new(&SharedBudget::new(OPERATORS_UPLOAD_BYTES), OPERATORS_UPLOAD_BYTES),
            followers: Account::new(&SharedBudget::new(2 * OPERATORS_FOLLOWERS), OPERATORS_FOLLOWERS),
            exports: Account::new(&SharedBudget::new(2 * OPERATORS_EXPORTS), OPERATORS_EXPORTS),
        };
        Self {
            uploads: SharedBudget::new(UPLOAD_BYTES),
            followers: SharedBudget::new(FOLLOWERS),
            exports: SharedBudget::new(EXPORTS),
            operators: Arc::new(operators),
            tenants: Mutex::default(),
        }
    }
}

impl Shares {
    /// Bytes of all uploaded components, those of operators included.
    pub fn upload_bytes(&self) -> u64 {
        self.uploads.held() + self.operators.uploads.held()
    }

    /// The share of a holder.
    pub fn of(&self, holder: Holder) -> Arc<Share> {
        let tenant = match holder {
            Holder::Operator => return self.operators.clone(),
            Holder::Tenant(tenant) => tenant,
        };
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        tenants.retain(|known, share| *known == tenant || share.is_in_use());
        let share = tenants.entry(tenant).or_insert_with(|| {
            Arc::new(Share {
                uploads: Account::new(&self.uploads, UPLOAD_BYTES),
                followers: Account::new(&self.followers, TENANTS_FOLLOWERS),
                exports: Account::new(&self.exports, TENANTS_EXPORTS),
            })
        });
        share.clone()
    }
}

impl Share {
    fn is_in_use(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) > 1
            || self.uploads.held() > 0
            || self.followers.held() > 0
            || self.exports.held() > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant() -> Holder {
        Holder::Tenant(TenantId::generate())
    }

    #[test]
    fn one_tenant_shuts_out_neither_another_nor_the_operators() {
        let shares = Shares::default();
        let greedy = tenant();
        let held: Vec<_> = std::iter::from_fn(|| shares.of(greedy).followers.charge(1).ok()).collect();
        assert_eq!(held.len(), 20);
        let uploads: Vec<_> = std::iter::from_fn(|| shares.of(greedy).uploads.charge(1 << 20).ok()).collect();
        assert_eq!(uploads.len(), 256, "half of it");
        for other in [tenant(), Holder::Operator] {
            assert!(shares.of(other).followers.charge(1).is_ok());
            assert!(shares.of(other).uploads.charge(64 << 20).is_ok());
        }
    }

    #[test]
    fn any_number_of_tenants_leaves_the_operators_theirs() {
        let shares = Shares::default();
        let tenants: Vec<Holder> = (0..200).map(|_| tenant()).collect();
        let mut held = Vec::new();
        for _ in 0..20 {
            held.extend(
                tenants
                    .iter()
                    .filter_map(|tenant| shares.of(*tenant).followers.charge(1).ok()),
            );
        }
        assert_eq!(held.len(), 100);
        assert!(shares.of(Holder::Operator).followers.charge(1).is_ok());
    }

    #[test]
    fn what_a_tenant_holds_is_remembered_for_as_long() {
        let shares = Shares::default();
        let (one, other) = (tenant(), tenant());
        let charge = shares.of(one).followers.charge(3).unwrap();
        drop(shares.of(other));
        assert_eq!(shares.of(one).followers.held(), 3);
        drop(charge);
        drop(shares.of(other));
        assert_eq!(
            shares.tenants.lock().unwrap().len(),
            1,
            "only the last one asked for"
        );
    }
}
