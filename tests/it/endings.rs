//! Tests of unusual ends of an invocation: the caller disconnects, or the body is absent or large.

use std::path::Path;
use std::time::Duration;

use mortise::components::bundle::Bundle;
use serde_json::json;
use test_artifacts::{FAULTS, HELLO};

use crate::app::{App, open_manifest};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_used_for_a_caller_who_goes_away_is_recorded() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    acme.deploy(FAULTS, &open_manifest("faults", ""), &[]).await;
    let call = app.get("/acme/faults/sleep").send();
    assert!(
        tokio::time::timeout(Duration::from_millis(500), call)
            .await
            .is_err()
    );
    app.host.flush().await;
    let path = acme.path("/invocations");
    let records = app.admin("GET", &path).send().await.expect(200).json();
    let record = &records["items"][0];
    assert_eq!(
        [&record["status"], &record["code"], &record["blame"]],
        [&json!(499), &json!("abandoned"), &json!("client")]
    );
    assert!(record["usage"]["cpu_us"].as_u64().unwrap() > 0, "{record}");
    app.get("/acme/faults/fine").send().await.expect(200);
}

#[tokio::test]
async fn head_is_a_get_without_the_body() {
    let app = App::start().await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/hello");
    let component = std::fs::read(HELLO).unwrap();
    let bundled = Bundle::from_folder(&folder).unwrap().embed(&component).unwrap();
    app.tenant("acme").await.deploy_bundled(bundled).await;
    let get = app.get("/acme/hello/hello/Ada").send().await.expect(200);
    let head = app.call("HEAD", "/acme/hello/hello/Ada").send().await.expect(200);
    assert_eq!(head.header("content-type"), get.header("content-type"));
    assert_eq!(head.header("content-length"), get.body.len().to_string());
    assert!(head.body.is_empty());
}

#[tokio::test]
async fn a_response_may_be_larger_than_what_a_host_call_hands_over() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    acme.deploy(FAULTS, &open_manifest("faults", ""), &[]).await;
    acme.limit(&json!({ "host_call_bytes": "1MiB" })).await;
    let large = app.get("/acme/faults/large").send().await.expect(200);
    assert_eq!(large.body.len(), 3 << 20);

    acme.limit(&json!({ "response_body": "2MiB" })).await;
    let refused = app.get("/acme/faults/large").send().await;
    assert_eq!(refused.problem(), (502, "plugin-invalid-response".to_owned()));
}
