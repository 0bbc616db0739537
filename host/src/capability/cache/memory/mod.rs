//! An in-memory cache back end with one bounded cache for each tenant.
//!
//! Each tenant has its own capacity, so another tenant's writes cannot evict its entries.

use std::time::Duration;

use moka::ops::compute::{CompResult, Op};
use moka::sync::Cache;

use super::backend::{Answer, CacheBackend, CacheError, Scope, Value, at_hand};
use crate::domain::clock::{SharedClock, Timestamp};
use crate::domain::id::{PluginName, TenantId};
use crate::domain::limits::Limits;

/// A tenant's cache is dropped after this time without a call.
const IDLE: Duration = Duration::from_secs(60 * 60);

/// Approximate memory of an entry besides its key and its value. It is counted so that a plugin
/// cannot exhaust memory with empty entries.
const ENTRY_OVERHEAD: usize = 128;

/// The caches of all tenants.
pub struct MemoryCaches {
    tenants: Cache<TenantId, TenantCache>,
    clock: SharedClock,
}

/// The key of an entry. The plugin is a separate field, so no key of one plugin can be forged to
/// equal a key of another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    /// The plugin that owns the entry.
    plugin: PluginName,
    /// The guest's own key.
    key: String,
}

#[derive(Clone)]
struct TenantCache {
    /// The capacity in bytes.
    size: u64,
    /// The tenant's snapshot that set this capacity.
    snapshot: u64,
    entries: Cache<Key, Entry>,
}

#[derive(Clone)]
struct Entry {
    value: Value,
    expires_at: Option<Timestamp>,
}

impl MemoryCaches {
    /// Creates empty caches. Entries expire by `clock`.
    pub fn new(clock: SharedClock) -> Self {
        Self {
            tenants: Cache::builder().time_to_idle(IDLE).build(),
            clock,
        }
    }

    fn increment_now(
        &self,
        scope: Scope<'_>,
        key: String,
        delta: i64,
        ttl: Option<Duration>,
    ) -> Result<i64, CacheError> {
        let (cache, key) = (self.entries(scope), Key::new(scope, key));
        let result = cache.entry(key.clone()).and_try_compute_with(|current| {
            let current = self.live(current.map(moka::Entry::into_value));
            let number = current.as_ref().map_or(Some(0), |entry| as_number(&entry.value));
            let sum = number
                .and_then(|number| number.checked_add(delta))
                .ok_or(CacheError::NotANumber)?;
            let mut entry = self.entry(scope.limits, &key, Value::Text(sum.to_string()), ttl)?;
            if let Some(current) = current {
                entry.expires_at = current.expires_at;
            }
            Ok::<_, CacheError>(Op::Put(entry))
        })?;
        cache.run_pending_tasks();
        match result {
            CompResult::Inserted(entry) | CompResult::ReplacedWith(entry) => {
                as_number(&entry.into_value().value).ok_or(CacheError::NotANumber)
            }
            CompResult::Removed(_) | CompResult::StillNone(_) | CompResult::Unchanged(_) => {
                Err(CacheError::NotANumber)
            }
        }
    }

    /// Returns the tenant's cache. If the plan has changed its size, a new empty cache replaces it.
    /// Invocations that still run with older limits use the new cache.
    fn entries(&self, scope: Scope<'_>) -> Cache<Key, Entry> {
        let make = || TenantCache::new(scope);
        let found = self.tenants.get_with(scope.tenant, make);
        if !found.is_outdated(scope) {
            return found.entries;
        }
        let entry = self.tenants.entry(scope.tenant);
        entry
            .or_insert_with_if(make, |known| known.is_outdated(scope))
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

/// Every write runs the pending evictions, so the cache never exceeds its capacity for long.
impl CacheBackend for MemoryCaches {
    fn get<'a>(&'a self, scope: Scope<'a>, key: String) -> Answer<'a, Option<Value>> {
        let found = self.live(self.entries(scope).get(&Key::new(scope, key)));
        at_hand(Ok(found.map(|entry| entry.value)))
    }

    fn set<'a>(
        &'a self,
        scope: Scope<'a>,
        key: String,
        value: Value,
        ttl: Option<Duration>,
    ) -> Answer<'a, ()> {
        let key = Key::new(scope, key);
        at_hand(self.entry(scope.limits, &key, value, ttl).map(|entry| {
            let entries = self.entries(scope);
            entries.insert(key, entry);
            entries.run_pending_tasks();
        }))
    }

    fn set_if_absent<'a>(
        &'a self,
        scope: Scope<'a>,
        key: String,
        value: Value,
        ttl: Option<Duration>,
    ) -> Answer<'a, bool> {
        let key = Key::new(scope, key);
        at_hand(self.entry(scope.limits, &key, value, ttl).map(|entry| {
            let entries = self.entries(scope);
            let absent = |current: Option<moka::Entry<Key, Entry>>| match self
                .live(current.map(moka::Entry::into_value))
            {
                Some(_) => Op::Nop,
                None => Op::Put(entry),
            };
            let result = entries.entry(key).and_compute_with(absent);
            let is_set = matches!(result, CompResult::Inserted(_) | CompResult::ReplacedWith(_));
            if is_set {
                entries.run_pending_tasks();
            }
            is_set
        }))
    }

    fn increment<'a>(
        &'a self,
        scope: Scope<'a>,
        key: String,
        delta: i64,
        ttl: Option<Duration>,
    ) -> Answer<'a, i64> {
        at_hand(self.increment_now(scope, key, delta, ttl))
    }

    fn delete<'a>(&'a self, scope: Scope<'a>, key: String) -> Answer<'a, ()> {
        self.entries(scope).invalidate(&Key::new(scope, key));
        at_hand(Ok(()))
    }

    fn bytes(&self, scope: Scope<'_>) -> u64 {
        self.entries(scope).weighted_size()
    }

    fn forget_tenant(&self, tenant: TenantId) {
        self.tenants.invalidate(&tenant);
    }
}

impl Key {
    fn new(scope: Scope<'_>, key: String) -> Self {
        Self {
            plugin: scope.plugin.clone(),
            key,
        }
    }
}

impl TenantCache {
    fn new(scope: Scope<'_>) -> Self {
        let size = scope.limits.cache_size.0;
        let weigher = |key: &Key, entry: &Entry| u32::try_from(weight(key, &entry.value)).unwrap_or(u32::MAX);
        Self {
            size,
            snapshot: scope.snapshot,
            entries: Cache::builder().max_capacity(size).weigher(weigher).build(),
        }
    }

    /// Whether a later snapshot sets another capacity.
    fn is_outdated(&self, scope: Scope<'_>) -> bool {
        self.size != scope.limits.cache_size.0 && self.snapshot < scope.snapshot
    }
}

fn as_number(value: &Value) -> Option<i64> {
    match value {
        Value::Text(text) => text.parse().ok(),
        Value::Bytes(_) => None,
    }
}

fn weight(key: &Key, value: &Value) -> usize {
    key.key.len() + value.len() + ENTRY_OVERHEAD
}

#[cfg(test)]
mod tests;
