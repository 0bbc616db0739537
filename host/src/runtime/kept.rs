//! Instances that wait for the next request of their plugin, where its author allows that.
//!
//! An instance is fresh unless the manifest says `reuse = true`. One that is kept serves the same tenant, plugin, version,
//! limits and grants again and nobody else: what is looked for is the very [`ActiveVersion`] that it ran for. The
//! instances that wait have places of their own in the pool, so that they take none from those that run.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::Instant;

use crate::capability::ActiveVersion;

/// Who waits for longer than this is given up, with the memory that it holds.
pub const IDLE: Duration = Duration::from_secs(30);

/// The instances of all tenants that wait.
#[derive(Debug)]
pub struct Keeper<T> {
    places: Arc<Places>,
    tenants: Mutex<Vec<Weak<Kept<T>>>>,
}

/// Those of one tenant, for as long as nothing of it changes.
#[derive(Debug)]
pub struct Kept<T> {
    places: Arc<Places>,
    most: usize,
    /// Those that came last are last. Few, so that looking through them is quick.
    waiting: Mutex<Vec<Waiting<T>>>,
}

#[derive(Debug)]
struct Places {
    most: u32,
    taken: AtomicU32,
}

/// One of the places, for as long as this is there.
#[derive(Debug)]
struct Place(Arc<Places>);

#[derive(Debug)]
struct Waiting<T> {
    active: Arc<ActiveVersion>,
    instance: T,
    since: Instant,
    /// Given up after the instance.
    _place: Place,
}

/// Instances that nobody waits for any more. To be dropped where that disturbs nobody; they have their places until then.
#[derive(Debug)]
pub struct GivenUp<T> {
    _waited: Vec<Waiting<T>>,
    _refused: Option<T>,
}

impl<T> Keeper<T> {
    /// Keeps at most `most` of all tenants together.
    pub fn new(most: u32) -> Self {
        Self {
            places: Arc::new(Places {
                most,
                taken: AtomicU32::new(0),
            }),
            tenants: Mutex::default(),
        }
    }

    /// For a tenant, of which `most` are kept.
    pub fn tenant(&self, most: u32) -> Arc<Kept<T>> {
        let kept = Arc::new(Kept {
            places: self.places.clone(),
            most: usize::try_from(most).unwrap_or(usize::MAX),
            waiting: Mutex::default(),
        });
        self.tenants().push(Arc::downgrade(&kept));
        kept
    }

    /// How many wait.
    pub fn waiting(&self) -> u32 {
        self.places.taken.load(Ordering::Relaxed)
    }

    /// Gives up those that have waited too long.
    pub fn give_up(&self, now: Instant) {
        let tenants: Vec<_> = {
            let mut tenants = self.tenants();
            tenants.retain(|kept| kept.strong_count() > 0);
            tenants.iter().filter_map(Weak::upgrade).collect()
        };
        for kept in tenants {
            drop(kept.give_up(now));
        }
    }

    fn tenants(&self) -> MutexGuard<'_, Vec<Weak<Kept<T>>>> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Kept<T> {
    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.lock().len()
    }

    /// The one that ran for this version last, which is the one whose memory is most likely at hand.
    pub fn take(&self, active: &Arc<ActiveVersion>) -> Option<T> {
        let mut waiting = self.lock();
        let index = waiting.iter().rposition(|one| Arc::ptr_eq(&one.active, active))?;
        Some(waiting.remove(index).instance)
    }

    /// Keeps an instance. Gives back what there is no room for: those that have waited longest, or itself where the host
    /// has no place left. `None` where nothing has to go.
    pub fn keep(&self, active: Arc<ActiveVersion>, instance: T, now: Instant) -> Option<GivenUp<T>> {
        let mut waiting = self.lock();
        let beyond = (waiting.len() + 1).saturating_sub(self.most).min(waiting.len());
        let waited: Vec<_> = waiting.drain(..beyond).collect();
        let mut refused = None;
        match self.places.take().filter(|_| self.most > 0) {
            Some(place) => waiting.push(Waiting {
                active,
                instance,
                since: now,
                _place: place,
            }),
            None => refused = Some(instance),
        }
        let has_to_go = !waited.is_empty() || refused.is_some();
        has_to_go.then_some(GivenUp {
            _waited: waited,
            _refused: refused,
        })
    }

    fn give_up(&self, now: Instant) -> GivenUp<T> {
        let mut waiting = self.lock();
        let due = waiting.partition_point(|one| now.duration_since(one.since) > IDLE);
        GivenUp {
            _waited: waiting.drain(..due).collect(),
            _refused: None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Waiting<T>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Places {
    fn take(self: &Arc<Self>) -> Option<Place> {
        let more = |taken: u32| (taken < self.most).then_some(taken + 1);
        let taken = self
            .taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.ok().map(|_| Place(self.clone()))
    }
}

impl Drop for Place {
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

    impl Kept<u32> {
        /// Keeps an instance, and names those that are given up for it.
        fn put(&self, active: &Arc<ActiveVersion>, instance: u32) -> Vec<u32> {
            let Some(given_up) = self.keep(active.clone(), instance, Instant::now()) else {
                return Vec::new();
            };
            let waited = given_up._waited.iter().map(|waited| waited.instance);
            waited.chain(given_up._refused).collect()
        }
    }

    #[test]
    fn only_the_same_version_gets_an_instance_back() {
        let keeper = Keeper::new(10);
        let kept = keeper.tenant(10);
        let (first, second) = (version(), version());
        assert!(kept.put(&first, 1).is_empty());
        assert_eq!(kept.take(&second), None);
        assert_eq!(kept.take(&first), Some(1));
        assert_eq!(kept.take(&first), None);
        assert_eq!(keeper.waiting(), 0);
    }

    #[test]
    fn beyond_the_tenants_limit_the_oldest_leaves() {
        let keeper = Keeper::new(10);
        let (kept, version) = (keeper.tenant(2), version());
        assert!(kept.put(&version, 1).is_empty());
        assert!(kept.put(&version, 2).is_empty());
        assert_eq!(kept.put(&version, 3), [1]);
        assert_eq!((kept.waiting(), keeper.waiting()), (2, 2));
        let none = keeper.tenant(0);
        assert_eq!(none.put(&version, 4), [4]);
    }

    #[test]
    fn all_tenants_together_have_the_places_of_the_host() {
        let keeper = Keeper::new(1);
        let (acme, globex, version) = (keeper.tenant(5), keeper.tenant(5), version());
        assert!(acme.put(&version, 1).is_empty());
        assert_eq!(globex.put(&version, 2), [2]);
        drop(acme);
        assert!(globex.put(&version, 2).is_empty());
    }

    #[test]
    fn who_is_given_up_has_a_place_until_it_is_gone() {
        let keeper = Keeper::new(2);
        let (kept, version) = (keeper.tenant(1), version());
        assert!(kept.put(&version, 1).is_empty());
        let given_up = kept.keep(version, 2, Instant::now());
        assert_eq!(keeper.waiting(), 2);
        drop(given_up);
        assert_eq!(keeper.waiting(), 1);
    }

    #[test]
    fn who_waits_too_long_is_given_up() {
        let keeper = Keeper::new(10);
        let (kept, version) = (keeper.tenant(10), version());
        let start = Instant::now();
        for (instance, since) in [(1, start), (2, start + IDLE)] {
            drop(kept.keep(version.clone(), instance, since));
        }
        keeper.give_up(start + IDLE);
        assert_eq!(keeper.waiting(), 2);
        keeper.give_up(start + IDLE + Duration::from_millis(1));
        assert_eq!((keeper.waiting(), kept.take(&version)), (1, Some(2)));
    }
}
