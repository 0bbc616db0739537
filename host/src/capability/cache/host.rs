//! The host calls of the cache.

use std::time::Duration;

use wasmtime::component::{HasData, Linker};

use super::super::bindings::types::Content;
use super::super::bindings::{v0_1, v0_2};
use super::super::{HasCapabilities, HostCallRefused, Invocation};
use super::{CacheError, Caches, Key, Value};
use crate::domain::units::as_u64;

/// What the cache sees of its invocation.
pub struct CacheView<'a> {
    /// The invocation.
    pub invocation: &'a mut Invocation,
    /// The caches of all tenants.
    pub caches: &'a Caches,
}

struct Cache;

impl HasData for Cache {
    type Data<'a> = CacheView<'a>;
}

/// Links the interface.
pub fn add_to_linker<T: HasCapabilities>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    v0_1::cache::add_to_linker::<T, Cache>(linker, view)?;
    v0_2::cache::add_to_linker::<T, Cache>(linker, view)
}

fn view<T: HasCapabilities>(data: &mut T) -> CacheView<'_> {
    let state = data.capabilities();
    CacheView {
        invocation: &mut state.invocation,
        caches: &state.services.caches,
    }
}

impl CacheView<'_> {
    /// Every call goes through here before it does anything.
    fn charge(&mut self, key: &str, value: Option<&Value>) -> Result<(), CacheError> {
        let bytes = key.len() + value.map_or(0, Value::len);
        self.invocation.charge_host_call(bytes)?;
        self.invocation.usage.cache_calls += 1;
        Ok(())
    }

    /// What every call does once it has done its work. `stored` is what it wrote, in bytes.
    fn note(&mut self, stored: usize) {
        let active = &self.invocation.active;
        if stored > 0 {
            self.caches.settle(active.tenant, &active.limits);
        }
        let bytes = self.caches.bytes(active.tenant, &active.limits);
        let usage = &mut self.invocation.usage;
        usage.cache_bytes = bytes;
        usage.cache_value_bytes = usage.cache_value_bytes.max(as_u64(stored));
    }

    fn key(&self, key: String) -> Key {
        Key {
            plugin: self.invocation.active.plugin.clone(),
            key,
        }
    }

    fn get(&mut self, key: String) -> Result<Option<Content>, CacheError> {
        self.charge(&key, None)?;
        let active = &self.invocation.active;
        let found = self.caches.get(active.tenant, &active.limits, &self.key(key));
        self.note(0);
        Ok(found.map(Content::from))
    }

    fn set(&mut self, key: String, value: Value, ttl_ms: Option<u64>) -> Result<(), CacheError> {
        self.charge(&key, Some(&value))?;
        let active = &self.invocation.active;
        let stored = key.len() + value.len();
        let (key, ttl) = (self.key(key), ttl_ms.map(Duration::from_millis));
        self.caches.set(active.tenant, &active.limits, key, value, ttl)?;
        self.note(stored);
        Ok(())
    }

    fn set_if_absent(&mut self, key: String, value: Value, ttl_ms: Option<u64>) -> Result<bool, CacheError> {
        self.charge(&key, Some(&value))?;
        let active = &self.invocation.active;
        let stored = key.len() + value.len();
        let (key, ttl) = (self.key(key), ttl_ms.map(Duration::from_millis));
        let is_set = self
            .caches
            .set_if_absent(active.tenant, &active.limits, key, value, ttl)?;
        self.note(if is_set { stored } else { 0 });
        Ok(is_set)
    }

    fn increment(&mut self, key: String, delta: i64, ttl_ms: Option<u64>) -> Result<i64, CacheError> {
        self.charge(&key, None)?;
        let active = &self.invocation.active;
        let stored = key.len();
        let (key, ttl) = (self.key(key), ttl_ms.map(Duration::from_millis));
        let sum = self
            .caches
            .increment(active.tenant, &active.limits, key, delta, ttl)?;
        self.note(stored + sum.to_string().len());
        Ok(sum)
    }

    fn delete(&mut self, key: String) -> Result<(), CacheError> {
        self.charge(&key, None)?;
        let active = &self.invocation.active;
        self.caches.delete(active.tenant, &active.limits, &self.key(key));
        self.note(0);
        Ok(())
    }
}

macro_rules! serve {
    ($contract:ident) => {
        impl $contract::cache::Host for CacheView<'_> {
            async fn get(
                &mut self,
                key: String,
            ) -> wasmtime::Result<Result<Option<Content>, $contract::cache::Error>> {
                self.invocation.last_calls.note("cache.get");
                Ok(CacheView::get(self, key).map_err(Into::into))
            }

            async fn set(
                &mut self,
                key: String,
                value: Content,
                ttl_ms: Option<u64>,
            ) -> wasmtime::Result<Result<(), $contract::cache::Error>> {
                self.invocation.last_calls.note("cache.set");
                Ok(CacheView::set(self, key, value.into(), ttl_ms).map_err(Into::into))
            }

            async fn set_if_absent(
                &mut self,
                key: String,
                value: Content,
                ttl_ms: Option<u64>,
            ) -> wasmtime::Result<Result<bool, $contract::cache::Error>> {
                self.invocation.last_calls.note("cache.set_if_absent");
                Ok(CacheView::set_if_absent(self, key, value.into(), ttl_ms).map_err(Into::into))
            }

            async fn increment(
                &mut self,
                key: String,
                delta: i64,
                ttl_ms: Option<u64>,
            ) -> wasmtime::Result<Result<i64, $contract::cache::Error>> {
                self.invocation.last_calls.note("cache.increment");
                Ok(CacheView::increment(self, key, delta, ttl_ms).map_err(Into::into))
            }

            async fn delete(&mut self, key: String) -> wasmtime::Result<Result<(), $contract::cache::Error>> {
                self.invocation.last_calls.note("cache.delete");
                Ok(CacheView::delete(self, key).map_err(Into::into))
            }
        }

        impl From<CacheError> for $contract::cache::Error {
            fn from(error: CacheError) -> Self {
                match error {
                    CacheError::TooLarge(_) | CacheError::Refused(HostCallRefused::TooLarge(..)) => {
                        Self::TooLarge
                    }
                    CacheError::NotANumber | CacheError::Refused(HostCallRefused::Spent(_)) => {
                        Self::Unavailable(error.to_string())
                    }
                }
            }
        }
    };
}

serve!(v0_1);
serve!(v0_2);

impl From<Value> for Content {
    fn from(value: Value) -> Self {
        match value {
            Value::Text(text) => Content::Text(text),
            Value::Bytes(bytes) => Content::Bytes(bytes),
        }
    }
}

impl From<Content> for Value {
    fn from(content: Content) -> Self {
        match content {
            Content::Text(text) => Value::Text(text),
            Content::Bytes(bytes) => Value::Bytes(bytes),
        }
    }
}
