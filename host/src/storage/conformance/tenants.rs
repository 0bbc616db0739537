//! Conformance tests of tenants and plans.

use super::{name, plugin, tenant};
use crate::domain::audit::AuditEntry;
use crate::domain::clock::Timestamp;
use crate::domain::credential::Credential;
use crate::domain::id::{TenantId, TokenId};
use crate::domain::limits::LimitOverrides;
use crate::domain::resource::Resource;
use crate::domain::tenant::{Plan, Tenant};
use crate::domain::token::{Reach, TenantRole, Token};
use crate::storage::{DbError, Page, Removal, Repository, TenantChange};

pub async fn plans_are_put_and_kept_while_in_use(repository: &dyn Repository) {
    let limits = LimitOverrides {
        concurrency: Some(4),
        ..Default::default()
    };
    let mut small = Plan {
        name: name("small"),
        limits,
    };
    repository.put_plan(&small, &|_| Vec::new()).await.unwrap();
    small.limits.concurrency = Some(5);
    repository.put_plan(&small, &|_| Vec::new()).await.unwrap();
    assert_eq!(repository.plan(&small.name).await.unwrap(), Some(small.clone()));
    let names: Vec<String> = repository
        .plans()
        .await
        .unwrap()
        .iter()
        .map(|plan| plan.name.to_string())
        .collect();
    assert_eq!(names, ["small", "standard"]);

    let acme = tenant(repository, "acme").await;
    let change = TenantChange {
        plan: Some(small.name.clone()),
        ..Default::default()
    };
    repository
        .change_tenant(acme.id, &change, &|_, _| Vec::new())
        .await
        .unwrap();
    let error = repository
        .delete_plan(&small.name, &|_| Vec::new())
        .await
        .unwrap_err();
    assert!(matches!(error, DbError::InUse(Resource::Plan)), "{error:?}");
    repository.purge_tenant(acme.id).await.unwrap();
    assert!(
        repository
            .delete_plan(&small.name, &|_| Vec::new())
            .await
            .unwrap()
    );
    assert!(
        !repository
            .delete_plan(&small.name, &|_| Vec::new())
            .await
            .unwrap()
    );
}

pub async fn tenants_are_made_found_changed_and_deleted(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await;
    assert_eq!(repository.tenant(acme.id).await.unwrap(), Some(acme.clone()));
    let found = repository.tenant_by_name(&acme.name).await.unwrap();
    assert_eq!(found, Some(acme.clone()));

    let same_name = Tenant {
        id: TenantId::generate(),
        ..acme.clone()
    };
    let error = repository.create_tenant(&same_name).await.unwrap_err();
    assert!(matches!(error, DbError::Taken(Resource::Tenant)), "{error:?}");
    let no_plan = Tenant {
        name: name("other"),
        plan: name("nowhere"),
        ..same_name
    };
    let error = repository.create_tenant(&no_plan).await.unwrap_err();
    assert!(matches!(error, DbError::Missing(Resource::Plan)), "{error:?}");

    let change = TenantChange {
        suspended: Some(true),
        ..Default::default()
    };
    let before_and_after = |before: &Tenant, after: &Tenant| {
        assert_eq!((before.suspended, after.suspended), (false, true));
        vec![AuditEntry::new(
            Some(acme.id),
            "host",
            "tenant.suspend",
            "acme",
            Timestamp(2),
        )]
    };
    let changed = repository
        .change_tenant(acme.id, &change, &before_and_after)
        .await;
    let changed = changed.unwrap().unwrap();
    let audit = repository
        .audit(Some(acme.id), &Default::default(), Page::first(9))
        .await;
    assert_eq!(audit.unwrap().len(), 1);
    assert_eq!(
        changed,
        Tenant {
            suspended: true,
            ..acme.clone()
        }
    );
    let change = TenantChange {
        plan: Some(name("nowhere")),
        ..Default::default()
    };
    let error = repository
        .change_tenant(acme.id, &change, &|_, _| Vec::new())
        .await
        .unwrap_err();
    assert!(matches!(error, DbError::Missing(Resource::Plan)), "{error:?}");

    let zoo = tenant(repository, "zoo").await;
    let first = repository.tenants(Page::first(1)).await.unwrap();
    assert_eq!(first, [changed]);
    let second = repository
        .tenants(Page::after(acme.name.clone(), 10))
        .await
        .unwrap();
    assert_eq!(second, [zoo]);

    assert!(repository.purge_tenant(acme.id).await.unwrap());
    assert!(!repository.purge_tenant(acme.id).await.unwrap());
    assert_eq!(repository.tenant(acme.id).await.unwrap(), None);
}

pub async fn a_purged_tenant_leaves_nothing_but_its_audit(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await;
    let (orders, version) = plugin(repository, acme.id, "orders").await;
    repository
        .activate(acme.id, &orders, version.digest, None, "host", Timestamp(1))
        .await
        .unwrap();
    let entry = AuditEntry::new(Some(acme.id), "host", "tenant.delete", "acme", Timestamp(2));
    repository.append_audit(&entry).await.unwrap();
    assert!(repository.purge_tenant(acme.id).await.unwrap());

    assert_eq!(repository.plugin(acme.id, &orders).await.unwrap(), None);
    assert!(!repository.is_digest_used(version.digest).await.unwrap());
    // The files go after the rows.
    let wanted = [Removal::Component(version.digest), Removal::Database(acme.id)];
    assert_eq!(repository.removals().await.unwrap(), wanted);
    repository.removal_done(wanted[0]).await.unwrap();
    assert_eq!(repository.removals().await.unwrap(), wanted[1..]);
    let audit = repository
        .audit(Some(acme.id), &Default::default(), Page::first(10))
        .await
        .unwrap();
    assert_eq!(audit.len(), 2);
}

pub async fn a_deleted_tenant_is_restored_as_it_was(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await;
    let (orders, version) = plugin(repository, acme.id, "orders").await;
    let credential = Credential::generate(TokenId::generate()).unwrap();
    let token = Token {
        id: credential.id(),
        name: "owner".to_owned(),
        reach: Reach::Tenant(acme.id, TenantRole::Owner),
        hash: credential.hash(),
        created_at: Timestamp(1_001),
        expires_at: None,
        revoked_at: None,
    };
    repository.insert_token(&token).await.unwrap();
    assert!(repository.delete_tenant(acme.id, Timestamp(1_005)).await.unwrap());
    assert!(!repository.delete_tenant(acme.id, Timestamp(1_006)).await.unwrap());

    // It is gone for everybody.
    assert_eq!(repository.tenant(acme.id).await.unwrap(), None);
    assert_eq!(repository.tenant_by_name(&acme.name).await.unwrap(), None);
    assert!(repository.tenants(Page::first(9)).await.unwrap().is_empty());
    assert!(repository.tenant_names().await.unwrap().is_empty());
    assert!(repository.routed_tenant(acme.id).await.unwrap().is_none());
    assert_eq!(repository.token(token.id).await.unwrap(), None);
    let change = TenantChange {
        suspended: Some(true),
        ..Default::default()
    };
    assert_eq!(
        repository
            .change_tenant(acme.id, &change, &|_, _| Vec::new())
            .await
            .unwrap(),
        None
    );
    let upload = repository
        .add_version(acme.id, &orders, &version)
        .await
        .unwrap_err();
    assert!(matches!(upload, DbError::Missing(Resource::Tenant)), "{upload:?}");
    // Its name and its files stay.
    let again = Tenant {
        id: TenantId::generate(),
        ..acme.clone()
    };
    let taken = repository.create_tenant(&again).await.unwrap_err();
    assert!(matches!(taken, DbError::Reserved(Resource::Tenant)), "{taken:?}");
    assert!(repository.is_digest_used(version.digest).await.unwrap());
    assert!(repository.removals().await.unwrap().is_empty());
    let deleted = Tenant {
        deleted_at: Some(Timestamp(1_005)),
        ..acme.clone()
    };
    assert_eq!(
        repository.tenant_even_deleted(&acme.name).await.unwrap(),
        Some(deleted.clone())
    );
    assert_eq!(
        repository.deleted_tenants(Page::first(9)).await.unwrap(),
        [deleted]
    );
    for (before, count) in [(1_004, 0), (1_005, 0), (1_006, 1)] {
        let due = repository
            .tenants_deleted_before(Timestamp(before))
            .await
            .unwrap();
        assert_eq!(due.len(), count, "{before}");
    }

    assert!(repository.restore_tenant(acme.id).await.unwrap());
    assert_eq!(
        repository.tenant_by_name(&acme.name).await.unwrap(),
        Some(acme.clone())
    );
    assert!(repository.token(token.id).await.unwrap().is_some());
    let routed = repository.routed_tenant(acme.id).await.unwrap().unwrap();
    assert_eq!(routed.plugins.len(), 1);
    assert!(!repository.restore_tenant(TenantId::generate()).await.unwrap());
}
