//! One bounded cache for each tenant, in memory.
//!
//! A cache of its own gives every tenant its own bytes: no other tenant's writes can push its entries out.

use std::time::Duration;

use moka::ops::compute::{CompResult, Op};
use moka::sync::Cache;

use crate::capability::HostCallRefused;
use crate::domain::clock::{SharedClock, Timestamp};
use crate::domain::id::{PluginName, TenantId};
use crate::domain::limits::Limits;

/// A tenant's cache that nobody used for this long gives its memory back.
const IDLE: Duration = Duration::from_secs(60 * 60);

/// Memory that an entry takes besides its key and its value; measured in the order of magnitude, so that a plugin
/// cannot exhaust memory with entries that are empty.
const ENTRY_OVERHEAD: usize = 128;

/// The caches of all tenants.
pub struct Caches {
    tenants: Cache<TenantId, TenantCache>,
    clock: SharedClock,
}

/// The key of an entry. The plugin is a field of its own, so that no key of one plugin can be made to look like
/// another's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// Whose entry it is.
    pub plugin: PluginName,
    /// The guest's own key.
    pub key: String,
}

/// A value as it was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

/// Why a value was not stored.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CacheError {
    /// Larger than one entry may be.
    #[error("the value is larger than the {0} that one cache entry may have")]
    TooLarge(crate::domain::units::ByteSize),
    /// An increment of something that is no number, or beyond 64 bits.
    #[error("the entry is not a number that can be incremented")]
    NotANumber,
    /// The host call is not made.
    #[error(transparent)]
    Refused(#[from] HostCallRefused),
}

#[derive(Clone)]
struct TenantCache {
    /// Bytes of all entries.
    size: u64,
    entries: Cache<Key, Entry>,
}

#[derive(Clone)]
struct Entry {
    value: Value,
    expires_at: Option<Timestamp>,
}

impl Caches {
    /// Empty caches. Entries expire by `clock`.
    pub fn new(clock: SharedClock) -> Self {
        Self {
            tenants: Cache::builder().time_to_idle(IDLE).build(),
            clock,
        }
    }

    /// The value under `key`, unless it has expired.
    pub fn get(&self, tenant: TenantId, limits: &Limits, key: &Key) -> Option<Value> {
        self.live(self.tenant(tenant, limits).get(key))
            .map(|entry| entry.value)
    }

    /// Stores a value.
    pub fn set(
        &self,
        tenant: TenantId,
        limits: &Limits,
        key: Key,
        value: Value,
        ttl: Option<Duration>,
    ) -> Result<(), CacheError> {
        let entry = self.entry(limits, &key, value, ttl)?;
        self.tenant(tenant, limits).insert(key, entry);
        Ok(())
    }

    /// Stores a value where there is none; true where it did.
    pub fn set_if_absent(
        &self,
        tenant: TenantId,
        limits: &Limits,
        key: Key,
        value: Value,
        ttl: Option<Duration>,
    ) -> Result<bool, CacheError> {
        let entry = self.entry(limits, &key, value, ttl)?;
        let result = self
            .tenant(tenant, limits)
            .entry(key)
            .and_compute_with(|current| match self.live(current.map(moka::Entry::into_value)) {
                Some(_) => Op::Nop,
                None => Op::Put(entry),
            });
        Ok(matches!(
            result,
            CompResult::Inserted(_) | CompResult::ReplacedWith(_)
        ))
    }

    /// Adds `delta` to the number under `key` and gives the sum.
    pub fn increment(
        &self,
        tenant: TenantId,
        limits: &Limits,
        key: Key,
        delta: i64,
        ttl: Option<Duration>,
    ) -> Result<i64, CacheError> {
        let result = self
            .tenant(tenant, limits)
            .entry(key.clone())
            .and_try_compute_with(|current| {
                let current = self.live(current.map(moka::Entry::into_value));
                let number = current.as_ref().map_or(Some(0), |entry| entry.value.as_number());
                let sum = number
                    .and_then(|number| number.checked_add(delta))
                    .ok_or(CacheError::NotANumber)?;
                let mut entry = self.entry(limits, &key, Value::Text(sum.to_string()), ttl)?;
                if let Some(current) = current {
                    entry.expires_at = current.expires_at;
                }
                Ok::<_, CacheError>(Op::Put(entry))
            })?;
        match result {
            CompResult::Inserted(entry) | CompResult::ReplacedWith(entry) => {
                entry.into_value().value.as_number().ok_or(CacheError::NotANumber)
            }
            CompResult::Removed(_) | CompResult::StillNone(_) | CompResult::Unchanged(_) => {
                Err(CacheError::NotANumber)
            }
        }
    }

    /// Forgets a value.
    pub fn delete(&self, tenant: TenantId, limits: &Limits, key: &Key) {
        self.tenant(tenant, limits).invalidate(key);
    }

    /// Bytes of a tenant's entries, with what each takes besides.
    pub fn bytes(&self, tenant: TenantId, limits: &Limits) -> u64 {
        self.tenant(tenant, limits).weighted_size()
    }

    /// Lets go of what has to make room, now and not some time later.
    pub fn settle(&self, tenant: TenantId, limits: &Limits) {
        self.tenant(tenant, limits).run_pending_tasks();
    }

    /// Forgets everything of a tenant.
    pub fn forget_tenant(&self, tenant: TenantId) {
        self.tenants.invalidate(&tenant);
    }

    /// The tenant's cache. Where its plan gave it another size meanwhile, it starts anew.
    fn tenant(&self, tenant: TenantId, limits: &Limits) -> Cache<Key, Entry> {
        let size = limits.cache_size.0;
        let found = self.tenants.get_with(tenant, || TenantCache::new(size));
        if found.size == size {
            return found.entries;
        }
        let entry = self.tenants.entry(tenant);
        entry
            .or_insert_with_if(|| TenantCache::new(size), |known| known.size != size)
            .into_value()
            .entries
    }

    fn live(&self, entry: Option<Entry>) -> Option<Entry> {
        entry.filter(|entry| entry.expires_at.is_none_or(|end| self.clock.now() < end))
    }

    fn entry(
        &self,
        limits: &Limits,
        key: &Key,
        value: Value,
        ttl: Option<Duration>,
    ) -> Result<Entry, CacheError> {
        if weight(key, &value) > limits.cache_value.as_usize() + ENTRY_OVERHEAD {
            return Err(CacheError::TooLarge(limits.cache_value));
        }
        Ok(Entry {
            value,
            expires_at: ttl.map(|ttl| self.clock.now().saturating_add(ttl)),
        })
    }
}

impl TenantCache {
    fn new(size: u64) -> Self {
        let weigher = |key: &Key, entry: &Entry| u32::try_from(weight(key, &entry.value)).unwrap_or(u32::MAX);
        Self {
            size,
            entries: Cache::builder().max_capacity(size).weigher(weigher).build(),
        }
    }
}

impl Value {
    /// Bytes of its content.
    pub(super) fn len(&self) -> usize {
        match self {
            Value::Text(text) => text.len(),
            Value::Bytes(bytes) => bytes.len(),
        }
    }

    fn as_number(&self) -> Option<i64> {
        match self {
            Value::Text(text) => text.parse().ok(),
            Value::Bytes(_) => None,
        }
    }
}

fn weight(key: &Key, value: &Value) -> usize {
    key.key.len() + value.len() + ENTRY_OVERHEAD
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::clock::ManualClock;
    use crate::domain::units::ByteSize;

    struct Fixture {
        caches: Caches,
        clock: Arc<ManualClock>,
        tenant: TenantId,
        limits: Limits,
    }

    fn fixture() -> Fixture {
        let clock = Arc::new(ManualClock::new(Timestamp(0)));
        Fixture {
            caches: Caches::new(clock.clone()),
            clock,
            tenant: TenantId::generate(),
            limits: Limits::default(),
        }
    }

    fn key(plugin: &str, key: &str) -> Key {
        Key {
            plugin: plugin.parse().unwrap(),
            key: key.to_owned(),
        }
    }

    fn text(value: &str) -> Value {
        Value::Text(value.to_owned())
    }

    #[test]
    fn tenants_and_plugins_do_not_see_each_other() {
        let Fixture {
            caches,
            tenant,
            limits,
            ..
        } = fixture();
        caches
            .set(tenant, &limits, key("a", "b:c"), text("mine"), None)
            .unwrap();
        assert_eq!(caches.get(tenant, &limits, &key("a", "b:c")), Some(text("mine")));
        assert_eq!(caches.get(tenant, &limits, &key("b", "b:c")), None);
        assert_eq!(caches.get(TenantId::generate(), &limits, &key("a", "b:c")), None);
    }

    #[test]
    fn an_entry_expires_by_the_clock() {
        let Fixture {
            caches,
            clock,
            tenant,
            limits,
        } = fixture();
        let ttl = Some(Duration::from_secs(10));
        caches
            .set(tenant, &limits, key("a", "k"), text("v"), ttl)
            .unwrap();
        clock.advance(Duration::from_secs(9));
        assert!(caches.get(tenant, &limits, &key("a", "k")).is_some());
        assert!(
            !caches
                .set_if_absent(tenant, &limits, key("a", "k"), text("w"), None)
                .unwrap()
        );
        clock.advance(Duration::from_secs(1));
        assert!(caches.get(tenant, &limits, &key("a", "k")).is_none());
        assert!(
            caches
                .set_if_absent(tenant, &limits, key("a", "k"), text("w"), None)
                .unwrap()
        );
    }

    #[test]
    fn increments_add_up_and_keep_their_first_expiry() {
        let Fixture {
            caches,
            clock,
            tenant,
            limits,
        } = fixture();
        let add = |delta| {
            caches.increment(
                tenant,
                &limits,
                key("a", "n"),
                delta,
                Some(Duration::from_secs(10)),
            )
        };
        assert_eq!(add(2), Ok(2));
        clock.advance(Duration::from_secs(6));
        assert_eq!(add(40), Ok(42));
        clock.advance(Duration::from_secs(6));
        assert_eq!(add(1), Ok(1));
        assert_eq!(add(i64::MAX), Err(CacheError::NotANumber));
        caches
            .set(tenant, &limits, key("a", "n"), text("x"), None)
            .unwrap();
        assert_eq!(add(1), Err(CacheError::NotANumber));
    }

    #[test]
    fn a_value_at_the_limit_is_stored_and_one_byte_more_is_not() {
        let Fixture {
            caches,
            tenant,
            mut limits,
            ..
        } = fixture();
        limits.cache_value = ByteSize(11);
        assert!(
            caches
                .set(tenant, &limits, key("a", "k"), text("0123456789"), None)
                .is_ok()
        );
        let refused = caches.set(tenant, &limits, key("a", "k"), text("0123456789x"), None);
        assert_eq!(refused, Err(CacheError::TooLarge(ByteSize(11))));
    }

    #[test]
    fn a_tenant_holds_no_more_bytes_than_its_plan() {
        let Fixture {
            caches,
            tenant,
            mut limits,
            ..
        } = fixture();
        limits.cache_size = ByteSize::kib(64);
        for index in 0..1_000 {
            caches
                .set(
                    tenant,
                    &limits,
                    key("a", &index.to_string()),
                    text(&"x".repeat(1_000)),
                    None,
                )
                .unwrap();
        }
        let cache = caches.tenant(tenant, &limits);
        cache.run_pending_tasks();
        assert!(
            cache.weighted_size() <= ByteSize::kib(64).0,
            "{}",
            cache.weighted_size()
        );
        assert!(cache.entry_count() > 10);
    }

    #[test]
    fn one_tenants_flood_costs_another_no_hit() {
        let Fixture {
            caches,
            tenant,
            mut limits,
            ..
        } = fixture();
        limits.cache_size = ByteSize::mib(2);
        let kept = |index: usize| key("a", &index.to_string());
        for index in 0..1_000 {
            caches
                .set(tenant, &limits, kept(index), text(&"x".repeat(1_000)), None)
                .unwrap();
        }
        let hits = || {
            let found = (0..1_000).filter(|index| caches.get(tenant, &limits, &kept(*index)).is_some());
            found.count()
        };
        assert_eq!(hits(), 1_000);
        caches.settle(tenant, &limits);
        let before = caches.bytes(tenant, &limits);

        // Ten times the size of the cache in large entries, and then more keys than it has room for.
        let flood = TenantId::generate();
        for index in 0..20 {
            let large = Value::Bytes(vec![0; 1_000_000]);
            caches.set(flood, &limits, kept(index), large, None).unwrap();
        }
        for index in 0..20_000 {
            caches.set(flood, &limits, kept(index), text(""), None).unwrap();
            caches.get(flood, &limits, &kept(index + 1));
        }
        caches.settle(flood, &limits);
        assert!(caches.bytes(flood, &limits) <= limits.cache_size.0);
        assert_eq!(hits(), 1_000);
        assert_eq!(caches.bytes(tenant, &limits), before);
    }

    #[test]
    fn of_many_at_once_one_sets_what_is_absent() {
        let Fixture {
            caches,
            tenant,
            limits,
            ..
        } = fixture();
        let (caches, limits) = (&caches, &limits);
        let set = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(move || {
                        let once = |_: &usize| {
                            let set = caches.set_if_absent(tenant, limits, key("a", "k"), text("v"), None);
                            set.unwrap()
                        };
                        (0..500).filter(once).count()
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .sum::<usize>()
        });
        assert_eq!(set, 1);
    }

    #[test]
    fn a_plan_with_another_size_takes_effect_at_once() {
        let Fixture {
            caches,
            tenant,
            mut limits,
            ..
        } = fixture();
        caches.tenant(tenant, &limits);
        limits.cache_size = ByteSize::kib(64);
        assert_eq!(
            caches.tenant(tenant, &limits).policy().max_capacity(),
            Some(64 * 1024)
        );
    }
}
