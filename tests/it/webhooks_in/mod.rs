//! Tests of received webhooks with a whole host: signatures, repeats, jobs, the admin API.

mod admin;
mod signatures;

use hmac::{Hmac, Mac};
use mortise::domain::clock::Clock as _;
use serde_json::{Value, json};
use sha2::Sha256;
use test_artifacts::BACKGROUND_0_1;

use crate::app::{App, Reply};
use crate::jobs::{Plugin, effect, manifest};

/// The value of the secret `hook`.
const SECRET: &str = "whsec_test";

/// A webhook of Stripe with two secrets, and its job.
pub const SECTIONS: &str = "[[job]]\nname = 'work'\n[[webhook]]\nname = 'in'\nscheme = 'stripe'\n\
    secrets = ['hook', 'hook-next']\njob = 'work'\n";

/// The plugin `p` of the tenant `acme` with a webhook whose secret is set.
async fn deploy(app: &App) -> Plugin<'_> {
    let plugin = Plugin::deploy(app, SECTIONS).await;
    plugin.tenant.secret("hook", SECRET).await;
    plugin
}

/// The present time in seconds.
fn seconds(app: &App) -> i64 {
    app.clock.now().0 / 1_000
}

/// The value of `Stripe-Signature`.
fn signature(key: &str, seconds: i64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(format!("{seconds}.{body}").as_bytes());
    format!("t={seconds},v1={}", hex::encode(mac.finalize().into_bytes()))
}

/// Sends a body to the webhook `in`, with this signature.
async fn send(plugin: &Plugin<'_>, signature: &str, body: &str) -> Reply {
    let path = format!("/{}/-/webhooks/p/in", plugin.tenant.name);
    let call = plugin.app.post(&path).header("stripe-signature", signature);
    call.body(body.to_owned()).send().await
}

/// Sends a body to the webhook `in`, signed now.
pub async fn deliver(plugin: &Plugin<'_>, body: &str) -> Reply {
    let signature = signature(SECRET, seconds(plugin.app), body);
    send(plugin, &signature, body).await
}

/// An event whose job writes an effect.
pub fn event(id: &str) -> String {
    json!({ "id": id, "do": [effect(id)] }).to_string()
}

/// The received webhooks, the newest first.
pub async fn received(plugin: &Plugin<'_>) -> Vec<Value> {
    let page = plugin.read("/webhooks/received").await;
    page["items"].as_array().unwrap().clone()
}

/// What the admin API shows of the webhook `in`.
async fn webhook(plugin: &Plugin<'_>) -> Value {
    plugin.read("/webhooks").await["items"][0].clone()
}

#[tokio::test]
async fn a_webhook_is_answered_and_becomes_a_job_with_body_and_headers() {
    let app = App::start().await;
    let plugin = deploy(&app).await;
    let answer = deliver(&plugin, &event("evt_1")).await.expect(200);
    assert_eq!(
        (answer.text().as_str(), answer.header("content-type")),
        ("{}", "application/json")
    );
    plugin.settle().await;
    let rows = plugin.query("SELECT key, attempt, origin FROM effects").await;
    assert_eq!((&rows[0][0], &rows[0][1]), (&json!("evt_1"), &json!(1)));
    let origin: Value = serde_json::from_str(rows[0][2].as_str().unwrap()).unwrap();
    assert_eq!(
        (&origin["kind"], &origin["name"]),
        (&json!("webhook"), &json!("in"))
    );
    assert_eq!(origin["headers"][0][0], "stripe-signature");
    let jobs = plugin.jobs("state=done").await;
    let job = plugin.job(jobs[0]["id"].as_str().unwrap()).await;
    let stored = &received(&plugin).await[0];
    assert_eq!(
        job["origin"],
        json!({ "kind": "webhook", "name": "in", "received": stored["id"] })
    );
    assert_eq!(job["payload"], stored["id"], "the body is stored once");
    let text = app.metrics().await.text();
    assert!(
        text.contains("mortise_webhooks_received_total{result=\"stored\"} 1"),
        "{text}"
    );
}

#[tokio::test]
async fn no_instance_runs_before_the_answer() {
    let app = App::start().await;
    let plugin = deploy(&app).await;
    plugin.change("POST", "/plugins/p/jobs/pause").await.expect(200);
    deliver(&plugin, &event("evt_1")).await.expect(200);
    app.pass().await;
    app.host.flush().await;
    let records = plugin.read("/invocations").await;
    assert_eq!(records["items"], json!([]));
    plugin.change("DELETE", "/plugins/p/jobs/pause").await.expect(200);
    plugin.settle().await;
    assert_eq!(plugin.effects().await, ["evt_1"]);
}

#[tokio::test]
async fn a_message_that_is_repeated_is_stored_once() {
    let app = App::start().await;
    let plugin = deploy(&app).await;
    for _ in 0..3 {
        deliver(&plugin, &event("evt_1")).await.expect(200);
        plugin.settle().await;
        app.advance(std::time::Duration::from_secs(3_600));
    }
    assert_eq!(plugin.effects().await, ["evt_1"]);
    let stored = received(&plugin).await;
    assert_eq!((stored.len(), &stored[0]["repeats"]), (1, &json!(2)));
    assert_eq!(stored[0]["message"], "evt_1");
    assert_ne!(stored[0]["received_at"], stored[0]["last_at"]);
}

#[tokio::test]
async fn a_job_of_a_webhook_that_fails_runs_again() {
    let app = App::start().await;
    let plugin = deploy(&app).await;
    let fails = json!({ "fail": ["retry-after", 1_000, "later"], "attempts": [1] });
    let body = json!({ "id": "evt_1", "do": [fails, effect("done")] }).to_string();
    deliver(&plugin, &body).await.expect(200);
    plugin.settle().await;
    assert!(plugin.effects().await.is_empty());
    app.advance(std::time::Duration::from_secs(1));
    plugin.settle().await;
    assert_eq!(plugin.effects().await, ["done"]);
}

#[tokio::test]
async fn a_suspended_tenant_and_a_disabled_plugin_receive_webhooks() {
    let app = App::start().await;
    let plugin = deploy(&app).await;
    plugin.tenant.suspend(true).await;
    deliver(&plugin, &event("evt_1")).await.expect(200);
    assert_eq!(plugin.jobs("state=ready,held").await.len(), 1);
    plugin.tenant.suspend(false).await;
    plugin.settle().await;
    assert_eq!(plugin.effects().await, ["evt_1"]);
    plugin.tenant.disable("p", true).await;
    deliver(&plugin, &event("evt_2")).await.expect(200);
    assert_eq!(plugin.jobs("state=ready,held").await.len(), 1);
    plugin.tenant.disable("p", false).await;
    plugin.settle().await;
    assert_eq!(plugin.effects().await, ["evt_1", "evt_2"]);
}

#[tokio::test]
async fn an_address_that_is_no_webhook_is_not_found() {
    let app = App::start().await;
    let plugin = deploy(&app).await;
    for path in [
        "/acme/-/webhooks/p/other",
        "/acme/-/webhooks/other/in",
        "/other/-/webhooks/p/in",
        "/acme/-/webhooks/p",
        "/acme/-/webhooks/p/in/more",
        "/acme/-/webhooks",
        "/acme/-/other",
        "/acme/-/",
    ] {
        app.post(path).send().await.expect_problem(404, "not-found");
    }
    let wrong = app.get("/acme/-/webhooks/p/in").send().await;
    let wrong = wrong.expect_problem(405, "method-not-allowed");
    assert_eq!(wrong.header("allow"), "POST");
    assert!(received(&plugin).await.is_empty());
}

#[tokio::test]
async fn a_webhook_that_the_queue_has_no_room_for_is_to_be_sent_again() {
    let app = App::start().await;
    let plugin = deploy(&app).await;
    plugin.tenant.limit(&json!({ "job_backlog": 1 })).await;
    plugin.change("POST", "/plugins/p/jobs/pause").await.expect(200);
    deliver(&plugin, &event("evt_1")).await.expect(200);
    let full = deliver(&plugin, &event("evt_2")).await;
    let full = full.expect_problem(503, "overloaded");
    assert_eq!(full.header("retry-after"), "60");
    plugin.change("DELETE", "/plugins/p/jobs/pause").await.expect(200);
    plugin.settle().await;
    app.pass().await;
    deliver(&plugin, &event("evt_2")).await.expect(200);
    plugin.settle().await;
    assert_eq!(plugin.effects().await, ["evt_1", "evt_2"]);
}

#[tokio::test]
async fn a_plugin_of_contract_0_1_gets_the_body() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    let tables = (
        "migrations/0001_effects.sql",
        "CREATE TABLE effects (n INTEGER PRIMARY KEY, key TEXT NOT NULL, job TEXT, attempt INTEGER, origin TEXT);",
    );
    acme.deploy(BACKGROUND_0_1, &manifest("p", SECTIONS), &[tables])
        .await;
    acme.secret("hook", SECRET).await;
    let plugin = Plugin::known(&app);
    deliver(&plugin, &event("evt_1")).await.expect(200);
    plugin.settle().await;
    let rows = plugin.query("SELECT key, origin FROM effects").await;
    assert_eq!(rows[0][0], "evt_1");
    assert!(rows[0][1].as_str().unwrap().contains("enqueued"), "{rows:?}");
}
