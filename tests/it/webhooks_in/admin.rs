//! Tests of received webhooks in the admin API: content, roles, replay, erasure and retention.

use std::time::Duration;

use serde_json::{Value, json};

use super::{deliver, deploy, event, received};
use crate::app::App;
use crate::jobs::Plugin;

/// The id of the only received webhook.
async fn id(plugin: &Plugin<'_>) -> String {
    let received = received(plugin).await;
    assert_eq!(received.len(), 1);
    received[0]["id"].as_str().unwrap().to_owned()
}

/// A token of the tenant with this role.
async fn token(plugin: &Plugin<'_>, role: &str) -> String {
    let body = json!({ "name": role, "role": role });
    let call = plugin.app.admin("POST", &plugin.tenant.path("/tokens"));
    let made = call.json(&body).send().await.expect(201).json();
    made["credential"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn developers_see_what_the_sender_wrote_and_viewers_do_not() {
    let app = App::start().await;
    let plugin = deploy(&app).await;
    deliver(&plugin, &event("evt_1")).await.expect(200);
    let path = plugin
        .tenant
        .path(&format!("/webhooks/received/{}", id(&plugin).await));
    for (role, sees) in [("viewer", false), ("developer", true)] {
        let token = token(&plugin, role).await;
        let shown = app.admin_as(&token, "GET", &path).send().await.expect(200);
        assert_eq!(shown.text().contains("evt_1"), sees, "{}", shown.text());
        assert_eq!(shown.json()["content_hidden"], !sees);
        let list = plugin.tenant.path("/webhooks/received");
        let list = app.admin_as(&token, "GET", &list).send().await.expect(200);
        assert_eq!(list.text().contains("evt_1"), sees, "{}", list.text());
        let webhooks = plugin.tenant.path("/webhooks");
        app.admin_as(&token, "GET", &webhooks).send().await.expect(200);
        for (method, path) in [("POST", format!("{path}/replay")), ("DELETE", path.clone())] {
            if !sees {
                let refused = app.admin_as(&token, method, &path).send().await;
                refused.expect_problem(403, "insufficient-scope");
            }
        }
    }
    let shown = app.admin("GET", &path).send().await.expect(200).json();
    assert_eq!(shown["body"], event("evt_1"));
    assert_eq!(shown["headers"][0][0], "stripe-signature");
}

#[tokio::test]
async fn webhooks_are_listed_with_their_url() {
    let app = App::start().await;
    let plugin = deploy(&app).await;
    deliver(&plugin, &event("evt_1")).await.expect(200);
    let webhooks = plugin.read("/webhooks").await;
    let webhook = &webhooks["items"][0];
    let url = webhook["url"].as_str().unwrap();
    assert!(url.ends_with("/acme/-/webhooks/p/in"), "{url}");
    assert_eq!(
        (&webhook["scheme"], &webhook["job"]),
        (&json!("stripe"), &json!("work"))
    );
    assert_eq!(
        webhook["counts"],
        json!({ "stored": 1, "repeated": 0, "refused": 0 })
    );
    assert_eq!(webhooks["received"], 1);
    assert_eq!(webhooks["bytes"], received(&plugin).await[0]["bytes"]);
}

#[tokio::test]
async fn a_received_webhook_is_replayed() {
    let app = App::start().await;
    let plugin = deploy(&app).await;
    plugin.change("POST", "/plugins/p/jobs/pause").await.expect(200);
    deliver(&plugin, &event("evt_1")).await.expect(200);
    let path = format!("/webhooks/received/{}/replay", id(&plugin).await);
    let live = plugin.change("POST", &path).await.expect(200).json();
    assert_eq!(live["added"], false);
    plugin.change("DELETE", "/plugins/p/jobs/pause").await.expect(200);
    plugin.settle().await;
    let replayed = plugin.change("POST", &path).await.expect(201).json();
    assert_ne!(replayed["job_id"], live["job_id"]);
    assert_eq!(received(&plugin).await[0]["job_id"], replayed["job_id"]);
    plugin.settle().await;
    assert_eq!(plugin.effects().await, ["evt_1", "evt_1"]);
    let audit = plugin.read("/audit?action=webhook.replay").await;
    assert_eq!(audit["items"].as_array().unwrap().len(), 1);
    // A version without the webhook has no job for it.
    plugin.update("2.0.0", "[[job]]\nname = 'work'\n").await;
    let refused = plugin.change("POST", &path).await;
    refused.expect_problem(409, "conflict");
}

#[tokio::test]
async fn a_deleted_webhook_is_gone_and_its_job_says_so() {
    let app = App::start().await;
    let plugin = deploy(&app).await;
    plugin.change("POST", "/plugins/p/jobs/pause").await.expect(200);
    deliver(&plugin, &event("evt_1")).await.expect(200);
    let path = format!("/webhooks/received/{}", id(&plugin).await);
    plugin.change("DELETE", &path).await.expect(204);
    for (method, below) in [("GET", ""), ("DELETE", ""), ("POST", "/replay")] {
        let missing = plugin.change(method, &format!("{path}{below}")).await;
        missing.expect_problem(404, "not-found");
    }
    plugin.change("DELETE", "/plugins/p/jobs/pause").await.expect(200);
    plugin.settle().await;
    app.pass().await;
    plugin.settle().await;
    let dead = plugin.jobs("state=dead").await;
    let error = dead[0]["error"].as_str().unwrap();
    assert!(error.contains("the received webhook was deleted"), "{error}");
    // The message counts as new.
    deliver(&plugin, &event("evt_1")).await.expect(200);
    plugin.settle().await;
    assert_eq!(plugin.effects().await, ["evt_1"]);
}

#[tokio::test]
async fn received_webhooks_are_deleted_after_their_retention() {
    let app = App::start().await;
    let plugin = deploy(&app).await;
    deliver(&plugin, &event("evt_1")).await.expect(200);
    plugin.settle().await;
    plugin.change("POST", "/plugins/p/jobs/pause").await.expect(200);
    deliver(&plugin, &event("evt_2")).await.expect(200);
    app.pass().await;
    app.advance(Duration::from_secs(7 * 24 * 60 * 60 + 1));
    app.pass().await;
    let left: Vec<Value> = received(&plugin).await;
    let left: Vec<&Value> = left.iter().map(|received| &received["message"]).collect();
    assert_eq!(left, ["evt_2"], "its job still waits");
}
