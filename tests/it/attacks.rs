//! Tests of a plugin that demands too much, with extreme arguments.

use serde_json::{Value, json};
use test_artifacts::ATTACKS;

use crate::app::{App, Reply, TestTenant, open_manifest};

const NOTES: &str = "CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT);";

async fn deploy(app: &App) -> TestTenant<'_> {
    let acme = app.tenant("acme").await;
    let manifest = open_manifest("attacks", "[database]\nmigrations = 'migrations'\n");
    acme.deploy(ATTACKS, &manifest, &[("migrations/0001_notes.sql", NOTES)])
        .await;
    acme
}

async fn call(app: &App, path: &str, input: Value) -> Reply {
    app.post(&format!("/acme/attacks{path}"))
        .json(&input)
        .send()
        .await
}

#[tokio::test]
async fn extreme_arguments_are_answered_and_break_nothing() {
    let app = App::start().await;
    let acme = deploy(&app).await;
    acme.limit(&json!({ "cpu": "1s" })).await;
    let reply = call(&app, "/extremes", json!({})).await.expect(200);
    assert!(reply.json()["made"].as_u64().unwrap() > 80, "{}", reply.text());
}

#[tokio::test]
async fn one_argument_has_a_size() {
    let app = App::start().await;
    let acme = deploy(&app).await;
    acme.limit(&json!({ "cache_value": "16MiB", "response_body": "1MiB" }))
        .await;
    let argument = async |bytes: u32| call(&app, "/argument", json!({ "bytes": bytes })).await;
    argument(1 << 20).await.expect(200);
    argument(8 << 20).await.expect_problem(502, "plugin-limit");
    let reply = call(&app, "/list", json!({ "items": 200_000 })).await;
    reply.expect_problem(502, "plugin-limit");
}

#[tokio::test]
async fn the_clock_has_steps_of_a_millisecond() {
    let app = App::start().await;
    let acme = deploy(&app).await;
    acme.limit(&json!({ "cpu": "100ms" })).await;
    // The tests' clock does not advance by itself, so the plugin waits in vain.
    call(&app, "/clock", json!({}))
        .await
        .expect_problem(504, "plugin-cpu");
}
