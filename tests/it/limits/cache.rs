//! Tests of the cache limits, and that a tenant cannot evict another tenant's entries.

use serde_json::{Value, json};
use test_artifacts::CAPABILITIES;

use super::{around, bytes, usage};
use crate::app::{App, Reply, TestTenant, open_manifest};

async fn deploy<'a>(app: &'a App, tenant: &str) -> TestTenant<'a> {
    let tenant = app.tenant(tenant).await;
    tenant.deploy(CAPABILITIES, &open_manifest("caps", ""), &[]).await;
    tenant
}

async fn cache(app: &App, tenant: &str, input: Value) -> Reply {
    let call = app.post(&format!("/{tenant}/caps/cache")).json(&input);
    call.send().await.expect(200)
}

#[tokio::test]
pub async fn cache_size() {
    let app = App::start().await;
    let acme = deploy(&app, "acme").await;
    let set = async || {
        cache(
            &app,
            "acme",
            json!({ "call": "set", "key": "k", "value": "v".repeat(1_000) }),
        )
        .await
    };
    let needed = usage(&acme, &set().await, "cache_bytes").await;
    assert!(
        needed > 1_001,
        "what stands around an entry counts as well: {needed}"
    );
    for (limit, fits) in around(needed) {
        acme.limit(&json!({ "cache_size": bytes(limit) })).await;
        let held = usage(&acme, &set().await, "cache_bytes").await;
        assert_eq!(held, if fits { needed } else { 0 });
        let found = cache(&app, "acme", json!({ "call": "get", "key": "k" }))
            .await
            .json();
        assert_eq!(found["ok"].is_string(), fits, "{found}");
    }
}

#[tokio::test]
pub async fn cache_value() {
    let app = App::start().await;
    let acme = deploy(&app, "acme").await;
    for (limit, fits) in around(1_001) {
        acme.limit(&json!({ "cache_value": bytes(limit) })).await;
        let input = json!({ "call": "set", "key": "k", "value": "v".repeat(1_000) });
        let reply = cache(&app, "acme", input).await;
        if fits {
            assert_eq!(reply.json(), json!({ "ok": null }));
            assert_eq!(usage(&acme, &reply, "cache_value_bytes").await, 1_001);
        } else {
            assert_eq!(reply.json(), json!({ "error": "Error::TooLarge" }));
        }
    }
}
