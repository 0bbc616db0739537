//! Tests of the limits of received webhooks.

use serde_json::json;

use super::{around, bytes};
use crate::app::App;
use crate::jobs::Plugin;
use crate::webhooks_in::{SECTIONS, deliver, event, received};

/// A plugin of its own tenant, whose webhook has a secret.
async fn deploy<'a>(app: &'a App, tenant: &str) -> Plugin<'a> {
    let plugin = Plugin::deploy_for(app, tenant, SECTIONS).await;
    plugin.tenant.secret("hook", "whsec_test").await;
    plugin
}

#[tokio::test]
pub async fn webhook_body() {
    let app = App::start().await;
    let plugin = deploy(&app, "acme").await;
    for (limit, fits) in around(u64::try_from(event("evt_0").len()).unwrap()) {
        plugin
            .tenant
            .limit(&json!({ "webhook_body": bytes(limit) }))
            .await;
        let reply = deliver(&plugin, &event("evt_0")).await;
        if fits {
            reply.expect(200);
            assert!(received(&plugin).await[0]["bytes"].as_u64().unwrap() > limit);
        } else {
            let refused = reply.expect_problem(413, "body-too-large");
            assert!(refused.text().contains("webhook_body"), "{}", refused.text());
        }
    }
}

#[tokio::test]
pub async fn webhooks_kept() {
    let app = App::start().await;
    for (limit, fits) in around(3) {
        let plugin = deploy(&app, &format!("t{limit}")).await;
        plugin.tenant.limit(&json!({ "webhooks_kept": limit })).await;
        for id in ["evt_1", "evt_2", "evt_3"] {
            deliver(&plugin, &event(id)).await.expect(200);
            plugin.settle().await;
        }
        let kept = received(&plugin).await.len();
        assert_eq!(kept, if fits { 3 } else { 2 });
        assert_eq!(plugin.read("/webhooks").await["received"], kept);
    }
}

#[tokio::test]
pub async fn webhook_size() {
    let app = App::start().await;
    let first = deploy(&app, "first").await;
    deliver(&first, &event("evt_1")).await.expect(200);
    let size = first.read("/webhooks").await["bytes"].as_u64().unwrap();
    for (limit, fits) in around(2 * size) {
        let plugin = deploy(&app, &format!("t{limit}")).await;
        plugin
            .tenant
            .limit(&json!({ "webhook_size": bytes(limit) }))
            .await;
        plugin.change("POST", "/plugins/p/jobs/pause").await.expect(200);
        deliver(&plugin, &event("evt_1")).await.expect(200);
        let second = deliver(&plugin, &event("evt_2")).await;
        if fits {
            second.expect(200);
            assert_eq!(plugin.read("/webhooks").await["bytes"], 2 * size);
            continue;
        }
        // Both wait for their jobs, so none makes room.
        second.expect_problem(503, "overloaded");
        plugin.change("DELETE", "/plugins/p/jobs/pause").await.expect(200);
        plugin.settle().await;
        app.pass().await;
        plugin.settle().await;
        deliver(&plugin, &event("evt_2")).await.expect(200);
    }
}
