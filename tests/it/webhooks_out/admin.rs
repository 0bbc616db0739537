//! Tests of what people see and change of webhooks, and of who may.

use serde_json::json;

use super::receiver::Receiver;
use super::{Webhooks, app};

#[tokio::test]
async fn endpoints_that_could_not_be_reached_are_refused() {
    let app = app().await;
    let tenant = app.tenant("acme").await;
    let create = async |body| {
        let path = tenant.path("/webhooks/endpoints");
        let reply = app.admin("POST", &path).json(&body).send().await;
        reply.expect_problem(400, "invalid-request").text()
    };
    let url = "https://hooks.example.com/";
    for (body, wrong) in [
        (json!({ "url": "ftp://a.example/", "topics": [">"] }), "url: "),
        (
            json!({ "url": "https://u:p@a.example/", "topics": [">"] }),
            "url: ",
        ),
        (json!({ "url": url, "topics": [] }), "topics: "),
        (json!({ "url": url, "topics": ["Order"] }), "topics"),
        (
            json!({ "url": url, "topics": [">"], "secret": "whsec_short" }),
            "secret: ",
        ),
        (
            json!({ "url": url, "topics": [">"], "rate_per_minute": 100_000 }),
            "rate_per_minute: ",
        ),
        (
            json!({ "url": url, "topics": [">"], "description": "a\nb" }),
            "description: ",
        ),
        (json!({ "url": url, "topics": [">"], "topic": 1 }), "topic"),
    ] {
        let said = create(body).await;
        assert!(said.contains(wrong), "{wrong}: {said}");
    }
}

#[tokio::test]
async fn a_test_event_is_delivered_whatever_the_topics_are() {
    let app = app().await;
    let receiver = Receiver::start().await;
    let tenant = app.tenant("acme").await;
    let webhooks = Webhooks::of(&app, &tenant);
    let endpoint = webhooks.endpoint(&receiver.url("/"), &["order.*"]).await;
    let id = endpoint["id"].as_str().unwrap();
    let made = webhooks
        .post(
            &format!("/endpoints/{id}/test"),
            Some(&json!({ "data": { "a": 1 } })),
        )
        .await;
    assert_eq!(
        (&made["type"], &made["state"]),
        (&json!("webhook.test"), &json!("waiting"))
    );
    webhooks.until("delivered", 1).await;
    assert!(receiver.received()[0].body.ends_with("\"data\":{\"a\":1}}"));
}

#[tokio::test]
async fn the_url_is_not_in_the_audit_log_and_the_secret_is_shown_once() {
    let app = app().await;
    let tenant = app.tenant("acme").await;
    let webhooks = Webhooks::of(&app, &tenant);
    let endpoint = webhooks
        .endpoint("https://hooks.example.com/token-7", &["order.*"])
        .await;
    let secret = endpoint["secret"].as_str().unwrap();
    let audit = app.admin("GET", &tenant.path("/audit")).send().await.expect(200);
    assert!(!audit.text().contains("token-7") && !audit.text().contains(secret));
    assert!(audit.text().contains("webhook.endpoint.create"));
    let found = webhooks
        .read(&format!("/endpoints/{}", endpoint["id"].as_str().unwrap()))
        .await;
    assert!(found.get("secret").is_none());
    assert_eq!(found["secrets"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn deliveries_are_exported_and_erased() {
    let app = app().await;
    let receiver = Receiver::start().await;
    let tenant = app.tenant("acme").await;
    let webhooks = Webhooks::of(&app, &tenant);
    let endpoint = webhooks.endpoint(&receiver.url("/"), &[">"]).await;
    let test = format!("/endpoints/{}/test", endpoint["id"].as_str().unwrap());
    for number in 0..3 {
        webhooks.post(&test, Some(&json!({ "data": number }))).await;
    }
    webhooks.until("delivered", 3).await;
    let path = tenant.path("/webhooks/deliveries/export");
    let exported = app.admin("GET", &path).send().await.expect(200).text();
    assert_eq!(exported.lines().count(), 3);
    assert!(exported.contains("\\\"data\\\":2"), "{exported}");
    let path = tenant.path("/webhooks/deliveries?state=delivered");
    let deleted = app.admin("DELETE", &path).send().await.expect(200).json();
    assert_eq!(deleted["deleted"], 3);
    assert!(webhooks.deliveries().await.is_empty());
}
