//! Stories of activations and of the way back.

use super::{name, plugin, tenant, version_of};
use crate::domain::clock::Timestamp;
use crate::domain::id::{PluginName, VersionDigest};
use crate::storage::{DbError, Page, Repository};

pub async fn an_activation_switches_records_and_audits(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let (orders, first) = plugin(repository, acme, "orders").await;
    let second = version_of("orders", "2.0.0", 3_000);
    repository.add_version(acme, &orders, &second).await.unwrap();

    for (version, at) in [(&first, 10), (&second, 20)] {
        repository
            .activate(acme, &orders, version.digest, "token-1", Timestamp(at))
            .await
            .unwrap();
    }
    let found = repository.plugin(acme, &orders).await.unwrap().unwrap();
    assert_eq!(found.active, Some(second.digest));

    let activations = repository
        .activations(acme, &orders, Page::first(9))
        .await
        .unwrap();
    let told: Vec<_> = activations
        .iter()
        .map(|a| (a.sequence, a.digest, a.previous, a.at))
        .collect();
    assert_eq!(
        told,
        [
            (2, second.digest, Some(first.digest), Timestamp(20)),
            (1, first.digest, None, Timestamp(10)),
        ]
    );
    let older = repository
        .activations(acme, &orders, Page::after(2, 9))
        .await
        .unwrap();
    assert_eq!(older, activations[1..]);
    let audit = repository
        .audit(Some(acme), &Default::default(), Page::first(9))
        .await
        .unwrap();
    assert_eq!(audit[0].action, "plugin.activate");
    assert_eq!(audit[0].subject, format!("orders {}", second.digest));
    let after = audit[0].change.after.as_ref().unwrap();
    assert_eq!(after["active"], second.digest.to_string());

    // What is not there is not activated, and the attempt leaves no trace.
    let unknown = VersionDigest::of(b"unknown");
    let error = repository
        .activate(acme, &orders, unknown, "token-1", Timestamp(30))
        .await
        .unwrap_err();
    assert!(matches!(error, DbError::Missing("version")), "{error:?}");
    let nowhere: PluginName = name("nowhere");
    let error = repository
        .activate(acme, &nowhere, first.digest, "token-1", Timestamp(30))
        .await
        .unwrap_err();
    assert!(matches!(error, DbError::Missing("plugin")), "{error:?}");
    let after = repository
        .activations(acme, &orders, Page::first(9))
        .await
        .unwrap();
    assert_eq!(after, activations);
    assert_eq!(
        repository
            .audit(Some(acme), &Default::default(), Page::first(9))
            .await
            .unwrap()
            .len(),
        2
    );
}

pub async fn going_back_finds_the_version_before(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let (orders, first) = plugin(repository, acme, "orders").await;
    let second = version_of("orders", "2.0.0", 3_000);
    repository.add_version(acme, &orders, &second).await.unwrap();
    let before = async || repository.previous_version(acme, &orders).await.unwrap();

    assert_eq!(before().await, None);
    let activate = async |digest| {
        repository
            .activate(acme, &orders, digest, "host", Timestamp(1))
            .await
            .unwrap()
    };
    activate(first.digest).await;
    assert_eq!(before().await, None);
    activate(second.digest).await;
    activate(second.digest).await;
    assert_eq!(before().await, Some(first.digest));
    activate(first.digest).await;
    assert_eq!(before().await, Some(second.digest));
    repository
        .delete_version(acme, &orders, second.digest)
        .await
        .unwrap();
    assert_eq!(before().await, None);
}
