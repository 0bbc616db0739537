//! Tests of receivers that fail: retries, breakers, endpoints that are disabled, and replays.

use serde_json::json;

use super::receiver::Receiver;
use super::{PUBLISHES, Plugin, Webhooks, app, later, publish};

#[tokio::test]
async fn a_failed_delivery_is_sent_again_with_the_same_id_and_a_new_signature() {
    let app = app().await;
    let receiver = Receiver::start().await;
    let plugin = Plugin::deploy(&app, PUBLISHES).await;
    let webhooks = Webhooks::of(&app, &plugin.tenant);
    let endpoint = webhooks.endpoint(&receiver.url("/"), &[">"]).await;
    let secret = endpoint["secret"].as_str().unwrap();
    receiver.answers(500, &[]);
    publish(&plugin, "order.created", &json!({})).await;
    let failed = webhooks.until_tried(1).await;
    assert_eq!(failed["state"], "waiting");
    assert!(
        failed["error"].as_str().unwrap().contains("answered 500"),
        "{failed}"
    );
    app.pass().await;
    assert_eq!(receiver.received().len(), 1, "it is not due yet");
    receiver.answers(200, &[]);
    later(&app, 6).await;
    webhooks.until("delivered", 1).await;
    let received = receiver.received();
    let [first, second] = &received[..] else {
        panic!("{received:?}")
    };
    assert_eq!(first.header("webhook-id"), second.header("webhook-id"));
    assert_eq!(first.body, second.body);
    assert_ne!(
        first.header("webhook-timestamp"),
        second.header("webhook-timestamp")
    );
    second.is_signed_with(&[secret]);
    let found = webhooks
        .read(&format!("/endpoints/{}", endpoint["id"].as_str().unwrap()))
        .await;
    assert!(
        found.get("failing_since").is_none(),
        "one success is enough: {found}"
    );
}

#[tokio::test]
async fn a_redirect_is_a_failure_and_is_not_followed() {
    let app = app().await;
    let receiver = Receiver::start().await;
    let plugin = Plugin::deploy(&app, PUBLISHES).await;
    let webhooks = Webhooks::of(&app, &plugin.tenant);
    webhooks.endpoint(&receiver.url("/"), &[">"]).await;
    receiver.answers(307, &[("location", "/elsewhere")]);
    publish(&plugin, "order.created", &json!({})).await;
    let failed = webhooks.until_tried(1).await;
    assert_eq!(
        (&failed["state"], &failed["status"]),
        (&json!("waiting"), &json!(307))
    );
    assert_eq!(receiver.received().len(), 1);
}

#[tokio::test]
async fn retry_after_is_honoured_up_to_twice_the_wait() {
    let app = app().await;
    let receiver = Receiver::start().await;
    let plugin = Plugin::deploy(&app, PUBLISHES).await;
    let webhooks = Webhooks::of(&app, &plugin.tenant);
    webhooks.endpoint(&receiver.url("/"), &[">"]).await;
    receiver.answers(429, &[("retry-after", "3600")]);
    publish(&plugin, "order.created", &json!({})).await;
    webhooks.until_tried(1).await;
    receiver.answers(200, &[]);
    later(&app, 9).await;
    assert_eq!(receiver.received().len(), 1);
    later(&app, 1).await;
    webhooks.until("delivered", 1).await;
}

#[tokio::test]
async fn an_endpoint_that_is_gone_is_disabled_and_told_of() {
    let app = app().await;
    let (receiver, other) = (Receiver::start().await, Receiver::start().await);
    let plugin = Plugin::deploy(&app, PUBLISHES).await;
    let webhooks = Webhooks::of(&app, &plugin.tenant);
    let endpoint = webhooks.endpoint(&receiver.url("/"), &[">"]).await;
    webhooks.endpoint(&other.url("/"), &["webhook.>"]).await;
    receiver.answers(410, &[]);
    publish(&plugin, "order.created", &json!({})).await;
    let failed = webhooks.until("failed", 1).await;
    let told = webhooks.until("delivered", 1).await;
    assert_eq!(told[0]["type"], "webhook.endpoint.disabled");
    let id = endpoint["id"].as_str().unwrap();
    let found = webhooks.read(&format!("/endpoints/{id}")).await;
    assert_eq!(found["enabled"], false);
    assert!(
        found["disabled_because"].as_str().unwrap().contains("410"),
        "{found}"
    );
    let body: serde_json::Value = serde_json::from_str(&other.received()[0].body).unwrap();
    assert_eq!(
        (&body["data"]["endpoint"], &body["source"]),
        (&json!(id), &json!("mortise"))
    );
    let audit = plugin.read("/audit?action=webhook.endpoint.disable").await;
    assert_eq!(audit["items"][0]["subject"], id);
    // It can be enabled again, and what failed can be replayed.
    receiver.answers(200, &[]);
    webhooks.patch(id, &json!({ "enabled": true })).await;
    let failed = failed[0]["id"].as_str().unwrap();
    webhooks.post(&format!("/deliveries/{failed}/replay"), None).await;
    webhooks.until("delivered", 2).await;
}

#[tokio::test]
async fn after_120_hours_of_only_failures_an_endpoint_is_disabled() {
    let app = app().await;
    let receiver = Receiver::start().await;
    let plugin = Plugin::deploy(&app, PUBLISHES).await;
    let webhooks = Webhooks::of(&app, &plugin.tenant);
    let endpoint = webhooks.endpoint(&receiver.url("/"), &["order.*"]).await;
    receiver.answers(500, &[]);
    publish(&plugin, "order.created", &json!({ "n": 1 })).await;
    webhooks.until_tried(1).await;
    app.advance(std::time::Duration::from_secs(120 * 60 * 60));
    publish(&plugin, "order.created", &json!({ "n": 2 })).await;
    let id = endpoint["id"].as_str().unwrap();
    crate::jobs::eventually(async || {
        let found = webhooks.read(&format!("/endpoints/{id}")).await;
        if found["enabled"] == false {
            Ok(())
        } else {
            Err(found)
        }
    })
    .await;
    // What waits is given up, and can be replayed.
    later(&app, 60 * 60).await;
    webhooks.until("cancelled", 2).await;
}

#[tokio::test]
async fn a_dead_endpoint_is_not_hit_by_every_delivery() {
    let app = app().await;
    let receiver = Receiver::start().await;
    let plugin = Plugin::deploy(&app, PUBLISHES).await;
    let webhooks = Webhooks::of(&app, &plugin.tenant);
    webhooks.endpoint(&receiver.url("/"), &[">"]).await;
    receiver.answers(500, &[]);
    for number in 0..5 {
        publish(&plugin, "order.created", &json!({ "n": number })).await;
        webhooks.until_tried(1).await;
    }
    assert_eq!(receiver.received().len(), 5);
    publish(&plugin, "order.created", &json!({ "n": "held" })).await;
    plugin.until_idle().await;
    assert_eq!(receiver.received().len(), 5, "the circuit is open");
    let held = &webhooks.deliveries().await[0];
    assert_eq!(
        (&held["state"], &held["attempts"]),
        (&json!("waiting"), &json!(0))
    );
    receiver.answers(200, &[]);
    // The waits are spread over up to a minute, and one delivery at a time is the probe.
    for _ in 0..10 {
        later(&app, 65).await;
        plugin.until_idle().await;
    }
    webhooks.until("delivered", 6).await;
}

#[tokio::test]
async fn what_failed_for_good_is_replayed_since_a_time() {
    let app = app().await;
    let receiver = Receiver::start().await;
    let plugin = Plugin::deploy(&app, PUBLISHES).await;
    let webhooks = Webhooks::of(&app, &plugin.tenant);
    let endpoint = webhooks.endpoint(&receiver.url("/"), &[">"]).await;
    receiver.answers(500, &[]);
    publish(&plugin, "order.created", &json!({})).await;
    for attempt in 1..=8 {
        webhooks.until_tried(attempt).await;
        later(&app, 12 * 60 * 60).await;
    }
    webhooks.until("failed", 1).await;
    let dead = plugin.read("/dead-letters").await;
    assert_eq!(dead["items"][0]["plugin"], "-");
    receiver.answers(200, &[]);
    let id = endpoint["id"].as_str().unwrap();
    let replayed = webhooks.post(&format!("/endpoints/{id}/replay"), None).await;
    assert_eq!(replayed["replayed"], 1);
    let delivered = webhooks.until("delivered", 1).await;
    assert_eq!(delivered[0]["attempts"], 9);
}
