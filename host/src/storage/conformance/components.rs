//! Conformance tests of components: active ones, uploads and removals.

use super::{change, entry, name, plugin, tenant, version_of};
use crate::domain::clock::Timestamp;
use crate::domain::id::{LeaseId, PluginName, VersionDigest};
use crate::storage::{Claim, DbError, Lease, Removal, Repository};

const NOW: Timestamp = Timestamp(1_000);
const LATER: Timestamp = Timestamp(2_000);
const MUCH_LATER: Timestamp = Timestamp(3_000);

fn lease(digest: VersionDigest, expires_at: Timestamp) -> Lease {
    Lease {
        digest,
        holder: LeaseId::generate(),
        expires_at,
    }
}

fn is_named(removals: &[Removal], digest: VersionDigest) -> bool {
    removals.contains(&Removal::Component(digest))
}

pub async fn a_component_is_not_removed_while_it_is_uploaded(repository: &dyn Repository) {
    let digest = VersionDigest::of(b"component");
    let [upload, other, removal] = [(); 3].map(|()| lease(digest, LATER));
    assert!(repository.lease_component(&upload, NOW).await.unwrap());
    // Several nodes may upload the same component.
    assert!(repository.lease_component(&other, NOW).await.unwrap());
    assert!(is_named(&repository.removals().await.unwrap(), digest));
    let claim = || repository.claim_component(&removal, NOW);
    assert_eq!(claim().await.unwrap(), Claim::Leased);
    for held in [&upload, &other] {
        assert_eq!(claim().await.unwrap(), Claim::Leased);
        repository.release_component(digest, held.holder).await.unwrap();
    }
    assert_eq!(claim().await.unwrap(), Claim::Granted);
    assert!(
        repository
            .component_removed(digest, removal.holder)
            .await
            .unwrap()
    );
    assert!(!is_named(&repository.removals().await.unwrap(), digest));
    assert_eq!(claim().await.unwrap(), Claim::NotNamed);
}

pub async fn a_component_is_not_uploaded_while_it_is_removed(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let orders: PluginName = name("orders");
    let version = version_of("orders", "1.0.0", 1);
    let digest = version.digest;
    let upload = lease(digest, LATER);
    assert!(repository.lease_component(&upload, NOW).await.unwrap());
    // The upload failed and removes what it stored: its lease becomes a claim.
    assert_eq!(
        repository.claim_component(&upload, NOW).await.unwrap(),
        Claim::Granted
    );
    let next = lease(digest, LATER);
    assert!(!repository.lease_component(&next, NOW).await.unwrap());
    assert_eq!(
        repository.claim_component(&next, NOW).await.unwrap(),
        Claim::Leased
    );
    let refused = repository
        .add_version(acme, &orders, &version, &change(2_000))
        .await
        .unwrap_err();
    assert!(matches!(refused, DbError::Unavailable(_)), "{refused:?}");
    assert!(repository.component_removed(digest, upload.holder).await.unwrap());
    assert!(repository.lease_component(&next, NOW).await.unwrap());
    assert!(
        repository
            .add_version(acme, &orders, &version, &change(2_000))
            .await
            .unwrap()
    );
}

pub async fn leases_and_claims_of_a_dead_node_expire(repository: &dyn Repository) {
    let digest = VersionDigest::of(b"component");
    let [dead, removal, upload] = [LATER, MUCH_LATER, MUCH_LATER].map(|at| lease(digest, at));
    // A node was killed between its lease and its row.
    assert!(repository.lease_component(&dead, NOW).await.unwrap());
    assert_eq!(
        repository.claim_component(&removal, NOW).await.unwrap(),
        Claim::Leased
    );
    assert_eq!(
        repository.claim_component(&removal, LATER).await.unwrap(),
        Claim::Granted
    );
    // A remover was killed before it removed anything.
    assert!(!repository.lease_component(&upload, LATER).await.unwrap());
    assert!(repository.lease_component(&upload, MUCH_LATER).await.unwrap());
    // The remover continues, and must not report the upload's component as removed.
    assert!(
        !repository
            .component_removed(digest, removal.holder)
            .await
            .unwrap()
    );
    assert!(is_named(&repository.removals().await.unwrap(), digest));
}

pub async fn a_component_that_a_version_names_is_not_removed(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let (orders, version) = plugin(repository, acme, "orders").await;
    let digest = version.digest;
    let upload = lease(digest, LATER);
    assert!(repository.lease_component(&upload, NOW).await.unwrap());
    repository.release_component(digest, upload.holder).await.unwrap();
    let removal = lease(digest, LATER);
    assert_eq!(
        repository.claim_component(&removal, NOW).await.unwrap(),
        Claim::Used
    );
    assert!(!is_named(&repository.removals().await.unwrap(), digest));
    repository
        .delete_version(acme, &orders, digest, &change(3_000))
        .await
        .unwrap();
    assert_eq!(
        repository.claim_component(&removal, NOW).await.unwrap(),
        Claim::Granted
    );
}

pub async fn active_components_come_most_used_first(repository: &dyn Repository) {
    const HOUR: i64 = 3_600_000;
    let [acme, gone] = [
        tenant(repository, "acme").await.id,
        tenant(repository, "gone").await.id,
    ];
    let mut digests = Vec::new();
    for (owner, plugin, recent, old) in [
        (acme, "rarely", 1, 30),
        (acme, "never", 0, 0),
        (acme, "often", 5, 0),
        (acme, "inactive", 9, 0),
        (acme, "deleted", 9, 0),
        (gone, "purged", 9, 0),
    ] {
        let version = version_of(plugin, plugin, 1);
        let plugin: PluginName = name(plugin);
        repository
            .add_version(owner, &plugin, &version, &change(2_000))
            .await
            .unwrap();
        if plugin.as_str() != "inactive" {
            repository
                .activate(owner, &plugin, version.digest, None, &change(1))
                .await
                .unwrap();
        }
        let invocations = [(0, old), (10 * HOUR, recent)]
            .into_iter()
            .flat_map(|(at, count)| (0..count).map(move |_| at));
        let invocations: Vec<_> = invocations
            .map(|at| entry(owner, plugin.as_str(), at, &[]))
            .collect();
        repository.record(&invocations).await.unwrap();
        digests.push(version.digest);
    }
    repository
        .delete_plugin(acme, &name("deleted"), &change(NOW.0))
        .await
        .unwrap();
    repository.delete_tenant(gone, &change(NOW.0)).await.unwrap();
    let active = repository.active_components(Timestamp(9 * HOUR)).await.unwrap();
    assert_eq!(active, [digests[2], digests[0], digests[1]]);
    let active = repository.active_components(Timestamp(0)).await.unwrap();
    assert_eq!(active, [digests[0], digests[2], digests[1]]);
}
