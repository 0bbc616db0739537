//! Conformance tests of plugins and versions.

use std::collections::BTreeMap;

use super::{change, name, plugin, tenant, version_of};
use crate::domain::clock::Timestamp;
use crate::domain::grant::Grants;
use crate::domain::id::{PluginName, TenantId, VersionDigest};
use crate::domain::resource::Resource;
use crate::storage::{DbError, Page, Removal, Repository, VersionPosition};

pub async fn versions_are_recorded_once_and_listed_newest_first(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let orders: PluginName = name("orders");
    let old = version_of("orders", "1.0.0", 10);
    let new = version_of("orders", "2.0.0", 20);
    assert!(
        repository
            .add_version(acme, &orders, &old, &change(2_000))
            .await
            .unwrap()
    );
    assert!(
        repository
            .add_version(acme, &orders, &new, &change(2_000))
            .await
            .unwrap()
    );
    assert!(
        !repository
            .add_version(acme, &orders, &old, &change(2_000))
            .await
            .unwrap()
    );
    let error = repository
        .add_version(TenantId::generate(), &orders, &old, &change(2_000))
        .await
        .unwrap_err();
    assert!(matches!(error, DbError::Missing(Resource::Tenant)), "{error:?}");

    let found = repository
        .version(acme, &orders, old.digest)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found.manifest_text, old.manifest_text);
    assert_eq!(found.manifest.plugin.version, "1.0.0");
    assert_eq!(found.size, 5);

    let first = repository.versions(acme, &orders, Page::first(1)).await.unwrap();
    assert_eq!(first[0].digest, new.digest);
    let position = VersionPosition {
        created_at: new.created_at,
        digest: new.digest,
    };
    let rest = repository
        .versions(acme, &orders, Page::after(position, 9))
        .await
        .unwrap();
    assert_eq!(digests(rest.iter().map(|version| version.digest)), [old.digest]);

    assert!(repository.is_digest_used(old.digest).await.unwrap());
    assert!(
        repository
            .delete_version(acme, &orders, old.digest, &change(3_000))
            .await
            .unwrap()
    );
    assert!(
        !repository
            .delete_version(acme, &orders, old.digest, &change(3_000))
            .await
            .unwrap()
    );
    assert!(!repository.is_digest_used(old.digest).await.unwrap());

    assert!(
        repository
            .set_plugin_disabled(acme, &orders, true, &change(3_000))
            .await
            .unwrap()
    );
    assert!(repository.plugin(acme, &orders).await.unwrap().unwrap().disabled);
    assert_eq!(repository.plugins(acme, Page::first(9)).await.unwrap().len(), 1);
    assert!(
        repository
            .purge_plugin(acme, &orders, &change(3_000))
            .await
            .unwrap()
    );
    assert!(
        !repository
            .purge_plugin(acme, &orders, &change(3_000))
            .await
            .unwrap()
    );
    assert!(
        !repository
            .set_plugin_disabled(acme, &orders, true, &change(3_000))
            .await
            .unwrap()
    );
}

pub async fn the_oldest_inactive_versions_are_given_up(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let orders: PluginName = name("orders");
    let versions: Vec<_> = (1..=4)
        .map(|n| version_of("orders", &format!("{n}.0.0"), n))
        .collect();
    for version in &versions {
        repository
            .add_version(acme, &orders, version, &change(2_000))
            .await
            .unwrap();
    }
    repository
        .activate(acme, &orders, versions[0].digest, None, &change(9))
        .await
        .unwrap();
    let beyond = async |keep| repository.versions_beyond(acme, &orders, keep).await.unwrap();
    assert_eq!(beyond(4).await, []);
    assert_eq!(beyond(3).await, [versions[1].digest]);
    assert_eq!(
        beyond(0).await,
        [versions[1].digest, versions[2].digest, versions[3].digest]
    );
}

pub async fn an_active_version_is_not_deleted(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let (orders, version) = plugin(repository, acme, "orders").await;
    repository
        .activate(acme, &orders, version.digest, None, &change(9))
        .await
        .unwrap();
    let error = repository
        .delete_version(acme, &orders, version.digest, &change(3_000))
        .await
        .unwrap_err();
    assert!(matches!(error, DbError::InUse(Resource::Version)), "{error:?}");
    assert!(
        repository
            .purge_plugin(acme, &orders, &change(3_000))
            .await
            .unwrap()
    );
}

pub async fn a_deleted_plugin_is_restored_as_it_was(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let (orders, version) = plugin(repository, acme, "orders").await;
    let grants = Grants {
        database: true,
        ..Default::default()
    };
    let config = BTreeMap::from([("currency".to_owned(), "EUR".to_owned())]);
    repository
        .put_grants(acme, &orders, &grants, &change(3_000))
        .await
        .unwrap();
    repository
        .put_config(acme, &orders, &config, &change(3_000))
        .await
        .unwrap();
    repository
        .activate(acme, &orders, version.digest, None, &change(2_009))
        .await
        .unwrap();
    let before = repository.plugin(acme, &orders).await.unwrap().unwrap();
    let deleted_version = async || {
        let version = repository.deleted_active_version(acme, &orders).await.unwrap();
        version.map(|version| version.digest)
    };
    assert_eq!(deleted_version().await, None);
    assert!(
        repository
            .delete_plugin(acme, &orders, &change(2_010))
            .await
            .unwrap()
    );
    assert!(
        !repository
            .delete_plugin(acme, &orders, &change(2_011))
            .await
            .unwrap()
    );

    assert_eq!(deleted_version().await, Some(version.digest));

    // Nothing else of the deleted plugin is found or changed.
    let (digest, now) = (version.digest, change(2_012));
    assert_eq!(repository.plugin(acme, &orders).await.unwrap(), None);
    assert!(repository.plugins(acme, Page::first(9)).await.unwrap().is_empty());
    assert!(repository.version(acme, &orders, digest).await.unwrap().is_none());
    assert!(
        repository
            .versions(acme, &orders, Page::first(9))
            .await
            .unwrap()
            .is_empty()
    );
    assert!(
        repository
            .activations(acme, &orders, Page::first(9))
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(repository.grants(acme, &orders).await.unwrap(), Grants::default());
    assert!(repository.config(acme, &orders).await.unwrap().is_empty());
    assert!(
        !repository
            .set_plugin_disabled(acme, &orders, true, &change(3_000))
            .await
            .unwrap()
    );
    let changes = [
        repository
            .put_grants(acme, &orders, &Grants::default(), &change(3_000))
            .await,
        repository
            .put_config(acme, &orders, &BTreeMap::new(), &change(3_000))
            .await,
        repository
            .put_config_value(acme, &orders, "currency", Some("USD"), &change(3_000))
            .await,
        repository
            .activate(acme, &orders, digest, None, &now)
            .await
            .map(drop),
    ];
    for error in changes.map(Result::unwrap_err) {
        assert!(matches!(error, DbError::Missing(Resource::Plugin)), "{error:?}");
    }
    let upload = repository
        .add_version(acme, &orders, &version, &change(2_000))
        .await
        .unwrap_err();
    assert!(
        matches!(upload, DbError::Reserved(Resource::Plugin)),
        "{upload:?}"
    );
    let routed = repository.routed_tenant(acme).await.unwrap().unwrap();
    assert!(routed.plugins.is_empty());
    assert!(repository.is_digest_used(digest).await.unwrap());
    let deleted = repository.deleted_plugins(acme, Page::first(9)).await.unwrap();
    assert_eq!(deleted[0].deleted_at, Some(Timestamp(2_010)));
    let due = repository.plugins_deleted_before(Timestamp(2_011)).await.unwrap();
    assert_eq!(due, [(acme, orders.clone())]);
    assert!(
        repository
            .plugins_deleted_before(Timestamp(2_010))
            .await
            .unwrap()
            .is_empty()
    );

    assert!(
        repository
            .restore_plugin(acme, &orders, &change(3_000))
            .await
            .unwrap()
    );
    assert!(
        !repository
            .restore_plugin(acme, &orders, &change(3_000))
            .await
            .unwrap()
    );
    assert_eq!(repository.plugin(acme, &orders).await.unwrap(), Some(before));
    assert_eq!(deleted_version().await, None);
    assert_eq!(repository.grants(acme, &orders).await.unwrap(), grants);
    assert_eq!(repository.config(acme, &orders).await.unwrap(), config);
}

pub async fn a_purged_plugin_leaves_its_files_to_be_removed(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let other = tenant(repository, "other").await.id;
    let (orders, version) = plugin(repository, acme, "orders").await;
    plugin(repository, other, "orders").await;
    let old = version_of("orders", "0.9.0", 1);
    repository
        .add_version(acme, &orders, &old, &change(2_000))
        .await
        .unwrap();
    assert!(
        repository
            .delete_version(acme, &orders, old.digest, &change(3_000))
            .await
            .unwrap()
    );
    assert_eq!(
        repository.removals().await.unwrap(),
        [Removal::Component(old.digest)]
    );
    assert!(repository.delete_plugin(acme, &orders, &change(1)).await.unwrap());
    assert!(
        repository
            .purge_plugin(acme, &orders, &change(3_000))
            .await
            .unwrap()
    );
    let mut removals = repository.removals().await.unwrap();
    removals.sort_by_key(|removal| *removal != Removal::Component(old.digest));
    assert_eq!(
        removals,
        [Removal::Component(old.digest), Removal::Component(version.digest)]
    );
    // The other tenant still has the version.
    assert!(repository.is_digest_used(version.digest).await.unwrap());
    let ids = repository.all_tenant_ids().await.unwrap();
    assert!(ids.len() == 2 && ids.contains(&acme) && ids.contains(&other));
    assert_eq!(repository.all_digests().await.unwrap(), [version.digest]);
}

fn digests(digests: impl Iterator<Item = VersionDigest>) -> Vec<VersionDigest> {
    digests.collect()
}
