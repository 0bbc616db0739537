//! Tests of the memory back end without host calls.

use std::sync::Arc;

use futures_util::future::Either;

use super::*;
use crate::domain::clock::ManualClock;
use crate::domain::units::ByteSize;

/// One tenant's plugin and its cache.
struct Fixture {
    caches: MemoryCaches,
    clock: Arc<ManualClock>,
    caller: Caller,
}

#[derive(Clone)]
struct Caller {
    tenant: TenantId,
    plugin: PluginName,
    limits: Limits,
    snapshot: u64,
}

fn fixture() -> Fixture {
    let clock = Arc::new(ManualClock::new(Timestamp(0)));
    Fixture {
        caches: MemoryCaches::new(clock.clone()),
        clock,
        caller: Caller {
            tenant: TenantId::generate(),
            plugin: "a".parse().unwrap(),
            limits: Limits::default(),
            snapshot: 1,
        },
    }
}

impl Caller {
    fn scope(&self) -> Scope<'_> {
        Scope {
            tenant: self.tenant,
            plugin: &self.plugin,
            limits: &self.limits,
            snapshot: self.snapshot,
        }
    }

    fn get(&self, caches: &MemoryCaches, key: &str) -> Option<Value> {
        now(caches.get(self.scope(), key.to_owned())).unwrap()
    }

    fn set(&self, caches: &MemoryCaches, key: &str, value: Value) -> Result<(), CacheError> {
        now(caches.set(self.scope(), key.to_owned(), value, None))
    }

    fn set_if_absent(&self, caches: &MemoryCaches, key: &str, value: &str) -> bool {
        now(caches.set_if_absent(self.scope(), key.to_owned(), text(value), None)).unwrap()
    }
}

/// Unwraps a result of the memory back end, which is always ready.
fn now<T>(answer: Answer<'_, T>) -> Result<T, CacheError> {
    match answer {
        Either::Left(at_hand) => at_hand.into_inner(),
        Either::Right(_) => panic!("memory has to be waited for"),
    }
}

fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

#[test]
fn tenants_and_plugins_do_not_see_each_other() {
    let Fixture { caches, caller, .. } = fixture();
    caller.set(&caches, "b:c", text("mine")).unwrap();
    assert_eq!(caller.get(&caches, "b:c"), Some(text("mine")));
    let other_plugin = Caller {
        plugin: "b".parse().unwrap(),
        ..caller.clone()
    };
    assert_eq!(other_plugin.get(&caches, "b:c"), None);
    let other_tenant = Caller {
        tenant: TenantId::generate(),
        ..caller
    };
    assert_eq!(other_tenant.get(&caches, "b:c"), None);
}

#[test]
fn an_entry_expires_by_the_clock() {
    let Fixture {
        caches,
        clock,
        caller,
    } = fixture();
    let ttl = Some(Duration::from_secs(10));
    now(caches.set(caller.scope(), "k".to_owned(), text("v"), ttl)).unwrap();
    clock.advance(Duration::from_secs(9));
    assert!(caller.get(&caches, "k").is_some());
    assert!(!caller.set_if_absent(&caches, "k", "w"));
    clock.advance(Duration::from_secs(1));
    assert!(caller.get(&caches, "k").is_none());
    assert!(caller.set_if_absent(&caches, "k", "w"));
}

#[test]
fn increments_add_up_and_keep_their_first_expiry() {
    let Fixture {
        caches,
        clock,
        caller,
    } = fixture();
    let ttl = Some(Duration::from_secs(10));
    let add = |delta| now(caches.increment(caller.scope(), "n".to_owned(), delta, ttl));
    assert_eq!(add(2), Ok(2));
    clock.advance(Duration::from_secs(6));
    assert_eq!(add(40), Ok(42));
    clock.advance(Duration::from_secs(6));
    assert_eq!(add(1), Ok(1));
    assert_eq!(add(i64::MAX), Err(CacheError::NotANumber));
    caller.set(&caches, "n", text("x")).unwrap();
    assert_eq!(add(1), Err(CacheError::NotANumber));
}

#[test]
fn a_value_at_the_limit_is_stored_and_one_byte_more_is_not() {
    let Fixture {
        caches, mut caller, ..
    } = fixture();
    caller.limits.cache_value = ByteSize(11);
    assert!(caller.set(&caches, "k", text("0123456789")).is_ok());
    let refused = caller.set(&caches, "k", text("0123456789x"));
    assert_eq!(refused, Err(CacheError::TooLarge(ByteSize(11))));
}

#[test]
fn a_tenant_holds_no_more_bytes_than_its_plan() {
    let Fixture {
        caches, mut caller, ..
    } = fixture();
    caller.limits.cache_size = ByteSize::kib(64);
    for index in 0..1_000 {
        let value = text(&"x".repeat(1_000));
        caller.set(&caches, &index.to_string(), value).unwrap();
        assert!(caches.bytes(caller.scope()) <= ByteSize::kib(64).0);
    }
    assert!(caches.entries(caller.scope()).entry_count() > 10);
}

#[test]
fn one_tenants_flood_costs_another_no_hit() {
    let Fixture {
        caches, mut caller, ..
    } = fixture();
    caller.limits.cache_size = ByteSize::mib(2);
    for index in 0..1_000 {
        let value = text(&"x".repeat(1_000));
        caller.set(&caches, &index.to_string(), value).unwrap();
    }
    let hits = || {
        let found = (0..1_000).filter(|index| caller.get(&caches, &index.to_string()).is_some());
        found.count()
    };
    assert_eq!(hits(), 1_000);
    let before = caches.bytes(caller.scope());

    // First ten times the capacity in large entries, then more keys than fit.
    let flood = Caller {
        tenant: TenantId::generate(),
        ..caller.clone()
    };
    for index in 0..20 {
        let large = Value::Bytes(vec![0; 1_000_000]);
        flood.set(&caches, &index.to_string(), large).unwrap();
    }
    for index in 0..20_000 {
        flood.set(&caches, &index.to_string(), text("")).unwrap();
        flood.get(&caches, &(index + 1).to_string());
    }
    assert!(caches.bytes(flood.scope()) <= flood.limits.cache_size.0);
    assert_eq!(hits(), 1_000);
    assert_eq!(caches.bytes(caller.scope()), before);
}

#[test]
fn of_many_at_once_one_sets_what_is_absent() {
    let Fixture { caches, caller, .. } = fixture();
    let (caches, caller) = (&caches, &caller);
    let set = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let once = |_: &usize| caller.set_if_absent(caches, "k", "v");
                scope.spawn(move || (0..500).filter(once).count())
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
fn a_plan_with_another_size_takes_effect_at_once_and_older_invocations_do_not_empty_the_cache() {
    let Fixture { caches, caller, .. } = fixture();
    caller.set(&caches, "k", text("old")).unwrap();
    let mut newer = Caller {
        snapshot: 2,
        ..caller.clone()
    };
    newer.limits.cache_size = ByteSize::kib(64);
    let capacity = |caller: &Caller| caches.entries(caller.scope()).policy().max_capacity();
    assert_eq!(newer.get(&caches, "k"), None);
    assert_eq!(capacity(&newer), Some(64 * 1024));
    newer.set(&caches, "k", text("new")).unwrap();
    for _ in 0..3 {
        assert_eq!(caller.get(&caches, "k"), Some(text("new")));
        assert_eq!(newer.get(&caches, "k"), Some(text("new")));
    }
    assert_eq!(capacity(&caller), Some(64 * 1024));
}
