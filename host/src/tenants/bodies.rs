//! Counts request bodies in memory: bytes that are being read, or that wait for their invocation to
//! begin.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::admission::Caller;
use super::budget::{Account, Charge, Exhausted, SharedBudget};
use crate::domain::units::ByteSize;

/// The request bodies of one tenant. Anonymous callers may hold half of the tenant's limit, so that
/// some memory is always left for authenticated callers.
#[derive(Debug)]
pub struct Bodies {
    account: Arc<Account>,
    most_anonymous: AtomicU64,
    anonymous: AtomicU64,
}

/// The charge for the bytes of one body. Dropping it releases them.
#[derive(Debug)]
pub struct BodyCharge {
    bodies: Arc<Bodies>,
    caller: Caller,
    charge: Charge,
}

impl Bodies {
    /// An empty account for a tenant with the limit `most`, within the budget `host` of all
    /// tenants.
    pub fn new(host: &Arc<SharedBudget>, most: ByteSize) -> Self {
        let bodies = Self {
            account: Account::new(host, 0),
            most_anonymous: AtomicU64::new(0),
            anonymous: AtomicU64::new(0),
        };
        bodies.limit(most);
        bodies
    }

    /// Sets the limit for following bytes.
    pub fn limit(&self, most: ByteSize) {
        self.account.limit(most.0);
        self.most_anonymous.store(most.0.div_ceil(2), Ordering::Relaxed);
    }

    /// The bytes that are held.
    pub fn held(&self) -> u64 {
        self.account.held()
    }

    /// The charge for a body that has not arrived yet.
    pub fn open(self: &Arc<Self>, caller: Caller) -> BodyCharge {
        BodyCharge {
            charge: self.account.open(),
            bodies: self.clone(),
            caller,
        }
    }
}

impl BodyCharge {
    /// Increases the charge by `bytes`, if the tenant's limits permit it.
    pub fn add(&mut self, bytes: u64) -> Result<(), Exhausted> {
        if self.caller == Caller::Authenticated {
            return self.charge.add(bytes);
        }
        let held = self.bodies.anonymous.fetch_add(bytes, Ordering::AcqRel);
        let added = match held.saturating_add(bytes) > self.bodies.most_anonymous.load(Ordering::Relaxed) {
            true => Err(Exhausted::Tenant),
            false => self.charge.add(bytes),
        };
        if added.is_err() {
            self.bodies.anonymous.fetch_sub(bytes, Ordering::AcqRel);
        }
        added
    }
}

impl Drop for BodyCharge {
    fn drop(&mut self) {
        if self.caller == Caller::Anonymous {
            self.bodies
                .anonymous
                .fetch_sub(self.charge.amount(), Ordering::AcqRel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anonymous_callers_leave_half_to_the_others() {
        let host = SharedBudget::new(1_000);
        let bodies = Arc::new(Bodies::new(&host, ByteSize(100)));
        let mut anonymous = bodies.open(Caller::Anonymous);
        anonymous.add(50).unwrap();
        assert_eq!(anonymous.add(1), Err(Exhausted::Tenant));
        assert_eq!(bodies.open(Caller::Anonymous).add(1), Err(Exhausted::Tenant));
        let mut authenticated = bodies.open(Caller::Authenticated);
        authenticated.add(50).unwrap();
        assert_eq!(authenticated.add(1), Err(Exhausted::Tenant));
        assert_eq!((bodies.held(), host.held()), (100, 100));
        drop(anonymous);
        assert!(authenticated.add(50).is_ok());
        assert_eq!(bodies.open(Caller::Anonymous).add(1), Err(Exhausted::Tenant));
        drop(authenticated);
        assert_eq!((bodies.held(), host.held()), (0, 0));
        assert!(bodies.open(Caller::Anonymous).add(50).is_ok());
    }

    #[test]
    fn the_host_has_a_bound_too() {
        let host = SharedBudget::new(100);
        let tenants = [(); 2].map(|()| Arc::new(Bodies::new(&host, ByteSize(1_000))));
        let mut first = tenants[0].open(Caller::Authenticated);
        first.add(70).unwrap();
        let mut second = tenants[1].open(Caller::Anonymous);
        assert_eq!(second.add(31), Err(Exhausted::Shared));
        assert_eq!(second.add(30), Ok(()));
    }
}
