//! Conformance tests of tenants and plans.

use std::collections::BTreeMap;

use super::{NOW, add, api_key, change, name, new_job, plugin, tenant, version_of};
use crate::domain::clock::Timestamp;
use crate::domain::credential::Credential;
use crate::domain::generation::Generations;
use crate::domain::grant::Grants;
use crate::domain::id::{ApiKeyId, JobId, PluginName, TenantId, TokenId};
use crate::domain::limits::LimitOverrides;
use crate::domain::resource::Resource;
use crate::domain::tenant::{Plan, Tenant};
use crate::domain::token::{Reach, TenantRole, Token};
use crate::storage::vault::Sealed;
use crate::storage::{AuditFilter, DbError, JobFilter, Page, Removal, Repository, TenantChange};

pub async fn plans_are_put_and_kept_while_in_use(repository: &dyn Repository) {
    let limits = LimitOverrides {
        concurrency: Some(4),
        ..Default::default()
    };
    let mut small = Plan {
        name: name("small"),
        limits,
    };
    repository.put_plan(&small, &|_| change(1)).await.unwrap();
    small.limits.concurrency = Some(5);
    repository.put_plan(&small, &|_| change(1)).await.unwrap();
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
    let on_small = TenantChange {
        plan: Some(small.name.clone()),
        ..Default::default()
    };
    repository
        .change_tenant(acme.id, &on_small, &|_, _| vec![change(1)])
        .await
        .unwrap();
    let error = repository
        .delete_plan(&small.name, &|_| change(1))
        .await
        .unwrap_err();
    assert!(matches!(error, DbError::InUse(Resource::Plan)), "{error:?}");
    repository.purge_tenant(acme.id, &change(3_000)).await.unwrap();
    assert!(repository.delete_plan(&small.name, &|_| change(1)).await.unwrap());
    assert!(!repository.delete_plan(&small.name, &|_| change(1)).await.unwrap());
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
    let error = repository
        .create_tenant(&same_name, &change(1_000))
        .await
        .unwrap_err();
    assert!(matches!(error, DbError::Taken(Resource::Tenant)), "{error:?}");
    let no_plan = Tenant {
        name: name("other"),
        plan: name("nowhere"),
        ..same_name
    };
    let error = repository
        .create_tenant(&no_plan, &change(1_000))
        .await
        .unwrap_err();
    assert!(matches!(error, DbError::Missing(Resource::Plan)), "{error:?}");

    let suspend = TenantChange {
        suspended: Some(true),
        ..Default::default()
    };
    let before_and_after = |before: &Tenant, after: &Tenant| {
        assert_eq!((before.suspended, after.suspended), (false, true));
        vec![change(1_001), change(1_002)]
    };
    let changed = repository
        .change_tenant(acme.id, &suspend, &before_and_after)
        .await;
    let changed = changed.unwrap().unwrap();
    let audit = repository
        .audit(Some(acme.id), &Default::default(), Page::first(9))
        .await;
    assert_eq!(audit.unwrap().len(), 3);
    assert_eq!(
        changed,
        Tenant {
            suspended: true,
            ..acme.clone()
        }
    );
    let nowhere = TenantChange {
        plan: Some(name("nowhere")),
        ..Default::default()
    };
    let error = repository
        .change_tenant(acme.id, &nowhere, &|_, _| vec![change(1)])
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

    assert!(repository.purge_tenant(acme.id, &change(3_000)).await.unwrap());
    assert!(!repository.purge_tenant(acme.id, &change(3_000)).await.unwrap());
    assert_eq!(repository.tenant(acme.id).await.unwrap(), None);
}

pub async fn a_purged_tenant_leaves_nothing_but_its_audit(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await;
    let (orders, version) = plugin(repository, acme.id, "orders").await;
    repository
        .activate(acme.id, &orders, version.digest, None, &change(1))
        .await
        .unwrap();
    assert!(repository.purge_tenant(acme.id, &change(3_000)).await.unwrap());

    assert_eq!(repository.plugin(acme.id, &orders).await.unwrap(), None);
    assert!(!repository.is_digest_used(version.digest).await.unwrap());
    // Files are removed after their rows.
    let wanted = [Removal::Component(version.digest), Removal::Database(acme.id)];
    assert_eq!(repository.removals().await.unwrap(), wanted);
    repository.removal_done(wanted[0]).await.unwrap();
    assert_eq!(repository.removals().await.unwrap(), wanted[1..]);
    let audit = repository
        .audit(Some(acme.id), &Default::default(), Page::first(10))
        .await
        .unwrap();
    // The purge itself is the newest entry. The older ones still have the tenant's name.
    assert_eq!((audit.len(), audit[0].change.at), (4, Timestamp(3_000)));
    assert!(
        audit
            .iter()
            .all(|entry| entry.tenant_name.as_deref() == Some("acme"))
    );
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
    repository.insert_token(&token, &change(1)).await.unwrap();
    assert!(repository.delete_tenant(acme.id, &change(1_005)).await.unwrap());
    assert!(!repository.delete_tenant(acme.id, &change(1_006)).await.unwrap());

    // No query finds the deleted tenant.
    assert_eq!(repository.tenant(acme.id).await.unwrap(), None);
    assert_eq!(repository.tenant_by_name(&acme.name).await.unwrap(), None);
    assert!(repository.tenants(Page::first(9)).await.unwrap().is_empty());
    assert!(repository.listed_tenants().await.unwrap().is_empty());
    assert!(repository.routed_tenant(acme.id).await.unwrap().is_none());
    assert_eq!(repository.token(token.id).await.unwrap(), None);
    let suspend = TenantChange {
        suspended: Some(true),
        ..Default::default()
    };
    assert_eq!(
        repository
            .change_tenant(acme.id, &suspend, &|_, _| vec![change(1)])
            .await
            .unwrap(),
        None
    );
    let upload = repository
        .add_version(acme.id, &orders, &version, &change(2_000))
        .await
        .unwrap_err();
    assert!(matches!(upload, DbError::Missing(Resource::Tenant)), "{upload:?}");
    // Its name and its files are kept.
    let again = Tenant {
        id: TenantId::generate(),
        ..acme.clone()
    };
    let taken = repository
        .create_tenant(&again, &change(1_000))
        .await
        .unwrap_err();
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

    assert!(repository.restore_tenant(acme.id, &change(3_000)).await.unwrap());
    assert_eq!(
        repository.tenant_by_name(&acme.name).await.unwrap(),
        Some(acme.clone())
    );
    assert!(repository.token(token.id).await.unwrap().is_some());
    let routed = repository.routed_tenant(acme.id).await.unwrap().unwrap();
    assert_eq!(routed.plugins.len(), 1);
    assert!(
        !repository
            .restore_tenant(TenantId::generate(), &change(3_000))
            .await
            .unwrap()
    );
}

/// The listed generations of a tenant.
async fn generations(repository: &dyn Repository, tenant: TenantId) -> Generations {
    let listed = repository.listed_tenants().await.unwrap();
    let mut listed = listed.into_iter().map(Result::unwrap);
    listed.find(|listed| listed.id == tenant).unwrap().generations
}

/// The generation that a change raises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Raised {
    Content,
    Keys,
    Nothing,
}

pub async fn a_change_is_told_and_raises_a_generation_or_is_not_made(repository: &dyn Repository) {
    let acme = tenant(repository, "acme").await.id;
    let other = tenant(repository, "other").await.id;
    let (orders, version) = plugin(repository, acme, "orders").await;
    let (nothing, nowhere): (_, PluginName) = (change(1), name("nowhere"));
    let token = Token {
        reach: Reach::Tenant(acme, TenantRole::Owner),
        ..operator()
    };
    let (digest, sealed) = (version.digest, Sealed::from_bytes(vec![1]));
    let old = version_of("orders", "0.9.0", 1);
    let suspend = TenantChange {
        suspended: Some(true),
        ..Default::default()
    };
    let untold = async || {
        let all = AuditFilter::default();
        repository
            .audit(None, &all, Page::first(200))
            .await
            .unwrap()
            .len()
    };
    let unchanged = async || (generations(repository, acme).await, untold().await);

    // Changes of one tenant, each with the generation that it raises.
    let (db, c) = (repository, &change(2_500));
    let key = api_key(repository, acme, None).await;
    let first = generations(repository, other).await;
    macro_rules! told {
        ($raised:expr, $made:expr) => {
            let (before, entries) = unchanged().await;
            let _ = $made.await.unwrap();
            let (after, told) = unchanged().await;
            let content = after.content != before.content;
            let keys = after.keys != before.keys;
            let raised = match (content, keys) {
                (true, false) => Raised::Content,
                (false, true) => Raised::Keys,
                _ => Raised::Nothing,
            };
            assert_eq!(
                (raised, told - entries),
                ($raised, 1),
                "{}",
                stringify!($made)
            );
        };
    }
    told!(Raised::Nothing, db.add_version(acme, &orders, &old, c));
    told!(Raised::Nothing, db.delete_version(acme, &orders, old.digest, c));
    told!(Raised::Content, db.activate(acme, &orders, digest, None, c));
    told!(Raised::Content, db.set_plugin_disabled(acme, &orders, true, c));
    told!(
        Raised::Content,
        db.put_grants(acme, &orders, &Grants::default(), c)
    );
    told!(Raised::Content, db.put_config(acme, &orders, &BTreeMap::new(), c));
    told!(
        Raised::Content,
        db.put_config_value(acme, &orders, "a", Some("1"), c)
    );
    told!(Raised::Content, db.put_config_value(acme, &orders, "a", None, c));
    told!(Raised::Content, db.put_secret(acme, "k", &sealed, c));
    told!(Raised::Content, db.delete_secret(acme, "k", c));
    told!(Raised::Content, db.pause_jobs(acme, &orders, None, true, c));
    told!(Raised::Content, db.pause_jobs(acme, &orders, None, false, c));
    let job = add(repository, new_job(acme, "send")).await;
    told!(Raised::Nothing, db.cancel_job(acme, job, NOW, c));
    told!(Raised::Nothing, db.retry_job(acme, job, NOW, c));
    told!(Raised::Nothing, db.purge_jobs(acme, &JobFilter::default(), 9, c));
    told!(Raised::Keys, db.revoke_api_key(acme, key.id, c));
    told!(Raised::Nothing, db.insert_token(&token, c));
    told!(Raised::Nothing, db.revoke_token(Some(acme), token.id, c));
    told!(
        Raised::Content,
        db.change_tenant(acme, &suspend, &|_, _| vec![c.clone()])
    );
    told!(Raised::Content, db.delete_plugin(acme, &orders, c));
    told!(Raised::Content, db.restore_plugin(acme, &orders, c));
    told!(Raised::Content, db.purge_plugin(acme, &orders, c));
    assert_eq!(generations(repository, other).await, first);

    // A change that is not made is not recorded.
    let before = unchanged().await;
    assert!(
        !db.set_plugin_disabled(acme, &nowhere, true, &nothing)
            .await
            .unwrap()
    );
    assert!(!db.delete_plugin(acme, &nowhere, &nothing).await.unwrap());
    assert!(!db.restore_plugin(acme, &nowhere, &nothing).await.unwrap());
    assert!(!db.purge_plugin(acme, &nowhere, &nothing).await.unwrap());
    assert!(!db.delete_version(acme, &nowhere, digest, &nothing).await.unwrap());
    assert!(!db.delete_secret(acme, "nothing", &nothing).await.unwrap());
    let unknown = JobId::generate();
    assert_eq!(db.cancel_job(acme, unknown, NOW, &nothing).await.unwrap(), None);
    assert_eq!(db.retry_job(acme, unknown, NOW, &nothing).await.unwrap(), None);
    let all_jobs = JobFilter::default();
    assert_eq!(db.purge_jobs(acme, &all_jobs, 9, &nothing).await.unwrap(), 0);
    assert_eq!(db.retry_jobs(acme, &all_jobs, NOW, 9, &nothing).await.unwrap(), 0);
    db.pause_jobs(acme, &nowhere, None, true, &nothing)
        .await
        .unwrap_err();
    let unknown = ApiKeyId::generate();
    assert_eq!(db.revoke_api_key(acme, unknown, &nothing).await.unwrap(), None);
    let unknown = TokenId::generate();
    assert!(!db.revoke_token(Some(acme), unknown, &nothing).await.unwrap());
    let none = |_: &Tenant, _: &Tenant| Vec::new();
    db.change_tenant(acme, &TenantChange::default(), &none)
        .await
        .unwrap();
    db.put_grants(acme, &nowhere, &Grants::default(), &nothing)
        .await
        .unwrap_err();
    db.activate(acme, &nowhere, digest, None, &nothing)
        .await
        .unwrap_err();
    assert!(!db.purge_tenant(TenantId::generate(), &nothing).await.unwrap());
    assert_eq!(unchanged().await, before);

    // Each change is reported once.
    let changed = repository.changed().await;
    assert_eq!(changed[&acme], Some(generations(repository, acme).await));
    db.delete_tenant(other, c).await.unwrap();
    assert!(repository.changed().await.keys().eq([&other]));
    assert!(db.purge_tenant(other, c).await.unwrap());
    assert_eq!(repository.changed().await[&other], None);
}

pub async fn a_plan_is_a_change_of_each_tenant_on_it(repository: &dyn Repository) {
    let on_standard = [
        tenant(repository, "acme").await.id,
        tenant(repository, "zoo").await.id,
    ];
    let moved = tenant(repository, "moved").await.id;
    let mut plan = Plan {
        name: name("small"),
        limits: LimitOverrides::default(),
    };
    assert_eq!(repository.put_plan(&plan, &|_| change(1)).await.unwrap(), []);
    let to_small = TenantChange {
        plan: Some(plan.name.clone()),
        ..Default::default()
    };
    repository
        .change_tenant(moved, &to_small, &|_, _| vec![change(2)])
        .await
        .unwrap();
    let before = [
        generations(repository, on_standard[0]).await,
        generations(repository, moved).await,
    ];
    plan.name = name("standard");
    plan.limits.concurrency = Some(2);
    let mut changed = repository.put_plan(&plan, &|_| change(3)).await.unwrap();
    changed.sort();
    assert_eq!(changed, on_standard);
    let after = generations(repository, on_standard[1]).await;
    assert_eq!(after.content, before[0].content.next());
    assert_eq!(generations(repository, moved).await, before[1]);
}

/// An operator's token.
fn operator() -> Token {
    let credential = Credential::generate(TokenId::generate()).unwrap();
    Token {
        id: credential.id(),
        name: "somebody".to_owned(),
        reach: Reach::Host,
        hash: credential.hash(),
        created_at: Timestamp(1),
        expires_at: None,
        revoked_at: None,
    }
}
