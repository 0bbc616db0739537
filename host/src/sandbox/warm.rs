//! Warm instances: they wait for the next request of their plugin, if the plugin's author permits
//! reuse.
//!
//! An instance is fresh unless the manifest says `reuse = true`. A warm instance serves only the
//! same tenant, plugin, version, limits and grants, because it is looked up by the identity of the
//! [`ActiveVersion`] that it ran for. Warm instances have their own slots in the pool, so they take
//! none from running instances.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::Instant;

use crate::capability::ActiveVersion;

/// An instance that has been idle for longer than this is dropped, which frees its memory.
pub const IDLE: Duration = Duration::from_secs(30);

/// The warm instances of all tenants. Each belongs to an owner `K`, by default a version with its
/// limits and grants.
#[derive(Debug)]
pub struct WarmPools<T, K = ActiveVersion> {
    slots: Arc<Slots>,
    tenants: Mutex<Vec<Weak<WarmPool<T, K>>>>,
}

/// The warm instances of one tenant. A change of the tenant's configuration replaces this value.
#[derive(Debug)]
pub struct WarmPool<T, K = ActiveVersion> {
    slots: Arc<Slots>,
    most: usize,
    /// Sorted by arrival, the newest last. The list is short enough for a linear search.
    waiting: Mutex<Vec<Waiting<T, K>>>,
}

#[derive(Debug)]
struct Slots {
    most: u32,
    taken: AtomicU32,
}

/// An occupied slot. Dropping it frees the slot.
#[derive(Debug)]
struct Slot(Arc<Slots>);

#[derive(Debug)]
struct Waiting<T, K> {
    owner: Arc<K>,
    instance: T,
    since: Instant,
    /// Dropped after the instance.
    slot: Slot,
}

impl<T, K> WarmPools<T, K> {
    /// A pool for at most `most` instances of all tenants together.
    pub fn new(most: u32) -> Self {
        Self {
            slots: Arc::new(Slots {
                most,
                taken: AtomicU32::new(0),
            }),
            tenants: Mutex::default(),
        }
    }

    /// A pool for one tenant, with at most `most` instances.
    pub fn tenant(&self, most: u32) -> Arc<WarmPool<T, K>> {
        let pool = Arc::new(WarmPool {
            slots: self.slots.clone(),
            most: usize::try_from(most).unwrap_or(usize::MAX),
            waiting: Mutex::default(),
        });
        self.tenants().push(Arc::downgrade(&pool));
        pool
    }

    /// The number of warm instances of all tenants.
    pub fn waiting(&self) -> u32 {
        self.slots.taken.load(Ordering::Relaxed)
    }

    /// Drops the instances that have been idle for too long.
    pub fn give_up(&self, now: Instant) {
        let tenants: Vec<_> = {
            let mut tenants = self.tenants();
            tenants.retain(|pool| pool.strong_count() > 0);
            tenants.iter().filter_map(Weak::upgrade).collect()
        };
        for pool in tenants {
            // Dropped without the lock, because dropping an instance takes a moment.
            drop(pool.overdue(now));
        }
    }

    fn tenants(&self) -> MutexGuard<'_, Vec<Weak<WarmPool<T, K>>>> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T, K> WarmPool<T, K> {
    /// The number of warm instances.
    pub fn waiting(&self) -> usize {
        self.lock().len()
    }

    /// Takes the instance that ran for this owner last. Its memory is the most likely to be in the
    /// cache.
    pub fn take(&self, owner: &Arc<K>) -> Option<T> {
        let mut waiting = self.lock();
        let index = waiting.iter().rposition(|one| Arc::ptr_eq(&one.owner, owner))?;
        Some(waiting.remove(index).instance)
    }

    /// Adds an instance. Returns the instance that has to leave for it: the oldest one, or
    /// `instance` itself if there is no free slot. The returned instance no longer occupies a slot;
    /// the caller keeps its own permit until it is dropped.
    pub fn keep(&self, owner: Arc<K>, instance: T, now: Instant) -> Option<T> {
        if self.most == 0 {
            return Some(instance);
        }
        let mut waiting = self.lock();
        let oldest = (waiting.len() >= self.most).then(|| waiting.remove(0));
        let (slot, has_to_go) = match oldest {
            Some(oldest) => (Some(oldest.slot), Some(oldest.instance)),
            None => (self.slots.take(), None),
        };
        let Some(slot) = slot else {
            return Some(instance);
        };
        waiting.push(Waiting {
            owner,
            instance,
            since: now,
            slot,
        });
        has_to_go
    }

    /// Removes the instances that have been idle for too long.
    fn overdue(&self, now: Instant) -> Vec<Waiting<T, K>> {
        let mut waiting = self.lock();
        let due = waiting.partition_point(|one| now.duration_since(one.since) > IDLE);
        waiting.drain(..due).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Waiting<T, K>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slots {
    fn take(self: &Arc<Self>) -> Option<Slot> {
        let more = |taken: u32| (taken < self.most).then_some(taken + 1);
        let taken = self
            .taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.ok().map(|_| Slot(self.clone()))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capability::testing;
    use crate::domain::grant::Grants;
    use crate::domain::limits::Limits;

    fn version() -> Arc<ActiveVersion> {
        testing::invocation(Limits::default(), Grants::default()).active
    }

    impl WarmPool<u32> {
        fn put(&self, active: &Arc<ActiveVersion>, instance: u32) -> Option<u32> {
            self.keep(active.clone(), instance, Instant::now())
        }
    }

    #[test]
    fn only_the_same_version_gets_an_instance_back() {
        let pools = WarmPools::new(10);
        let pool = pools.tenant(10);
        let (first, second) = (version(), version());
        assert_eq!(pool.put(&first, 1), None);
        assert_eq!(pool.take(&second), None);
        assert_eq!(pool.take(&first), Some(1));
        assert_eq!(pool.take(&first), None);
        assert_eq!(pools.waiting(), 0);
    }

    #[test]
    fn beyond_the_tenants_limit_the_oldest_leaves() {
        let pools = WarmPools::new(10);
        let (pool, version) = (pools.tenant(2), version());
        assert_eq!(pool.put(&version, 1), None);
        assert_eq!(pool.put(&version, 2), None);
        assert_eq!(pool.put(&version, 3), Some(1));
        assert_eq!((pool.waiting(), pools.waiting()), (2, 2));
        let none = pools.tenant(0);
        assert_eq!(none.put(&version, 4), Some(4));
    }

    #[test]
    fn all_tenants_together_have_the_places_of_the_host() {
        let pools = WarmPools::new(1);
        let (acme, globex, version) = (pools.tenant(5), pools.tenant(5), version());
        assert_eq!(acme.put(&version, 1), None);
        assert_eq!(globex.put(&version, 2), Some(2));
        drop(acme);
        assert_eq!(globex.put(&version, 2), None);
    }

    #[test]
    fn whose_tenant_and_host_are_full_takes_the_place_of_the_oldest() {
        let pools = WarmPools::new(1);
        let (pool, version) = (pools.tenant(1), version());
        assert_eq!(pool.put(&version, 1), None);
        assert_eq!(pool.put(&version, 2), Some(1));
        assert_eq!((pools.waiting(), pool.take(&version)), (1, Some(2)));
    }

    #[test]
    fn who_waits_too_long_is_given_up() {
        let pools = WarmPools::new(10);
        let (pool, version) = (pools.tenant(10), version());
        let start = Instant::now();
        for (instance, since) in [(1, start), (2, start + IDLE)] {
            assert_eq!(pool.keep(version.clone(), instance, since), None);
        }
        pools.give_up(start + IDLE);
        assert_eq!(pools.waiting(), 2);
        pools.give_up(start + IDLE + Duration::from_millis(1));
        assert_eq!((pools.waiting(), pool.take(&version)), (1, Some(2)));
    }
}
