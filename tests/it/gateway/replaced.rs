//! Tests of a plugin that is replaced or deleted during a request.

use std::time::Duration;

use axum::body::{Body, Bytes};
use futures_util::stream;
use serde_json::json;
use test_artifacts::ECHO;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::app::{App, Reply, open_manifest};

/// A component without a version is removed at this age.
const MIN_AGE: Duration = Duration::from_secs(60);

/// A request that is located already, and waits for its body.
async fn waiting(app: &App) -> (JoinHandle<Reply>, oneshot::Sender<Bytes>) {
    let (sender, body) = oneshot::channel::<Bytes>();
    let body = Body::from_stream(stream::once(body));
    let request = tokio::spawn(app.post("/acme/echo/x").body(body).send());
    app.until_gauges(|gauges| gauges["request_body_bytes"] != 0).await;
    (request, sender)
}

#[tokio::test]
async fn a_request_to_a_version_that_was_removed_meanwhile_may_try_again() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    acme.limit(&json!({ "versions_kept": 2 })).await;
    let manifest = |version: &str| open_manifest("echo", "").replace("1.0.0", version);
    acme.deploy(ECHO, &manifest("1.0.0"), &[]).await;
    let (request, body) = waiting(&app).await;
    for version in ["1.0.1", "1.0.2", "1.0.3"] {
        app.advance(Duration::from_secs(1));
        acme.deploy(ECHO, &manifest(version), &[]).await;
    }
    app.advance(MIN_AGE);
    app.host.maintain().await;
    body.send("late".into()).unwrap();
    let reply = request.await.unwrap().expect_problem(503, "overloaded");
    assert_eq!(reply.header("retry-after"), "1");
    app.post("/acme/echo/x").send().await.expect(200);
}

#[tokio::test]
async fn a_request_to_a_plugin_that_was_deleted_meanwhile_finds_nothing() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    acme.deploy(ECHO, &open_manifest("echo", ""), &[]).await;
    let (request, body) = waiting(&app).await;
    let path = acme.path("/plugins/echo?purge=true");
    app.admin("DELETE", &path).send().await.expect(204);
    app.advance(MIN_AGE);
    app.host.maintain().await;
    body.send("late".into()).unwrap();
    request.await.unwrap().expect_problem(404, "not-found");
}
