//! Conformance tests of component stores. An implementation runs them with
//! `conformance::tests!(open)`.

use std::sync::Arc;
use std::time::Duration;

use super::{ComponentStore, StoreError, VerifiedComponent};
use crate::domain::clock::{Clock as _, ManualClock};
use crate::domain::id::VersionDigest;
use crate::storage::Page;

/// Overwrites the bytes that are stored under a digest.
pub type Damage = Box<dyn Fn(VersionDigest, &[u8])>;

/// An empty store.
pub struct Opened<S> {
    pub store: S,
    /// The clock of the store.
    pub clock: Arc<ManualClock>,
    /// Overwrites the bytes that are stored under a digest.
    pub damage: Damage,
    /// Keeps resources of the store alive.
    pub _guard: Box<dyn std::any::Any>,
}

macro_rules! tests {
    ($open:ident) => {
        $crate::components::store::conformance::tests!(@each $open:
            what_was_put_is_read_back,
            what_is_not_there_is_no_error,
            damage_is_noticed_and_repaired,
            the_age_begins_with_the_last_put,
            a_list_has_pages_in_the_order_of_the_digests,
            removal_can_be_repeated,
            equal_components_can_be_put_at_the_same_time,
        );
    };
    (@each $open:ident: $($test:ident,)+) => {$(
        #[tokio::test]
        async fn $test() {
            $crate::components::store::conformance::$test($open().await).await;
        }
    )+};
}
pub(crate) use tests;

fn component(content: &str) -> VerifiedComponent {
    VerifiedComponent::new(content.to_owned().into())
}

pub async fn what_was_put_is_read_back<S: ComponentStore>(opened: Opened<S>) {
    for content in ["", "content", &"large".repeat(100_000)] {
        let component = component(content);
        opened.store.put(&component).await.unwrap();
        let read = opened.store.get(component.digest()).await.unwrap();
        assert_eq!(read, Some(component));
    }
}

pub async fn what_is_not_there_is_no_error<S: ComponentStore>(opened: Opened<S>) {
    let digest = component("content").digest();
    assert_eq!(opened.store.get(digest).await.unwrap(), None);
    assert_eq!(opened.store.stat(digest).await.unwrap(), None);
    assert_eq!(opened.store.list(Page::first(9)).await.unwrap(), []);
}

pub async fn damage_is_noticed_and_repaired<S: ComponentStore>(opened: Opened<S>) {
    let component = component("content");
    for damage in [b"".as_slice(), b"cont", b"CONTENT", b"content and more"] {
        opened.store.put(&component).await.unwrap();
        (opened.damage)(component.digest(), damage);
        let error = opened.store.get(component.digest()).await.unwrap_err();
        assert!(
            matches!(error, StoreError::Damaged(digest) if digest == component.digest()),
            "{error}"
        );
        opened.store.put(&component).await.unwrap();
        let read = opened.store.get(component.digest()).await.unwrap();
        assert_eq!(read, Some(component.clone()));
    }
}

pub async fn the_age_begins_with_the_last_put<S: ComponentStore>(opened: Opened<S>) {
    let component = component("content");
    for _ in 0..2 {
        opened.store.put(&component).await.unwrap();
        let stored = opened.store.stat(component.digest()).await.unwrap().unwrap();
        assert_eq!((stored.digest, stored.size), (component.digest(), 7));
        assert_eq!(stored.stored_at, opened.clock.now());
        opened.clock.advance(Duration::from_secs(60));
        assert_eq!(
            opened.clock.now().since(stored.stored_at),
            Duration::from_secs(60)
        );
    }
}

pub async fn a_list_has_pages_in_the_order_of_the_digests<S: ComponentStore>(opened: Opened<S>) {
    let mut digests = Vec::new();
    for number in 0..5 {
        let component = component(&number.to_string());
        digests.push(component.digest());
        opened.store.put(&component).await.unwrap();
    }
    digests.sort_unstable();
    let mut listed = Vec::new();
    let mut page = Page::first(2);
    loop {
        let found = opened.store.list(page).await.unwrap();
        assert!(found.len() <= 2, "{found:?}");
        let Some(last) = found.last() else { break };
        page = Page::after(last.digest, 2);
        for object in found {
            assert_eq!(opened.store.stat(object.digest).await.unwrap(), Some(object));
            listed.push(object.digest);
        }
    }
    assert_eq!(listed, digests);
}

pub async fn removal_can_be_repeated<S: ComponentStore>(opened: Opened<S>) {
    let [kept, removed] = ["kept", "removed"].map(component);
    for component in [&kept, &removed] {
        opened.store.put(component).await.unwrap();
    }
    for _ in 0..2 {
        opened.store.remove(removed.digest()).await.unwrap();
        assert_eq!(opened.store.get(removed.digest()).await.unwrap(), None);
    }
    assert_eq!(opened.store.get(kept.digest()).await.unwrap(), Some(kept));
    opened.store.put(&removed).await.unwrap();
    assert!(opened.store.stat(removed.digest()).await.unwrap().is_some());
}

pub async fn equal_components_can_be_put_at_the_same_time<S: ComponentStore>(opened: Opened<S>) {
    let component = component(&"content".repeat(10_000));
    let puts = (0..8).map(|_| opened.store.put(&component));
    for put in futures_util::future::join_all(puts).await {
        put.unwrap();
    }
    let read = opened.store.get(component.digest()).await.unwrap();
    assert_eq!(read, Some(component));
    assert_eq!(opened.store.list(Page::first(9)).await.unwrap().len(), 1);
}
