//! Conformance tests of activations and rollbacks.

use super::{change, name, plugin, tenant, version_of};
use crate::domain::clock::Timestamp;
use crate::domain::id::{PluginName, VersionDigest};
use crate::domain::resource::Resource;
use crate::storage::{DbError, Page, Repository};

pub async fn an_activation_switches_records_and_audits(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let (orders, first) = plugin(repository, acme, "orders").await;
    let second = version_of("orders", "2.0.0", 3_000);
    repository
        .add_version(acme, &orders, &second, &change(2_000))
        .await
        .unwrap();

    for (version, at) in [(&first, 10), (&second, 20)] {
        repository
            .activate(acme, &orders, version.digest, None, &change(at))
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
    let difference = &audit[0].change.difference;
    let active = |value: &Option<serde_json::Value>| value.as_ref().unwrap()["active"].clone();
    assert_eq!(active(&difference.before), first.digest.to_string());
    assert_eq!(active(&difference.after), second.digest.to_string());

    // Activating a missing version fails and leaves no trace.
    let unknown = VersionDigest::of(b"unknown");
    let error = repository
        .activate(acme, &orders, unknown, None, &change(30))
        .await
        .unwrap_err();
    assert!(matches!(error, DbError::Missing(Resource::Version)), "{error:?}");
    let nowhere: PluginName = name("nowhere");
    let error = repository
        .activate(acme, &nowhere, first.digest, None, &change(30))
        .await
        .unwrap_err();
    assert!(matches!(error, DbError::Missing(Resource::Plugin)), "{error:?}");
    let after = repository
        .activations(acme, &orders, Page::first(9))
        .await
        .unwrap();
    assert_eq!(after, activations);
    let told = repository
        .audit(Some(acme), &Default::default(), Page::first(9))
        .await
        .unwrap();
    assert_eq!(told, audit);
}

pub async fn a_rollback_never_leads_to_what_was_rolled_back_from(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let (orders, first) = plugin(repository, acme, "orders").await;
    let second = version_of("orders", "2.0.0", 3_000);
    let third = version_of("orders", "3.0.0", 4_000);
    for version in [&second, &third] {
        repository
            .add_version(acme, &orders, version, &change(2_000))
            .await
            .unwrap();
    }
    let target = async || repository.rollback_target(acme, &orders).await.unwrap();
    let activate = async |digest, rolled_back_to| {
        repository
            .activate(acme, &orders, digest, rolled_back_to, &change(1))
            .await
            .unwrap()
    };
    let roll_back = async || {
        let target = target().await?;
        activate(target.digest, Some(target.sequence)).await;
        Some(target.digest)
    };

    assert_eq!(target().await, None);
    activate(first.digest, None).await;
    assert_eq!(target().await, None);
    for version in [&second, &second, &third] {
        activate(version.digest, None).await;
    }
    assert_eq!(roll_back().await, Some(second.digest));
    assert_eq!(roll_back().await, Some(first.digest));
    assert_eq!(roll_back().await, None);
    let activations = repository
        .activations(acme, &orders, Page::first(2))
        .await
        .unwrap();
    let told: Vec<_> = activations
        .iter()
        .map(|past| (past.digest, past.rolled_back_to))
        .collect();
    assert_eq!(told, [(first.digest, Some(1)), (second.digest, Some(3))]);

    // An explicit activation restarts the search; deleted versions are skipped.
    activate(third.digest, None).await;
    assert_eq!(target().await.map(|target| target.digest), Some(first.digest));
    activate(second.digest, None).await;
    repository
        .delete_version(acme, &orders, third.digest, &change(3_000))
        .await
        .unwrap();
    assert_eq!(roll_back().await, Some(first.digest));
    assert_eq!(roll_back().await, None);
}
