//! A budget that tenants share: bytes or slots that may be held for long, so that waiting for them
//! would not help.
//!
//! A tenant may hold at most as much as is still free, and at most its own limit ("dynamic
//! thresholds", Choudhury and Hahne, 1998). One greedy tenant gets half of the budget, two get a
//! third each, and some is always left for a tenant that holds nothing yet. Nothing is evicted, and
//! a charge costs two additions.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The budget of all tenants.
#[derive(Debug)]
pub struct SharedBudget {
    most: u64,
    held: AtomicU64,
}

/// The account of one tenant with a budget. It outlives the tenant's snapshots.
#[derive(Debug)]
pub struct Account {
    budget: Arc<SharedBudget>,
    most: AtomicU64,
    held: AtomicU64,
}

/// An amount that is held until this value is dropped.
#[derive(Debug)]
pub struct Charge {
    account: Arc<Account>,
    amount: u64,
}

/// The exhausted limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exhausted {
    /// The tenant's own limit.
    Tenant,
    /// The part of the shared budget that is left for this tenant.
    Shared,
}

impl SharedBudget {
    /// A budget of `most`.
    pub fn new(most: u64) -> Arc<Self> {
        Arc::new(Self {
            most,
            held: AtomicU64::new(0),
        })
    }

    /// The amount that all tenants hold.
    pub fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }
}

impl Account {
    /// An empty account with its own limit.
    pub fn new(budget: &Arc<SharedBudget>, most: u64) -> Arc<Self> {
        Arc::new(Self {
            budget: budget.clone(),
            most: AtomicU64::new(most),
            held: AtomicU64::new(0),
        })
    }

    /// Sets the limit for following charges.
    pub fn limit(&self, most: u64) {
        self.most.store(most, Ordering::Relaxed);
    }

    /// The amount that the tenant holds.
    pub fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    /// An empty charge.
    pub fn open(self: &Arc<Self>) -> Charge {
        Charge {
            account: self.clone(),
            amount: 0,
        }
    }

    /// Charges `amount`, if the tenant's limits permit it.
    pub fn charge(self: &Arc<Self>, amount: u64) -> Result<Charge, Exhausted> {
        let mut charge = self.open();
        charge.add(amount)?;
        Ok(charge)
    }

    fn take(&self, amount: u64) -> Result<(), Exhausted> {
        let mine = self
            .held
            .fetch_add(amount, Ordering::AcqRel)
            .saturating_add(amount);
        let all = self
            .budget
            .held
            .fetch_add(amount, Ordering::AcqRel)
            .saturating_add(amount);
        let free = self.budget.most.saturating_sub(all);
        let exhausted = if mine > self.most.load(Ordering::Relaxed) {
            Exhausted::Tenant
        } else if all > self.budget.most || mine - amount > free {
            Exhausted::Shared
        } else {
            return Ok(());
        };
        self.give_back(amount);
        Err(exhausted)
    }

    fn give_back(&self, amount: u64) {
        self.held.fetch_sub(amount, Ordering::AcqRel);
        self.budget.held.fetch_sub(amount, Ordering::AcqRel);
    }
}

impl Charge {
    /// Increases the charge by `amount`, if the tenant's limits permit it.
    pub fn add(&mut self, amount: u64) -> Result<(), Exhausted> {
        self.account.take(amount)?;
        self.amount += amount;
        Ok(())
    }

    /// The amount of this charge.
    pub fn amount(&self) -> u64 {
        self.amount
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if self.amount > 0 {
            self.account.give_back(self.amount);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Charges one by one until nothing more is given.
    fn fill(account: &Arc<Account>) -> Vec<Charge> {
        std::iter::from_fn(|| account.charge(1).ok()).collect()
    }

    #[test]
    fn a_tenant_has_its_own_bound() {
        let budget = SharedBudget::new(100);
        let account = Account::new(&budget, 3);
        let held = fill(&account);
        assert_eq!(held.len(), 3);
        assert_eq!(account.charge(1).unwrap_err(), Exhausted::Tenant);
        account.limit(4);
        assert!(account.charge(1).is_ok());
        drop(held);
        assert_eq!((account.held(), budget.held()), (0, 0));
    }

    #[test]
    fn something_is_left_for_a_tenant_that_holds_nothing() {
        let budget = SharedBudget::new(60);
        let accounts: Vec<Arc<Account>> = (0..6).map(|_| Account::new(&budget, 60)).collect();
        let mut held = Vec::new();
        let mut shares = Vec::new();
        for account in &accounts {
            let charges = fill(account);
            assert_eq!(account.charge(1).unwrap_err(), Exhausted::Shared);
            shares.push(charges.len());
            held.push(charges);
        }
        assert_eq!(shares, [30, 15, 8, 4, 2, 1]);
        assert_eq!(budget.held(), 60);
    }

    #[test]
    fn what_is_refused_is_not_held() {
        let budget = SharedBudget::new(10);
        let account = Account::new(&budget, 10);
        let mut charge = account.charge(4).unwrap();
        assert_eq!(charge.add(7), Err(Exhausted::Tenant));
        assert_eq!((charge.amount(), account.held()), (4, 4));
        let other = Account::new(&budget, 100);
        assert_eq!(other.charge(7).unwrap_err(), Exhausted::Shared);
        assert_eq!(budget.held(), 4);
        assert!(other.charge(6).is_ok());
    }

    #[test]
    fn nothing_is_lost_between_threads() {
        let budget = SharedBudget::new(1_000);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                let account = Account::new(&budget, 300);
                scope.spawn(move || {
                    for amount in 0..2_000 {
                        let _first = account.charge(amount % 200);
                        let _second = account.charge(1);
                    }
                });
            }
        });
        assert_eq!(budget.held(), 0);
    }
}
