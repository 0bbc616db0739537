//! Tests of the context capability.

use serde_json::json;
use test_artifacts::CAPABILITIES;

use super::deploy;
use crate::app::App;

#[tokio::test]
async fn a_public_call_has_no_principal() {
    let app = App::start().await;
    deploy(&app, "").await;
    let reply = app.get("/acme/caps/context").send().await.expect(200);
    let context = reply.json();
    assert_eq!(context["id"], reply.header("x-request-id"));
    assert_eq!(context["tenant"], "acme");
    assert_eq!(context["plugin"], "caps");
    assert_eq!(context["version"], "1.0.0");
    assert_eq!(context["trigger"], "Trigger::Http");
    assert_eq!(context["principal"], json!(null));
    assert_eq!(context["traceparent"], json!(null));
    let remaining = context["remaining_ms"].as_u64().unwrap();
    assert!((1..=5_000).contains(&remaining), "{remaining}");
}

#[tokio::test]
async fn a_caller_is_known_by_its_key_and_scopes() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    let manifest = "
        [plugin]
        name = 'caps'
        version = '2.1.0-beta'
        [[route]]
        method = 'GET'
        path = '/context'
        auth = ['api-key']
        [limits]
        wall = '700ms'
    ";
    acme.deploy(CAPABILITIES, manifest, &[]).await;
    let body = json!({ "name": "test", "scopes": ["a", "b:c"] });
    let (id, key) = acme.key_from(&body).await;
    let reply = app
        .get("/acme/caps/context")
        .bearer(&key)
        .send()
        .await
        .expect(200);
    let context = reply.json();
    assert_eq!(
        context["principal"],
        json!({
            "kind": "api-key", "id": id, "scopes": ["a", "b:c"], "claims": "{}", "customer": null, "attributes": "{}",
        })
    );
    assert_eq!(context["version"], "2.1.0-beta");
    assert!(context["remaining_ms"].as_u64().unwrap() <= 700);
}
