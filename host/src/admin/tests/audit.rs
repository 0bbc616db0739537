//! Tests of the audit log, also for deleted tenants.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::TestApp;
use crate::storage::conformance::{UNTOLD, plugin, tenant};

/// Actions with their differences, the newest first.
async fn told(app: &TestApp, token: &str, path: &str) -> Vec<Value> {
    let answer = app.get(token, path).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.problem());
    let items = answer.body["items"].as_array().unwrap().iter();
    items
        .filter(|item| item["action"] != UNTOLD)
        .map(|item| json!([item["action"], item.get("before"), item.get("after")]))
        .collect()
}

#[tokio::test]
async fn each_kind_of_change_to_a_tenant_has_an_action_and_says_what_it_changed() {
    let app = TestApp::start().await;
    let operator = app.operator().await;
    tenant(&*app.db, "acme").await;
    let patch = async |body: Value| {
        let answer = app
            .call(&operator, "PATCH", "/api/v1/tenants/acme", Some(body))
            .await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.problem());
    };
    app.call(
        &operator,
        "PUT",
        "/api/v1/plans/gold",
        Some(json!({ "queue": 1 })),
    )
    .await;
    app.call(
        &operator,
        "PUT",
        "/api/v1/plans/gold",
        Some(json!({ "queue": 2, "share": 3 })),
    )
    .await;
    patch(json!({ "plan": "gold" })).await;
    patch(json!({ "limits": { "queue": 5 } })).await;
    patch(json!({ "suspended": true })).await;
    // Setting the same values is no change.
    patch(json!({ "suspended": true, "plan": "gold" })).await;
    patch(json!({ "suspended": false, "limits": {} })).await;
    assert_eq!(
        told(&app, &operator, "/api/v1/tenants/acme/audit").await,
        [
            json!(["tenant.resume", { "suspended": true }, { "suspended": false }]),
            json!(["tenant.limits", { "limits": { "queue": 5 } }, { "limits": {} }]),
            json!(["tenant.suspend", { "suspended": false }, { "suspended": true }]),
            json!(["tenant.limits", { "limits": {} }, { "limits": { "queue": 5 } }]),
            json!(["tenant.plan", { "plan": "standard" }, { "plan": "gold" }]),
        ]
    );
    assert_eq!(
        told(&app, &operator, "/api/v1/audit?action=plan.put").await,
        [
            json!(["plan.put", { "limits": { "queue": 1 } }, { "limits": { "queue": 2, "share": 3 } }]),
            json!(["plan.put", null, { "limits": { "queue": 1 } }]),
        ]
    );
}

#[tokio::test]
async fn changes_within_a_tenant_are_told_without_secrets() {
    let app = TestApp::start().await;
    let acme = tenant(&*app.db, "acme").await;
    plugin(&*app.db, acme.id, "orders").await;
    let owner = app.owner(acme.id).await;
    let base = "/api/v1/tenants/acme";
    let call = async |method: &str, path: &str, body: Value| {
        let body = (!body.is_null()).then_some(body);
        let answer = app.call(&owner, method, &format!("{base}{path}"), body).await;
        assert!(
            answer.status.is_success(),
            "{method} {path}: {}",
            answer.problem()
        );
        answer.body
    };
    call("PATCH", "/plugins/orders", json!({ "disabled": true })).await;
    call("PUT", "/plugins/orders/grants", json!({ "database": true })).await;
    call(
        "PUT",
        "/plugins/orders/config",
        json!({ "a": "half-a-secret", "b": "2" }),
    )
    .await;
    call("PUT", "/plugins/orders/config/a", json!({ "value": "3" })).await;
    call("DELETE", "/plugins/orders/config/b", Value::Null).await;
    call("PUT", "/secrets/k", json!({ "value": "hunter2" })).await;
    let key = call("POST", "/api-keys", json!({ "name": "shop", "scopes": ["x"] })).await;
    let token = call("POST", "/tokens", json!({ "name": "ci", "role": "viewer" })).await;
    let (key_id, token_id) = (key["id"].as_str().unwrap(), token["id"].as_str().unwrap());
    call("DELETE", &format!("/api-keys/{key_id}"), Value::Null).await;
    call("DELETE", &format!("/tokens/{token_id}"), Value::Null).await;

    let now = "2023-11-14T22:13:20.000Z";
    let mut told = told(&app, &owner, &format!("{base}/audit")).await;
    told.reverse();
    assert_eq!(
        told,
        [
            json!(["plugin.disable", { "disabled": false }, { "disabled": true }]),
            json!(["grants.put", { "database": false }, { "database": true }]),
            json!(["config.put", null, { "a": "set", "b": "set" }]),
            json!(["config.put", { "a": "set" }, { "a": "set" }]),
            json!(["config.delete", { "b": "set" }, null]),
            json!(["secret.put", null, { "updated_at": now }]),
            json!(["api-key.create", null, { "name": "shop", "scopes": ["x"], "expires_at": null }]),
            json!(["token.create", null, { "name": "ci", "role": "viewer", "expires_at": null }]),
            json!(["api-key.revoke", { "name": "shop", "revoked_at": null }, { "name": "shop", "revoked_at": now }]),
            json!(["token.revoke", { "name": "ci", "revoked_at": null }, { "name": "ci", "revoked_at": now }]),
        ]
    );
    let log = app.get(&owner, &format!("{base}/audit")).await.body.to_string();
    for secret in [
        "hunter2",
        "half-a-secret",
        key["credential"].as_str().unwrap(),
        token["credential"].as_str().unwrap(),
    ] {
        assert!(!log.contains(secret), "{log}");
    }
}

#[tokio::test]
async fn who_deleted_a_tenant_is_read_when_it_is_gone() {
    let app = TestApp::start().await;
    let operator = app.operator().await;
    let made = json!({ "name": "Ada" });
    let made = app.call(&operator, "POST", "/api/v1/tokens", Some(made)).await;
    let (ada, id) = (made.body["credential"].as_str().unwrap(), &made.body["id"]);
    let acme = tenant(&*app.db, "acme").await;
    let owner = app.owner(acme.id).await;
    let gone = app.call(ada, "DELETE", "/api/v1/tenants/acme", None).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    let deleted = app.get(&operator, "/api/v1/tenants/acme/audit").await;
    assert_eq!(deleted.body["items"][0]["action"], "tenant.delete");
    let own = app.get(&owner, "/api/v1/tenants/acme/audit").await;
    assert_eq!(own.status, StatusCode::UNAUTHORIZED);

    app.call(ada, "DELETE", "/api/v1/tenants/acme?purge=true", None)
        .await;
    let purged = app.get(&operator, "/api/v1/tenants/acme/audit").await;
    assert_eq!(purged.status, StatusCode::NOT_FOUND);
    for asked in [
        "tenant=acme",
        &format!("tenant={}", acme.id),
        "actor=Ada&action=tenant.*",
    ] {
        let found = app.get(&operator, &format!("/api/v1/audit?{asked}")).await;
        let items = found.body["items"].as_array().unwrap().iter();
        let items: Vec<&Value> = items.filter(|item| item["action"] != UNTOLD).collect();
        let actions: Vec<&str> = items
            .iter()
            .map(|item| item["action"].as_str().unwrap())
            .collect();
        assert_eq!(actions, ["tenant.purge", "tenant.delete"], "{asked}");
        for item in items {
            assert_eq!(
                (&item["tenant_name"], &item["actor_name"]),
                (&json!("acme"), &json!("Ada"))
            );
            assert_eq!((&item["actor"], &item["actor_kind"]), (id, &json!("token")));
            assert_eq!(item["tenant"], acme.id.to_string());
        }
    }
    let later = app
        .get(&operator, "/api/v1/audit?from=2030-01-01T00:00:00Z")
        .await;
    assert_eq!(later.body["items"], json!([]));
    let wrong = app.get(&operator, "/api/v1/audit?who=Ada").await;
    assert_eq!(wrong.body["code"], "invalid-request");
}
