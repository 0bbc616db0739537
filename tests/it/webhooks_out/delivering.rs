//! Tests of deliveries that succeed: what is sent, to whom, and with which signatures.

use serde_json::{Value, json};

use super::receiver::Receiver;
use super::{PUBLISHES, Plugin, Webhooks, app, later, publish};
use crate::app::START;

#[tokio::test]
async fn an_event_is_delivered_once_to_each_endpoint_of_its_topic() {
    let app = app().await;
    let receiver = Receiver::start().await;
    let plugin = Plugin::deploy(&app, PUBLISHES).await;
    let webhooks = Webhooks::of(&app, &plugin.tenant);
    let endpoint = webhooks
        .endpoint(&receiver.url("/a"), &["order.*", "*.created"])
        .await;
    webhooks.endpoint(&receiver.url("/b"), &["payment.>"]).await;
    let id = publish(&plugin, "order.created", &json!({ "order": 7 })).await;
    let delivered = webhooks.until("delivered", 1).await;
    assert_eq!(delivered[0]["event"], id);
    let received = receiver.received();
    assert_eq!(received.len(), 1);
    let received = &received[0];
    assert_eq!(received.header("webhook-id"), id);
    assert_eq!(received.header("content-type"), "application/json");
    assert_eq!(
        received.header("webhook-timestamp"),
        (START.0 / 1_000).to_string()
    );
    received.is_signed_with(&[endpoint["secret"].as_str().unwrap()]);
    let body: Value = serde_json::from_str(&received.body).unwrap();
    assert_eq!(
        body,
        json!({
            "id": id, "type": "order.created", "source": "p", "timestamp": START.to_string(), "data": { "order": 7 },
        })
    );
    let shown = webhooks.until_tried(1).await;
    assert_eq!(shown["body"], received.body);
    let attempt = &shown["attempts"][0];
    assert_eq!(
        (&attempt["status"], &attempt["answer"]),
        (&json!(200), &json!("answer 200 OK"))
    );
    let job = plugin.job(delivered[0]["job"].as_str().unwrap()).await;
    assert_eq!((&job["plugin"], &job["job"]), (&json!("-"), &json!("delivery")));
}

#[tokio::test]
async fn an_event_of_a_transaction_is_delivered_if_it_commits() {
    let app = app().await;
    let receiver = Receiver::start().await;
    let plugin = Plugin::deploy(&app, PUBLISHES).await;
    let webhooks = Webhooks::of(&app, &plugin.tenant);
    webhooks.endpoint(&receiver.url("/"), &[">"]).await;
    let event = json!({ "publish": { "topic": "order.created", "payload": {} } });
    plugin
        .step(json!({ "transaction": [event.clone()], "end": "rollback" }))
        .await;
    let ids = plugin.step(json!({ "transaction": [event] })).await;
    app.pass().await;
    let delivered = webhooks.until("delivered", 1).await;
    assert_eq!(delivered[0]["event"], ids[0]);
    assert_eq!(receiver.received().len(), 1);
}

#[tokio::test]
async fn both_secrets_sign_until_the_grace_period_ends() {
    let app = app().await;
    let receiver = Receiver::start().await;
    let plugin = Plugin::deploy(&app, PUBLISHES).await;
    let webhooks = Webhooks::of(&app, &plugin.tenant);
    let endpoint = webhooks.endpoint(&receiver.url("/"), &[">"]).await;
    let (id, first) = (
        endpoint["id"].as_str().unwrap(),
        endpoint["secret"].as_str().unwrap(),
    );
    let rotated = webhooks
        .post(
            &format!("/endpoints/{id}/rotate"),
            Some(&json!({ "grace": "1h" })),
        )
        .await;
    let second = rotated["secret"].as_str().unwrap();
    publish(&plugin, "order.created", &json!({})).await;
    webhooks.until("delivered", 1).await;
    receiver.received()[0].is_signed_with(&[second, first]);
    later(&app, 60 * 60).await;
    publish(&plugin, "order.created", &json!({})).await;
    webhooks.until("delivered", 2).await;
    receiver.received()[1].is_signed_with(&[second]);
}

#[tokio::test]
async fn a_disabled_endpoint_and_another_tenant_get_nothing() {
    let app = app().await;
    let receiver = Receiver::start().await;
    let plugin = Plugin::deploy(&app, PUBLISHES).await;
    let webhooks = Webhooks::of(&app, &plugin.tenant);
    let endpoint = webhooks.endpoint(&receiver.url("/"), &[">"]).await;
    let other = app.tenant("other").await;
    Webhooks::of(&app, &other)
        .endpoint(&receiver.url("/"), &[">"])
        .await;
    let id = endpoint["id"].as_str().unwrap();
    let disabled = webhooks.patch(id, &json!({ "enabled": false })).await;
    assert_eq!(disabled["disabled_because"], "somebody disabled it");
    publish(&plugin, "order.created", &json!({})).await;
    app.pass().await;
    assert!(webhooks.deliveries().await.is_empty());
    webhooks.patch(id, &json!({ "enabled": true })).await;
    publish(&plugin, "order.created", &json!({})).await;
    webhooks.until("delivered", 1).await;
    assert_eq!(receiver.received().len(), 1);
}

#[tokio::test]
async fn what_waits_is_delivered_after_a_restart() {
    let app = app().await;
    let receiver = Receiver::start().await;
    let plugin = Plugin::deploy(&app, PUBLISHES).await;
    receiver.answers(503, &[]);
    let webhooks = Webhooks::of(&app, &plugin.tenant);
    webhooks.endpoint(&receiver.url("/"), &[">"]).await;
    publish(&plugin, "order.created", &json!({})).await;
    webhooks.until_tried(1).await;
    receiver.answers(200, &[]);
    drop(plugin);
    let app = app
        .restart_configured(|config| config.http_client.allow_loopback = true)
        .await;
    later(&app, 6).await;
    let tenant = app.known("acme");
    Webhooks::of(&app, &tenant).until("delivered", 1).await;
    assert_eq!(receiver.received().len(), 2);
}
