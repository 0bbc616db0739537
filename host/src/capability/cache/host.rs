//! The host calls of the cache.

use std::time::Duration;

use wasmtime::component::{HasData, Linker};

use super::super::bindings::cache;
use super::super::bindings::types::Content;
use super::super::{HasCapabilities, Invocation};
use super::{CacheError, Caches, Key, Value};

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
    cache::add_to_linker::<T, Cache>(linker, |data| {
        let state = data.capabilities();
        CacheView {
            invocation: &mut state.invocation,
            caches: &state.services.caches,
        }
    })
}

impl CacheView<'_> {
    fn charge(&mut self) -> Result<(), cache::Error> {
        self.invocation
            .charge_host_call()
            .map_err(|error| cache::Error::Unavailable(error.to_string()))?;
        self.invocation.usage.cache_calls += 1;
        Ok(())
    }

    fn key(&self, key: String) -> Key {
        Key {
            plugin: self.invocation.active.plugin.clone(),
            key,
        }
    }

    fn get(&mut self, key: String) -> Result<Option<Content>, cache::Error> {
        self.charge()?;
        let active = &self.invocation.active;
        Ok(self
            .caches
            .get(active.tenant, &active.limits, &self.key(key))
            .map(Content::from))
    }

    fn set(&mut self, key: String, value: Content, ttl_ms: Option<u64>) -> Result<(), cache::Error> {
        self.charge()?;
        let active = &self.invocation.active;
        let key = self.key(key);
        Ok(self.caches.set(
            active.tenant,
            &active.limits,
            key,
            value.into(),
            ttl_ms.map(Duration::from_millis),
        )?)
    }

    fn set_if_absent(
        &mut self,
        key: String,
        value: Content,
        ttl_ms: Option<u64>,
    ) -> Result<bool, cache::Error> {
        self.charge()?;
        let active = &self.invocation.active;
        let (key, ttl) = (self.key(key), ttl_ms.map(Duration::from_millis));
        Ok(self
            .caches
            .set_if_absent(active.tenant, &active.limits, key, value.into(), ttl)?)
    }

    fn increment(&mut self, key: String, delta: i64, ttl_ms: Option<u64>) -> Result<i64, cache::Error> {
        self.charge()?;
        let active = &self.invocation.active;
        let (key, ttl) = (self.key(key), ttl_ms.map(Duration::from_millis));
        Ok(self
            .caches
            .increment(active.tenant, &active.limits, key, delta, ttl)?)
    }

    fn delete(&mut self, key: String) -> Result<(), cache::Error> {
        self.charge()?;
        let active = &self.invocation.active;
        self.caches.delete(active.tenant, &active.limits, &self.key(key));
        Ok(())
    }
}

impl cache::Host for CacheView<'_> {
    async fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<Content>, cache::Error>> {
        Ok(CacheView::get(self, key))
    }

    async fn set(
        &mut self,
        key: String,
        value: Content,
        ttl_ms: Option<u64>,
    ) -> wasmtime::Result<Result<(), cache::Error>> {
        Ok(CacheView::set(self, key, value, ttl_ms))
    }

    async fn set_if_absent(
        &mut self,
        key: String,
        value: Content,
        ttl_ms: Option<u64>,
    ) -> wasmtime::Result<Result<bool, cache::Error>> {
        Ok(CacheView::set_if_absent(self, key, value, ttl_ms))
    }

    async fn increment(
        &mut self,
        key: String,
        delta: i64,
        ttl_ms: Option<u64>,
    ) -> wasmtime::Result<Result<i64, cache::Error>> {
        Ok(CacheView::increment(self, key, delta, ttl_ms))
    }

    async fn delete(&mut self, key: String) -> wasmtime::Result<Result<(), cache::Error>> {
        Ok(CacheView::delete(self, key))
    }
}

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

impl From<CacheError> for cache::Error {
    fn from(error: CacheError) -> Self {
        match error {
            CacheError::TooLarge(_) => cache::Error::TooLarge,
            CacheError::NotANumber => cache::Error::Unavailable(error.to_string()),
        }
    }
}
