//! Tests of outbound webhooks with a whole host and a receiver on loopback.

mod admin;
mod delivering;
mod failures;
mod receiver;

use std::time::Duration;

use mortise::config::Config;
use serde_json::{Value, json};

use crate::app::{App, TestTenant};
use crate::jobs::{Plugin, eventually};
use crate::limits::around;
use receiver::Receiver;

/// A plugin that publishes events and uses a database.
const PUBLISHES: &str = "[events]\npublish = ['order.*']\n";

/// A host that delivers to loopback.
async fn app() -> App {
    App::configured(|config: &mut Config| config.http_client.allow_loopback = true).await
}

/// The endpoints of a tenant, by the admin API.
struct Webhooks<'a> {
    app: &'a App,
    tenant: &'a TestTenant<'a>,
}

impl<'a> Webhooks<'a> {
    fn of(app: &'a App, tenant: &'a TestTenant<'a>) -> Self {
        Self { app, tenant }
    }

    /// Creates an endpoint. Returns the answer, with its secret.
    async fn endpoint(&self, url: &str, topics: &[&str]) -> Value {
        let body = json!({ "url": url, "topics": topics });
        let path = self.tenant.path("/webhooks/endpoints");
        let made = self.app.admin("POST", &path).json(&body).send().await;
        made.expect(201).json()
    }

    async fn read(&self, path: &str) -> Value {
        let path = self.tenant.path(&format!("/webhooks{path}"));
        self.app.admin("GET", &path).send().await.expect(200).json()
    }

    async fn post(&self, path: &str, body: Option<&Value>) -> Value {
        let path = self.tenant.path(&format!("/webhooks{path}"));
        let call = self.app.admin("POST", &path);
        let call = match body {
            Some(body) => call.json(body),
            None => call,
        };
        let reply = call.send().await;
        assert!(reply.status.is_success(), "{}", reply.text());
        reply.json()
    }

    async fn patch(&self, id: &str, body: &Value) -> Value {
        let path = self.tenant.path(&format!("/webhooks/endpoints/{id}"));
        let call = self.app.admin("PATCH", &path).json(body);
        call.send().await.expect(200).json()
    }

    /// All deliveries, the newest first.
    async fn deliveries(&self) -> Vec<Value> {
        let page = self.read("/deliveries?limit=200").await;
        page["items"].as_array().unwrap().clone()
    }

    /// Waits until so many deliveries have this state.
    async fn until(&self, state: &str, count: usize) -> Vec<Value> {
        eventually(async || {
            let all = self.deliveries().await;
            let found: Vec<Value> = all.iter().filter(|one| one["state"] == state).cloned().collect();
            if found.len() == count {
                Ok(found)
            } else {
                Err(json!(all))
            }
        })
        .await
    }

    /// Waits until the newest delivery was tried so often.
    async fn until_tried(&self, attempts: u64) -> Value {
        let newest = eventually(async || {
            let all = self.deliveries().await;
            match all.first().filter(|newest| newest["attempts"] == attempts) {
                Some(newest) => Ok(newest.clone()),
                None => Err(json!(all)),
            }
        })
        .await;
        self.read(&format!("/deliveries/{}", newest["id"].as_str().unwrap()))
            .await
    }
}

/// Publishes an event of the plugin.
async fn publish(plugin: &Plugin<'_>, topic: &str, payload: &Value) -> String {
    let id = plugin
        .step(json!({ "publish": { "topic": topic, "payload": payload } }))
        .await;
    id.as_str().unwrap().to_owned()
}

/// Moves the clock, and starts what became due.
async fn later(app: &App, seconds: u64) {
    app.advance(Duration::from_secs(seconds));
    app.pass().await;
}

#[tokio::test]
pub async fn deliveries_kept() {
    let app = app().await;
    let receiver = Receiver::start().await;
    for (limit, _) in around(3) {
        let tenant = app.tenant(&format!("of-{limit}")).await;
        tenant.limit(&json!({ "deliveries_kept": limit })).await;
        let webhooks = Webhooks::of(&app, &tenant);
        let endpoint = webhooks.endpoint(&receiver.url("/ok"), &[">"]).await;
        let id = endpoint["id"].as_str().unwrap();
        for _ in 0..3 {
            webhooks
                .post(&format!("/endpoints/{id}/test"), Some(&json!({})))
                .await;
        }
        webhooks.until("delivered", 3).await;
        app.pass().await;
        let left = webhooks.deliveries().await.len();
        assert_eq!(left, 3.min(usize::try_from(limit).unwrap()), "of {limit}");
    }
}
