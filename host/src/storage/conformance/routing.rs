//! Conformance tests of the queries for serving requests, and of the isolation of tenants.

use std::collections::BTreeMap;

use super::{api_key, change, entry, name, plugin, tenant};
use crate::domain::clock::Timestamp;
use crate::domain::grant::Grants;
use crate::domain::id::{PluginName, TenantId};
use crate::domain::log_line::Level;
use crate::storage::vault::Sealed;
use crate::storage::{InvocationFilter, LogFilter, Page, Repository};

pub async fn routing_reads_everything_of_one_tenant(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await;
    let other = tenant(repository, "other").await;
    let (orders, version) = plugin(repository, acme.id, "orders").await;
    plugin(repository, acme.id, "idle").await;
    plugin(repository, other.id, "foreign").await;
    repository
        .activate(acme.id, &orders, version.digest, None, &change(1))
        .await
        .unwrap();
    let grants = Grants {
        database: true,
        ..Default::default()
    };
    repository
        .put_grants(acme.id, &orders, &grants, &change(3_000))
        .await
        .unwrap();
    repository
        .put_config_value(acme.id, &orders, "currency", Some("EUR"), &change(3_000))
        .await
        .unwrap();
    let sealed = Sealed::from_bytes(vec![1]);
    repository
        .put_secret(acme.id, "k", &sealed, &change(1))
        .await
        .unwrap();

    let listed = repository.listed_tenants().await.unwrap();
    let listed: Vec<_> = listed.into_iter().map(Result::unwrap).collect();
    let names: Vec<_> = listed
        .iter()
        .map(|tenant| (tenant.id, tenant.name.clone()))
        .collect();
    assert_eq!(
        names,
        [(acme.id, acme.name.clone()), (other.id, other.name.clone())]
    );
    let nobody = TenantId::generate();
    let mut all = repository
        .routed_tenants(&[other.id, nobody, acme.id])
        .await
        .unwrap();
    assert_eq!(all.len(), 2);
    let theirs = all.remove(&other.id).unwrap().unwrap();
    assert_eq!(
        (theirs.tenant, theirs.plugins.len(), theirs.secrets.len()),
        (other, 1, 0)
    );
    let routed = all.remove(&acme.id).unwrap().unwrap();
    assert_eq!(routed.generations, listed[0].generations);
    assert_eq!(routed.tenant, acme);
    assert_eq!(routed.plan.name, acme.plan);
    assert_eq!(routed.secrets, BTreeMap::from([("k".to_owned(), sealed)]));
    let [idle, served] = &routed.plugins[..] else {
        panic!("{:?}", routed.plugins)
    };
    assert_eq!(idle.plugin.name.as_str(), "idle");
    assert!(matches!(idle.active, Ok(None)));
    let active = served.active.as_ref().unwrap().as_ref();
    assert_eq!(active.unwrap().digest, version.digest);
    assert!(routed.problems.is_empty());
    assert_eq!(served.grants, grants);
    assert_eq!(served.config["currency"], "EUR");
    assert!(repository.routed_tenant(nobody).await.unwrap().is_none());
}

pub async fn tenants_do_not_see_each_other(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let other = tenant(repository, "other").await.id;
    let (orders, version) = plugin(repository, acme, "orders").await;
    let key = api_key(repository, acme, None).await;
    let ran = entry(acme, "orders", 10, &[Level::Info]);
    repository.record(std::slice::from_ref(&ran)).await.unwrap();
    repository
        .put_secret(acme, "k", &Sealed::from_bytes(vec![1]), &change(1))
        .await
        .unwrap();
    repository
        .put_config_value(acme, &orders, "a", Some("1"), &change(3_000))
        .await
        .unwrap();

    let digest = version.digest;
    assert!(repository.plugin(other, &orders).await.unwrap().is_none());
    assert!(
        repository
            .version(other, &orders, digest)
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        repository
            .versions(other, &orders, Page::first(9))
            .await
            .unwrap()
            .is_empty()
    );
    assert!(
        repository
            .activate(other, &orders, digest, None, &change(1))
            .await
            .is_err()
    );
    assert!(repository.config(other, &orders).await.unwrap().is_empty());
    assert!(repository.secret_names(other).await.unwrap().is_empty());
    assert!(
        !repository
            .delete_secret(other, "k", &change(3_000))
            .await
            .unwrap()
    );
    assert!(
        !repository
            .purge_plugin(other, &orders, &change(3_000))
            .await
            .unwrap()
    );
    assert!(
        !repository
            .delete_version(other, &orders, digest, &change(3_000))
            .await
            .unwrap()
    );
    assert!(
        repository
            .revoke_api_key(other, key.id, &change(1))
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        repository
            .valid_api_keys(other, Timestamp(1))
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(repository.invocation(other, ran.record.id).await.unwrap(), None);
    let all = InvocationFilter::default();
    assert!(
        repository
            .invocations(other, &all, Page::first(9))
            .await
            .unwrap()
            .is_empty()
    );
    let lines = repository
        .log_lines(other, &LogFilter::default(), Page::first(9))
        .await
        .unwrap();
    assert!(lines.is_empty());
    let usage = repository
        .usage(other, Timestamp(0), Timestamp(i64::MAX))
        .await
        .unwrap();
    assert!(usage.is_empty());
    let same_name: PluginName = name("orders");
    repository
        .add_version(other, &same_name, &version, &change(2_000))
        .await
        .unwrap();
    repository
        .purge_plugin(other, &same_name, &change(3_000))
        .await
        .unwrap();
    assert!(repository.plugin(acme, &orders).await.unwrap().is_some());
    assert!(repository.is_digest_used(digest).await.unwrap());
}
