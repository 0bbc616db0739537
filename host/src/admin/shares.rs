//! Shared resources of the admin API that are held for long: memory for uploads, log followers and
//! exports.
//!
//! Each tenant has a limit of its own, and the tenants together never use up what another tenant
//! needs ([`crate::tenants::budget`]). Operators have separate budgets, so that no tenant can block
//! them, and share these by token in the same way.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::id::{TenantId, TokenId};
use crate::tenants::budget::{Account, SharedBudget};

/// Bytes of uploaded components of all tenants, while they are received or wait for compilation.
const UPLOAD_BYTES: u64 = 512 << 20;

/// The same for operators.
const OPERATORS_UPLOAD_BYTES: u64 = 256 << 20;

/// Log followers of all tenants. Each holds a connection for an unlimited time.
const FOLLOWERS: u64 = 100;

/// Log followers of one tenant.
const TENANTS_FOLLOWERS: u64 = 20;

/// Log followers of all operators.
const OPERATORS_FOLLOWERS: u64 = 40;

/// Log followers of one operator.
const OPERATOR_FOLLOWERS: u64 = 20;

/// Exports of all tenants. Each holds some jobs with their payloads in memory.
const EXPORTS: u64 = 16;

/// Exports of one tenant.
const TENANTS_EXPORTS: u64 = 2;

/// Exports of all operators. One that leaves its exports unread does not stop those of others.
const OPERATORS_EXPORTS: u64 = 16;

/// Exports of one operator.
const OPERATOR_EXPORTS: u64 = 4;

/// The holder of a shared resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Holder {
    /// The operator with this token, in any tenant.
    Operator(TokenId),
    /// A user of this tenant.
    Tenant(TenantId),
}

/// All shares.
pub struct Shares {
    tenants: Budgets,
    operators: Budgets,
    /// The shares that are in use.
    held: Mutex<HashMap<Holder, Arc<Share>>>,
}

/// What the tenants share, or the operators.
struct Budgets {
    uploads: Arc<SharedBudget>,
    followers: Arc<SharedBudget>,
    exports: Arc<SharedBudget>,
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
        Self {
            tenants: Budgets::new(UPLOAD_BYTES, FOLLOWERS, EXPORTS),
            operators: Budgets::new(OPERATORS_UPLOAD_BYTES, OPERATORS_FOLLOWERS, OPERATORS_EXPORTS),
            held: Mutex::default(),
        }
    }
}

impl Shares {
    /// Bytes of all uploaded components, those of operators included.
    pub fn upload_bytes(&self) -> u64 {
        self.tenants.uploads.held() + self.operators.uploads.held()
    }

    /// The share of a holder.
    pub fn of(&self, holder: Holder) -> Arc<Share> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|known, share| *known == holder || share.is_in_use());
        let share = held.entry(holder).or_insert_with(|| {
            Arc::new(match holder {
                Holder::Tenant(_) => self
                    .tenants
                    .share(UPLOAD_BYTES, TENANTS_FOLLOWERS, TENANTS_EXPORTS),
                Holder::Operator(_) => {
                    self.operators
                        .share(OPERATORS_UPLOAD_BYTES, OPERATOR_FOLLOWERS, OPERATOR_EXPORTS)
                }
            })
        });
        share.clone()
    }
}

impl Budgets {
    fn new(uploads: u64, followers: u64, exports: u64) -> Self {
        Self {
            uploads: SharedBudget::new(uploads),
            followers: SharedBudget::new(followers),
            exports: SharedBudget::new(exports),
        }
    }

    /// A share with limits of its own.
    fn share(&self, uploads: u64, followers: u64, exports: u64) -> Share {
        Share {
            uploads: Account::new(&self.uploads, uploads),
            followers: Account::new(&self.followers, followers),
            exports: Account::new(&self.exports, exports),
        }
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

    fn operator() -> Holder {
        Holder::Operator(TokenId::generate())
    }

    #[test]
    fn one_tenant_shuts_out_neither_another_nor_the_operators() {
        let shares = Shares::default();
        let greedy = tenant();
        let held: Vec<_> = std::iter::from_fn(|| shares.of(greedy).followers.charge(1).ok()).collect();
        assert_eq!(held.len(), 20);
        let uploads: Vec<_> = std::iter::from_fn(|| shares.of(greedy).uploads.charge(1 << 20).ok()).collect();
        assert_eq!(uploads.len(), 256, "half of it");
        for other in [tenant(), operator()] {
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
        assert!(shares.of(operator()).followers.charge(1).is_ok());
    }

    #[test]
    fn an_operator_with_unread_exports_does_not_stop_another() {
        let shares = Shares::default();
        let (one, other) = (operator(), operator());
        let held: Vec<_> = std::iter::from_fn(|| shares.of(one).exports.charge(1).ok()).collect();
        assert_eq!(held.len(), 4);
        assert!(shares.of(other).exports.charge(1).is_ok());
        let many: Vec<_> = std::iter::repeat_with(operator)
            .take(20)
            .filter_map(|operator| shares.of(operator).exports.charge(1).ok())
            .collect();
        assert_eq!(held.len() + many.len(), 16);
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
            shares.held.lock().unwrap().len(),
            1,
            "only the last one asked for"
        );
    }
}
