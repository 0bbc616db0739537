//! Tests of API keys: a change takes effect without rebuilding the tenant.

use std::sync::Arc;

use axum::http::StatusCode;
use serde_json::json;

use super::TestApp;
use crate::domain::clock::Timestamp;
use crate::domain::credential::Credential;
use crate::domain::id::ApiKeyId;

#[tokio::test]
async fn a_change_to_a_key_takes_effect_without_building_the_tenant_again() {
    let app = TestApp::start().await;
    let operator = app.operator().await;
    let made = app
        .call(
            &operator,
            "POST",
            "/api/v1/tenants",
            Some(json!({ "name": "acme" })),
        )
        .await;
    assert_eq!(made.status, StatusCode::CREATED);
    let before = app.routing.tenant("acme").unwrap();
    let keys = "/api/v1/tenants/acme/api-keys";
    let made = app
        .call(
            &operator,
            "POST",
            keys,
            Some(json!({ "name": "shop", "scopes": ["a"] })),
        )
        .await;
    assert_eq!(made.status, StatusCode::CREATED);
    let credential = Credential::<ApiKeyId>::parse(made.body["credential"].as_str().unwrap()).unwrap();
    let works = || {
        let tenant = app.routing.tenant("acme").unwrap();
        assert!(Arc::ptr_eq(&tenant, &before), "the tenant was built again");
        tenant.api_keys.authenticate(&credential, Timestamp(0)).is_some()
    };
    assert!(works());
    let path = format!("{keys}/{}", made.body["id"].as_str().unwrap());
    let revoked = app.call(&operator, "DELETE", &path, None).await;
    assert_eq!(revoked.status, StatusCode::NO_CONTENT);
    assert!(!works());

    // Rebuilding the tenant keeps its keys.
    let made = app
        .call(&operator, "POST", keys, Some(json!({ "name": "second" })))
        .await;
    let second = Credential::<ApiKeyId>::parse(made.body["credential"].as_str().unwrap()).unwrap();
    let patch = Some(json!({ "suspended": true }));
    app.call(&operator, "PATCH", "/api/v1/tenants/acme", patch).await;
    let after = app.routing.tenant("acme").unwrap();
    assert!(!Arc::ptr_eq(&after, &before));
    assert!(after.api_keys.authenticate(&second, Timestamp(0)).is_some());
    assert!(after.api_keys.authenticate(&credential, Timestamp(0)).is_none());
}
