//! The host calls of the cache.

use std::time::Duration;

use futures_util::future::Either;
use tokio::time::timeout;
use wasmtime::component::{HasData, Linker};

use super::super::bindings::types::Content;
use super::super::bindings::{v0_1, v0_2};
use super::super::{HasCapabilities, HostCallRefused, Invocation};
use super::{Answer, CacheBackend, CacheError, Scope, Value};
use crate::domain::units::as_u64;

/// The part of the invocation that the cache may use.
pub struct CacheView<'a> {
    /// The invocation.
    pub invocation: &'a mut Invocation,
    /// The caches of all tenants.
    pub caches: &'a dyn CacheBackend,
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
        caches: &*state.services.caches,
    }
}

impl CacheView<'_> {
    /// Counts a host call. Every call does this first.
    fn charge(&mut self, key: &str, value: Option<&Value>) -> Result<(), CacheError> {
        let bytes = key.len() + value.map_or(0, Value::len);
        self.invocation.charge_host_call(bytes)?;
        self.invocation.usage.cache_calls += 1;
        Ok(())
    }

    /// Records the size of the cache after a call. `stored` is the number of bytes that the call
    /// wrote.
    fn note(&mut self, stored: usize) {
        let bytes = self.caches.bytes(Scope::of(&self.invocation.active));
        let usage = &mut self.invocation.usage;
        usage.cache_bytes = bytes;
        usage.cache_value_bytes = usage.cache_value_bytes.max(as_u64(stored));
    }

    async fn get(&mut self, key: String) -> Result<Option<Content>, CacheError> {
        self.charge(&key, None)?;
        let scope = Scope::of(&self.invocation.active);
        let found = answered(self.invocation, self.caches.get(scope, key)).await?;
        self.note(0);
        Ok(found.map(Content::from))
    }

    async fn set(&mut self, key: String, value: Value, ttl_ms: Option<u64>) -> Result<(), CacheError> {
        self.charge(&key, Some(&value))?;
        let stored = key.len() + value.len();
        let (scope, ttl) = (
            Scope::of(&self.invocation.active),
            ttl_ms.map(Duration::from_millis),
        );
        answered(self.invocation, self.caches.set(scope, key, value, ttl)).await?;
        self.note(stored);
        Ok(())
    }

    async fn set_if_absent(
        &mut self,
        key: String,
        value: Value,
        ttl_ms: Option<u64>,
    ) -> Result<bool, CacheError> {
        self.charge(&key, Some(&value))?;
        let stored = key.len() + value.len();
        let (scope, ttl) = (
            Scope::of(&self.invocation.active),
            ttl_ms.map(Duration::from_millis),
        );
        let answer = self.caches.set_if_absent(scope, key, value, ttl);
        let is_set = answered(self.invocation, answer).await?;
        self.note(if is_set { stored } else { 0 });
        Ok(is_set)
    }

    async fn increment(&mut self, key: String, delta: i64, ttl_ms: Option<u64>) -> Result<i64, CacheError> {
        self.charge(&key, None)?;
        let stored = key.len();
        let (scope, ttl) = (
            Scope::of(&self.invocation.active),
            ttl_ms.map(Duration::from_millis),
        );
        let answer = self.caches.increment(scope, key, delta, ttl);
        let sum = answered(self.invocation, answer).await?;
        self.note(stored + sum.to_string().len());
        Ok(sum)
    }

    async fn delete(&mut self, key: String) -> Result<(), CacheError> {
        self.charge(&key, None)?;
        let scope = Scope::of(&self.invocation.active);
        answered(self.invocation, self.caches.delete(scope, key)).await?;
        self.note(0);
        Ok(())
    }
}

/// Waits for a result that is not ready, but leaves the plugin enough time to respond.
async fn answered<T>(invocation: &Invocation, answer: Answer<'_, T>) -> Result<T, CacheError> {
    match answer {
        Either::Left(at_hand) => at_hand.into_inner(),
        Either::Right(waited_for) => timeout(invocation.host_call_timeout(), waited_for)
            .await
            .unwrap_or_else(|_| {
                Err(CacheError::Unavailable(
                    "the cache did not answer in time".to_owned(),
                ))
            }),
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
                Ok(CacheView::get(self, key).await.map_err(Into::into))
            }

            async fn set(
                &mut self,
                key: String,
                value: Content,
                ttl_ms: Option<u64>,
            ) -> wasmtime::Result<Result<(), $contract::cache::Error>> {
                self.invocation.last_calls.note("cache.set");
                Ok(CacheView::set(self, key, value.into(), ttl_ms)
                    .await
                    .map_err(Into::into))
            }

            async fn set_if_absent(
                &mut self,
                key: String,
                value: Content,
                ttl_ms: Option<u64>,
            ) -> wasmtime::Result<Result<bool, $contract::cache::Error>> {
                self.invocation.last_calls.note("cache.set_if_absent");
                Ok(CacheView::set_if_absent(self, key, value.into(), ttl_ms)
                    .await
                    .map_err(Into::into))
            }

            async fn increment(
                &mut self,
                key: String,
                delta: i64,
                ttl_ms: Option<u64>,
            ) -> wasmtime::Result<Result<i64, $contract::cache::Error>> {
                self.invocation.last_calls.note("cache.increment");
                Ok(CacheView::increment(self, key, delta, ttl_ms)
                    .await
                    .map_err(Into::into))
            }

            async fn delete(&mut self, key: String) -> wasmtime::Result<Result<(), $contract::cache::Error>> {
                self.invocation.last_calls.note("cache.delete");
                Ok(CacheView::delete(self, key).await.map_err(Into::into))
            }
        }

        impl From<CacheError> for $contract::cache::Error {
            fn from(error: CacheError) -> Self {
                match error {
                    CacheError::TooLarge(_) | CacheError::Refused(HostCallRefused::TooLarge(..)) => {
                        Self::TooLarge
                    }
                    CacheError::NotANumber
                    | CacheError::Unavailable(_)
                    | CacheError::Refused(HostCallRefused::Spent(_)) => Self::Unavailable(error.to_string()),
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::super::super::testing;
    use super::super::MemoryCaches;
    use super::*;
    use crate::domain::clock::SystemClock;
    use crate::domain::grant::Grants;
    use crate::domain::id::TenantId;
    use crate::domain::limits::Limits;
    use crate::domain::units::Span;

    /// A back end whose results are never ready at once.
    struct Elsewhere {
        memory: MemoryCaches,
        is_stuck: bool,
        calls: AtomicU32,
    }

    impl Elsewhere {
        fn after_a_while<'a, T: Send + 'a>(&'a self, answer: Answer<'a, T>) -> Answer<'a, T> {
            self.calls.fetch_add(1, Ordering::Relaxed);
            Either::Right(Box::pin(async move {
                if self.is_stuck {
                    std::future::pending::<()>().await;
                }
                tokio::task::yield_now().await;
                answer.await
            }))
        }
    }

    impl CacheBackend for Elsewhere {
        fn get<'a>(&'a self, scope: Scope<'a>, key: String) -> Answer<'a, Option<Value>> {
            self.after_a_while(self.memory.get(scope, key))
        }

        fn set<'a>(
            &'a self,
            scope: Scope<'a>,
            key: String,
            value: Value,
            ttl: Option<Duration>,
        ) -> Answer<'a, ()> {
            self.after_a_while(self.memory.set(scope, key, value, ttl))
        }

        fn set_if_absent<'a>(
            &'a self,
            scope: Scope<'a>,
            key: String,
            value: Value,
            ttl: Option<Duration>,
        ) -> Answer<'a, bool> {
            self.after_a_while(self.memory.set_if_absent(scope, key, value, ttl))
        }

        fn increment<'a>(
            &'a self,
            scope: Scope<'a>,
            key: String,
            delta: i64,
            ttl: Option<Duration>,
        ) -> Answer<'a, i64> {
            self.after_a_while(self.memory.increment(scope, key, delta, ttl))
        }

        fn delete<'a>(&'a self, scope: Scope<'a>, key: String) -> Answer<'a, ()> {
            self.after_a_while(self.memory.delete(scope, key))
        }

        fn bytes(&self, scope: Scope<'_>) -> u64 {
            self.memory.bytes(scope)
        }

        fn forget_tenant(&self, tenant: TenantId) {
            self.memory.forget_tenant(tenant);
        }
    }

    fn elsewhere(is_stuck: bool) -> Elsewhere {
        Elsewhere {
            memory: MemoryCaches::new(Arc::new(SystemClock)),
            is_stuck,
            calls: AtomicU32::new(0),
        }
    }

    /// Makes every call. Returns whether the results equal those of the memory back end.
    async fn all_calls(caches: &dyn CacheBackend, invocation: &mut Invocation) -> Result<bool, CacheError> {
        let mut view = CacheView { invocation, caches };
        let value = || Value::Text("v".to_owned());
        view.set("k".to_owned(), value(), None).await?;
        let found = view.get("k".to_owned()).await?;
        let is_found = matches!(found, Some(Content::Text(text)) if text == "v");
        let was_absent = view.set_if_absent("k".to_owned(), value(), None).await?;
        let sum = view.increment("n".to_owned(), 2, None).await?;
        view.delete("k".to_owned()).await?;
        let is_gone = view.get("k".to_owned()).await?.is_none();
        Ok(is_found && !was_absent && sum == 2 && is_gone && view.invocation.usage.cache_calls == 6)
    }

    #[tokio::test]
    async fn an_answer_from_elsewhere_is_waited_for() {
        let mut invocation = testing::invocation(Limits::default(), Grants::default());
        let caches = elsewhere(false);
        assert!(all_calls(&caches, &mut invocation).await.unwrap());
        assert_eq!(caches.calls.load(Ordering::Relaxed), 6);
        let mut invocation = testing::invocation(Limits::default(), Grants::default());
        assert!(all_calls(&caches.memory, &mut invocation).await.unwrap());
    }

    #[tokio::test]
    async fn an_answer_that_does_not_come_leaves_the_plugin_time_to_respond() {
        let limits = Limits {
            wall: Span::ms(500),
            ..Limits::default()
        };
        let mut invocation = testing::invocation(limits, Grants::default());
        let caches = elsewhere(true);
        let answer = all_calls(&caches, &mut invocation).await;
        assert!(
            matches!(&answer, Err(CacheError::Unavailable(why)) if why.contains("in time")),
            "{answer:?}"
        );
        assert!(invocation.remaining() > Duration::ZERO);
    }
}
