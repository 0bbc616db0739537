//! Tests of the limits of mail.

use std::time::Duration;

use serde_json::{Value, json};

use super::{around, bytes, usage};
use crate::app::App;
use crate::jobs::Plugin;

const SECTIONS: &str = "[email]\nfrom = ['shop@example.com']\n";

/// A step that sends a mail.
fn mail(change: Value) -> Value {
    let mut mail = json!({ "to": ["ada@example.com"], "subject": "s", "text": "t" });
    for (name, value) in change.as_object().unwrap() {
        mail[name] = value.clone();
    }
    json!({ "mail": mail })
}

/// Sends one mail; the limit and the metric in the record decide.
async fn one(
    limit: &str,
    value: Value,
    fits: bool,
    step: Value,
    metric: &str,
    used: u64,
    plugin: &Plugin<'_>,
) {
    plugin.tenant.limit(&json!({ limit: value })).await;
    let reply = plugin.send(json!([step])).await;
    let answer = &reply.json()[0];
    if fits {
        assert!(answer["ok"].is_string(), "{answer}");
        assert_eq!(usage(&plugin.tenant, &reply, metric).await, used);
    } else {
        let error = answer["error"].as_str().unwrap_or_else(|| panic!("{answer}"));
        assert!(error.contains("Limit") && error.contains(limit), "{error}");
    }
}

#[tokio::test]
pub async fn mail_recipients() {
    let app = App::start().await;
    let plugin = Plugin::deploy(&app, SECTIONS).await;
    let step = mail(json!({ "cc": ["bob@example.com"], "bcc": ["eve@example.com"] }));
    for (limit, fits) in around(3) {
        one(
            "mail_recipients",
            json!(limit),
            fits,
            step.clone(),
            "mail_recipients",
            3,
            &plugin,
        )
        .await;
    }
}

#[tokio::test]
pub async fn mail_size() {
    let app = App::start().await;
    let plugin = Plugin::deploy(&app, SECTIONS).await;
    let step = mail(json!({ "subject": "x".repeat(100), "text": "y".repeat(900) }));
    for (limit, fits) in around(1_000) {
        one(
            "mail_size",
            bytes(limit),
            fits,
            step.clone(),
            "mail_bytes",
            1_000,
            &plugin,
        )
        .await;
    }
}

#[tokio::test]
pub async fn mail_attachments() {
    let app = App::start().await;
    let plugin = Plugin::deploy(&app, SECTIONS).await;
    let file = json!({ "name": "a.txt", "type": "text/plain", "text": "a" });
    let step = mail(json!({ "attachments": [file, file] }));
    for (limit, fits) in around(2) {
        one(
            "mail_attachments",
            json!(limit),
            fits,
            step.clone(),
            "mail_attachments",
            2,
            &plugin,
        )
        .await;
    }
}

#[tokio::test]
pub async fn mails_per_hour() {
    let app = App::start().await;
    let plugin = Plugin::deploy(&app, SECTIONS).await;
    let step = mail(json!({}));
    for (limit, fits) in around(3) {
        app.advance(Duration::from_secs(60 * 60));
        plugin.tenant.limit(&json!({ "mails_per_hour": limit })).await;
        let reply = plugin.send(json!([step, step, step])).await;
        let answers = reply.json();
        assert!(answers[1]["ok"].is_string(), "{answers}");
        if fits {
            assert!(answers[2]["ok"].is_string(), "{answers}");
            assert_eq!(usage(&plugin.tenant, &reply, "mails_sent").await, 3);
        } else {
            let error = answers[2]["error"].as_str().unwrap();
            assert!(
                error.contains("Limit") && error.contains("mails_per_hour"),
                "{error}"
            );
            assert_eq!(usage(&plugin.tenant, &reply, "mails_sent").await, 2);
        }
    }
}

#[tokio::test]
pub async fn mails_kept() {
    let app = App::start().await;
    let plugin = Plugin::deploy(&app, SECTIONS).await;
    for (limit, _) in around(3) {
        plugin.tenant.limit(&json!({ "mails_kept": limit })).await;
        plugin
            .send(json!([mail(json!({})), mail(json!({})), mail(json!({}))]))
            .await;
        app.host.settle_jobs().await;
        app.host.prune().await;
        // Three new ones are there, and some of the last round if the limit allows it.
        let counts = plugin.read("/usage").await["counts"].clone();
        assert_eq!(counts["mails"].as_u64(), Some(limit), "{counts}");
    }
}
