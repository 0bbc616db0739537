//! Stories of plugins and versions.

use super::{name, plugin, tenant, version_of};
use crate::domain::clock::Timestamp;
use crate::domain::id::{PluginName, TenantId, VersionDigest};
use crate::storage::{DbError, Page, Repository, VersionPosition};

pub async fn versions_are_recorded_once_and_listed_newest_first(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let orders: PluginName = name("orders");
    let old = version_of("orders", "1.0.0", 10);
    let new = version_of("orders", "2.0.0", 20);
    assert!(repository.add_version(acme, &orders, &old).await.unwrap());
    assert!(repository.add_version(acme, &orders, &new).await.unwrap());
    assert!(!repository.add_version(acme, &orders, &old).await.unwrap());
    let error = repository
        .add_version(TenantId::generate(), &orders, &old)
        .await
        .unwrap_err();
    assert!(matches!(error, DbError::Missing("tenant")), "{error:?}");

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
            .delete_version(acme, &orders, old.digest)
            .await
            .unwrap()
    );
    assert!(
        !repository
            .delete_version(acme, &orders, old.digest)
            .await
            .unwrap()
    );
    assert!(!repository.is_digest_used(old.digest).await.unwrap());

    assert!(repository.set_plugin_disabled(acme, &orders, true).await.unwrap());
    assert!(repository.plugin(acme, &orders).await.unwrap().unwrap().disabled);
    assert_eq!(repository.plugins(acme, Page::first(9)).await.unwrap().len(), 1);
    assert!(repository.delete_plugin(acme, &orders).await.unwrap());
    assert!(!repository.delete_plugin(acme, &orders).await.unwrap());
    assert!(!repository.set_plugin_disabled(acme, &orders, true).await.unwrap());
}

pub async fn the_oldest_inactive_versions_are_given_up(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let orders: PluginName = name("orders");
    let versions: Vec<_> = (1..=4)
        .map(|n| version_of("orders", &format!("{n}.0.0"), n))
        .collect();
    for version in &versions {
        repository.add_version(acme, &orders, version).await.unwrap();
    }
    repository
        .activate(acme, &orders, versions[0].digest, "host", Timestamp(9))
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
        .activate(acme, &orders, version.digest, "host", Timestamp(9))
        .await
        .unwrap();
    let error = repository
        .delete_version(acme, &orders, version.digest)
        .await
        .unwrap_err();
    assert!(matches!(error, DbError::InUse("version")), "{error:?}");
    assert!(repository.delete_plugin(acme, &orders).await.unwrap());
}

fn digests(digests: impl Iterator<Item = VersionDigest>) -> Vec<VersionDigest> {
    digests.collect()
}
