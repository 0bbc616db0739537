//! Tests of changes by other nodes. They are written directly to the database and found by their
//! generations.

use axum::http::StatusCode;
use serde_json::json;

use super::TestApp;
use crate::domain::clock::Timestamp;
use crate::domain::credential::Credential;
use crate::domain::id::{ApiKeyId, TenantId};
use crate::domain::limits::LimitOverrides;
use crate::domain::tenant::Plan;
use crate::storage::conformance::{api_key, change, name, tenant};
use crate::storage::{Repository, TenantChange};

impl TestApp {
    /// Reads changed tenants. Returns their number.
    async fn reconcile(&self) -> usize {
        let behind = self.lifecycle.reconcile().await.unwrap();
        assert_eq!(self.lifecycle.reconcile().await.unwrap(), 0, "all are in line");
        behind
    }
}

async fn suspend(db: &dyn Repository, tenant: TenantId, suspended: bool) {
    let suspend = TenantChange {
        suspended: Some(suspended),
        ..TenantChange::default()
    };
    let changed = db
        .change_tenant(tenant, &suspend, &|_, _| vec![change(5_000)])
        .await;
    assert!(changed.unwrap().is_some());
}

#[tokio::test]
async fn what_another_node_changes_is_served_after_the_next_poll() {
    let app = TestApp::start().await;
    let acme = tenant(&*app.db, "acme").await.id;
    tenant(&*app.db, "other").await;
    assert!(app.routing.tenant("acme").is_none());
    assert_eq!(app.reconcile().await, 2);
    let is_suspended = || app.routing.tenant("acme").unwrap().suspended;
    assert!(!is_suspended());
    suspend(&*app.db, acme, true).await;
    assert_eq!((app.reconcile().await, is_suspended()), (1, true));
    suspend(&*app.db, acme, false).await;
    assert_eq!((app.reconcile().await, is_suspended()), (1, false));

    // A deleted tenant stops serving, and its name is free for another tenant.
    app.db.delete_tenant(acme, &change(6_000)).await.unwrap();
    assert_eq!(app.reconcile().await, 1);
    assert!(app.routing.tenant("acme").is_none() && app.routing.tenant("other").is_some());
    app.db.restore_tenant(acme, &change(7_000)).await.unwrap();
    assert_eq!(app.reconcile().await, 1);
    assert_eq!(app.routing.tenant("acme").unwrap().id, acme);
    app.db.purge_tenant(acme, &change(8_000)).await.unwrap();
    let again = tenant(&*app.db, "acme").await.id;
    assert_eq!(app.reconcile().await, 2);
    assert_eq!(app.routing.tenant("acme").unwrap().id, again);
    assert!(app.routing.tenant_by_id(acme).is_none());
    assert_eq!(app.routing.count(), 2);
}

#[tokio::test]
async fn a_notification_reads_only_what_is_behind() {
    let app = TestApp::start().await;
    let acme = tenant(&*app.db, "acme").await.id;
    app.lifecycle.follow(app.db.changed().await).await;
    let served = app.routing.tenant("acme").unwrap();
    suspend(&*app.db, acme, true).await;
    let changed = app.db.changed().await;
    app.lifecycle.follow(changed.clone()).await;
    let suspended = app.routing.tenant("acme").unwrap();
    assert!(suspended.suspended && suspended.generation > served.generation);
    // The node has read the change already.
    app.lifecycle.follow(changed).await;
    assert!(std::sync::Arc::ptr_eq(
        &suspended,
        &app.routing.tenant("acme").unwrap()
    ));
    app.db.purge_tenant(acme, &change(1)).await.unwrap();
    app.lifecycle.follow(app.db.changed().await).await;
    assert!(app.routing.tenant("acme").is_none());
}

#[tokio::test]
async fn keys_of_another_node_work_and_stop_working() {
    let app = TestApp::start().await;
    let acme = tenant(&*app.db, "acme").await.id;
    let owner = app.owner(acme).await;
    app.reconcile().await;
    let snapshot = app.routing.tenant("acme").unwrap();
    let works = |text: &str| {
        let credential = Credential::<ApiKeyId>::parse(text).unwrap();
        snapshot
            .api_keys
            .authenticate(&credential, Timestamp(1))
            .is_some()
    };
    let path = "/api/v1/tenants/acme/api-keys";
    let made = app
        .call(&owner, "POST", path, Some(json!({ "name": "shop" })))
        .await;
    let own = made.body["credential"].as_str().unwrap();
    assert!(works(own));
    assert_eq!(app.reconcile().await, 0, "the node has its own change");

    let credential = Credential::generate(ApiKeyId::generate()).unwrap();
    let theirs = crate::domain::api_key::ApiKey {
        id: credential.id(),
        hash: credential.hash(),
        ..api_key(&*app.db, acme, None).await
    };
    app.db.insert_api_key(acme, &theirs, &change(2)).await.unwrap();
    assert!(!works(&credential.reveal()));
    assert_eq!(app.reconcile().await, 1);
    assert!(works(&credential.reveal()) && works(own));

    // A change by this node makes it read the changes that it missed.
    app.db.revoke_api_key(acme, theirs.id, &change(3)).await.unwrap();
    let id = made.body["id"].as_str().unwrap();
    let revoked = app.call(&owner, "DELETE", &format!("{path}/{id}"), None).await;
    assert_eq!(revoked.status, StatusCode::NO_CONTENT);
    assert!(!works(own) && !works(&credential.reveal()));
    assert_eq!(app.reconcile().await, 0);
}

#[tokio::test]
async fn a_plan_that_many_tenants_have_is_read_again_for_all_of_them() {
    const MANY: usize = 150;
    let app = TestApp::start().await;
    for number in 0..MANY {
        tenant(&*app.db, &format!("t{number}")).await;
    }
    assert_eq!(app.reconcile().await, MANY);
    let plan = Plan {
        name: name("standard"),
        limits: LimitOverrides {
            concurrency: Some(3),
            ..LimitOverrides::default()
        },
    };
    app.db.put_plan(&plan, &|_| change(1)).await.unwrap();
    assert_eq!(app.reconcile().await, MANY);
    // A change through this node's API is served before the response.
    let operator = app.operator().await;
    let put = app
        .call(
            &operator,
            "PUT",
            "/api/v1/plans/standard",
            Some(json!({ "queue": 1 })),
        )
        .await;
    assert_eq!(put.status, StatusCode::OK);
    assert_eq!(app.reconcile().await, 0);
}
