//! Stories of grants, config and secrets.

use std::collections::BTreeMap;

use super::{name, plugin, tenant};
use crate::domain::clock::Timestamp;
use crate::domain::grant::Grants;
use crate::domain::id::PluginName;
use crate::storage::vault::Sealed;
use crate::storage::{DbError, Repository};

pub async fn settings_are_replaced_as_a_whole_or_one_by_one(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let (orders, _) = plugin(repository, acme, "orders").await;

    assert_eq!(repository.grants(acme, &orders).await.unwrap(), Grants::default());
    let mut grants = Grants {
        database: true,
        ..Default::default()
    };
    repository.put_grants(acme, &orders, &grants).await.unwrap();
    grants.http.insert("https://a.example".parse().unwrap());
    repository.put_grants(acme, &orders, &grants).await.unwrap();
    assert_eq!(repository.grants(acme, &orders).await.unwrap(), grants);

    let config = BTreeMap::from([("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())]);
    repository.put_config(acme, &orders, &config).await.unwrap();
    repository
        .put_config_value(acme, &orders, "c", Some("3"))
        .await
        .unwrap();
    repository
        .put_config_value(acme, &orders, "a", Some("4"))
        .await
        .unwrap();
    repository
        .put_config_value(acme, &orders, "b", None)
        .await
        .unwrap();
    let found = repository.config(acme, &orders).await.unwrap();
    assert_eq!(
        found,
        BTreeMap::from([("a".to_owned(), "4".to_owned()), ("c".to_owned(), "3".to_owned())])
    );
    repository
        .put_config(acme, &orders, &BTreeMap::new())
        .await
        .unwrap();
    assert!(repository.config(acme, &orders).await.unwrap().is_empty());

    let nowhere: PluginName = name("nowhere");
    for error in [
        repository.put_grants(acme, &nowhere, &grants).await.unwrap_err(),
        repository
            .put_config(acme, &nowhere, &BTreeMap::new())
            .await
            .unwrap_err(),
        repository
            .put_config_value(acme, &nowhere, "a", Some("1"))
            .await
            .unwrap_err(),
    ] {
        assert!(matches!(error, DbError::Missing("plugin")), "{error:?}");
    }
}

pub async fn secrets_are_kept_sealed(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let sealed = Sealed::from_bytes(vec![1, 2, 3]);
    repository
        .put_secret(acme, "b", &Sealed::from_bytes(vec![9]), Timestamp(1))
        .await
        .unwrap();
    repository
        .put_secret(acme, "b", &sealed, Timestamp(2))
        .await
        .unwrap();
    repository
        .put_secret(acme, "a", &sealed, Timestamp(3))
        .await
        .unwrap();
    assert_eq!(
        repository.secret_names(acme).await.unwrap(),
        [("a".to_owned(), Timestamp(3)), ("b".to_owned(), Timestamp(2))]
    );
    assert_eq!(repository.sealed_secrets(acme).await.unwrap()["b"], sealed);
    assert!(repository.delete_secret(acme, "a").await.unwrap());
    assert!(!repository.delete_secret(acme, "a").await.unwrap());
}
