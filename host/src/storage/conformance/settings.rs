//! Conformance tests of grants, config and secrets.

use std::collections::BTreeMap;

use super::{change, name, plugin, tenant};
use crate::domain::audit::Change;
use crate::domain::clock::Timestamp;
use crate::domain::grant::Grants;
use crate::domain::id::{PluginName, TenantId};
use crate::domain::resource::Resource;
use crate::storage::vault::Sealed;
use crate::storage::{DbError, Page, Repository};

pub async fn settings_are_replaced_as_a_whole_or_one_by_one(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let (orders, _) = plugin(repository, acme, "orders").await;

    assert_eq!(repository.grants(acme, &orders).await.unwrap(), Grants::default());
    let mut grants = Grants {
        database: true,
        ..Default::default()
    };
    repository
        .put_grants(acme, &orders, &grants, &change(3_000))
        .await
        .unwrap();
    grants.http.insert("https://a.example".parse().unwrap());
    repository
        .put_grants(acme, &orders, &grants, &change(3_000))
        .await
        .unwrap();
    assert_eq!(repository.grants(acme, &orders).await.unwrap(), grants);

    let config = BTreeMap::from([("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())]);
    repository
        .put_config(acme, &orders, &config, &change(3_000))
        .await
        .unwrap();
    repository
        .put_config_value(acme, &orders, "c", Some("3"), &change(3_000))
        .await
        .unwrap();
    repository
        .put_config_value(acme, &orders, "a", Some("4"), &change(3_000))
        .await
        .unwrap();
    repository
        .put_config_value(acme, &orders, "b", None, &change(3_000))
        .await
        .unwrap();
    let found = repository.config(acme, &orders).await.unwrap();
    assert_eq!(
        found,
        BTreeMap::from([("a".to_owned(), "4".to_owned()), ("c".to_owned(), "3".to_owned())])
    );
    repository
        .put_config(acme, &orders, &BTreeMap::new(), &change(3_000))
        .await
        .unwrap();
    assert!(repository.config(acme, &orders).await.unwrap().is_empty());

    let nowhere: PluginName = name("nowhere");
    for error in [
        repository
            .put_grants(acme, &nowhere, &grants, &change(3_000))
            .await
            .unwrap_err(),
        repository
            .put_config(acme, &nowhere, &BTreeMap::new(), &change(3_000))
            .await
            .unwrap_err(),
        repository
            .put_config_value(acme, &nowhere, "a", Some("1"), &change(3_000))
            .await
            .unwrap_err(),
    ] {
        assert!(matches!(error, DbError::Missing(Resource::Plugin)), "{error:?}");
    }
}

pub async fn secrets_are_kept_sealed(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let sealed = Sealed::from_bytes(vec![1, 2, 3]);
    repository
        .put_secret(acme, "b", &Sealed::from_bytes(vec![9]), &change(1))
        .await
        .unwrap();
    repository
        .put_secret(acme, "b", &sealed, &change(2))
        .await
        .unwrap();
    repository
        .put_secret(acme, "a", &sealed, &change(3))
        .await
        .unwrap();
    assert_eq!(
        repository.secret_names(acme).await.unwrap(),
        [("a".to_owned(), Timestamp(3)), ("b".to_owned(), Timestamp(2))]
    );
    assert_eq!(repository.sealed_secrets(acme).await.unwrap()["b"], sealed);
    assert!(repository.delete_secret(acme, "a", &change(3_000)).await.unwrap());
    assert!(!repository.delete_secret(acme, "a", &change(3_000)).await.unwrap());
}

pub async fn secrets_are_sealed_anew_in_one_step(repository: &dyn Repository) {
    let (acme, zoo) = (
        tenant(repository, "acme").await.id,
        tenant(repository, "zoo").await.id,
    );
    assert_eq!(repository.key_check().await.unwrap(), None);
    repository.set_key_check("first", None).await.unwrap();
    for number in 0..150u8 {
        let sealed = Sealed::from_bytes(vec![number]);
        let name = format!("s{number}");
        repository
            .put_secret(acme, &name, &sealed, &change(1))
            .await
            .unwrap();
    }
    repository
        .put_secret(zoo, "odd", &Sealed::from_bytes(vec![255]), &change(1))
        .await
        .unwrap();
    assert_eq!(repository.some_secrets(3).await.unwrap().len(), 3);
    let rotate = Change::new(Change::COMMAND, "host-key.rotate", "host.key", Timestamp(2));

    // A failure in the middle changes nothing.
    type Anew = Result<Option<Sealed>, Box<dyn std::error::Error + Send + Sync>>;
    let fails = |_: TenantId, name: &str, _: &Sealed| -> Anew {
        match name {
            "s99" => Err("no randomness".into()),
            _ => Ok(Some(Sealed::from_bytes(vec![0]))),
        }
    };
    repository.reseal("second", &rotate, &fails).await.unwrap_err();
    assert_eq!(repository.key_check().await.unwrap().as_deref(), Some("first"));
    let before = repository.sealed_secrets(acme).await.unwrap();
    assert_eq!(before["s7"], Sealed::from_bytes(vec![7]));

    let reseal = |_: TenantId, name: &str, sealed: &Sealed| -> Anew {
        let anew = [sealed.as_bytes(), &[1]].concat();
        Ok((name != "odd").then(|| Sealed::from_bytes(anew)))
    };
    let resealed = repository.reseal("second", &rotate, &reseal).await.unwrap();
    assert_eq!(
        (resealed.secrets, resealed.left),
        (150, vec![(zoo, "odd".to_owned())])
    );
    assert_eq!(repository.key_check().await.unwrap().as_deref(), Some("second"));
    let after = repository.sealed_secrets(acme).await.unwrap();
    assert_eq!(after["s149"], Sealed::from_bytes(vec![149, 1]));
    let audit = repository
        .audit(None, &Default::default(), Page::first(9))
        .await
        .unwrap();
    let told: Vec<_> = audit.iter().filter(|entry| entry.change == rotate).collect();
    assert_eq!((told.len(), told[0].tenant), (1, None));
}
