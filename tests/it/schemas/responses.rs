//! Tests of expensive response bodies.

use serde_json::{Value, json};

use super::{deploy_promised, letters, patterns};
use crate::app::App;

/// The schema of a response with the request's body in `body.text`.
fn echoed(schema: Value) -> Value {
    json!({ "properties": { "body": { "properties": { "text": schema } } } })
}

#[tokio::test]
async fn a_check_that_takes_too_long_is_ended_and_its_author_told() {
    let app = App::start().await;
    let acme = deploy_promised(&app, "acme", &echoed(patterns(20, 500))).await;
    acme.limit(&json!({ "cpu": "200ms", "wall": "60s", "memory": "128MiB" }))
        .await;
    let reply = app
        .post("/acme/p/checked")
        .json(&json!(letters(500_000)))
        .send()
        .await;
    let reply = reply.expect_problem(504, "plugin-cpu");
    let log = acme.log(&reply).await;
    let message = log[0]["message"].as_str().unwrap();
    assert!(
        message.contains("checking the body against its schema took more"),
        "{message}"
    );
    let record = acme.invocation(&reply).await;
    assert!(record["usage"]["cpu_us"].as_u64().unwrap() >= 200_000, "{record}");
    assert_eq!(record["blame"], "limit");
}

#[tokio::test]
async fn a_large_response_is_checked() {
    let app = App::start().await;
    let acme = deploy_promised(&app, "acme", &echoed(json!({ "maxLength": 900_000 }))).await;
    acme.limit(&json!({ "memory": "128MiB" })).await;
    let post = |length: usize| {
        app.post("/acme/p/checked")
            .json(&json!("x".repeat(length)))
            .send()
    };
    post(10).await.expect(200);
    post(899_000).await.expect(200);
    let reply = post(901_000).await.expect_problem(502, "plugin-invalid-response");
    let message = acme.log(&reply).await[0]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("at `/body/text`"), "{message}");
}
