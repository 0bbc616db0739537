//! Tests of requests that are refused, and of secrets that are replaced.

use std::time::Duration;

use serde_json::json;

use super::{SECRET, SECTIONS, deliver, deploy, event, received, seconds, send, signature, webhook};
use crate::app::App;
use crate::jobs::Plugin;

#[tokio::test]
async fn a_wrong_signature_is_refused_and_only_the_tenant_learns_why() {
    let app = App::start().await;
    let plugin = deploy(&app).await;
    let (now, body) = (seconds(&app), event("evt_1"));
    let mut answers = Vec::new();
    for (signature, why) in [
        (signature("whsec_other", now, &body), "no secret of the webhook"),
        (signature(SECRET, now, "{}"), "no secret of the webhook"),
        (signature(SECRET, now - 301, &body), "ago"),
        (signature(SECRET, now + 301, &body), "ahead"),
        ("t=1".to_owned(), "no signature in the form"),
    ] {
        let refused = send(&plugin, &signature, &body).await;
        let refused = refused.expect_problem(400, "invalid-webhook");
        answers.push(refused.json()["detail"].clone());
        let last = webhook(&plugin).await["last_refusal"]["reason"].clone();
        assert!(last.as_str().unwrap().contains(why), "{last}");
    }
    let unsigned = app.post("/acme/-/webhooks/p/in").body(body).send().await;
    answers.push(unsigned.expect_problem(400, "invalid-webhook").json()["detail"].clone());
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert!(received(&plugin).await.is_empty());
    assert_eq!(webhook(&plugin).await["counts"]["refused"], 6);
}

#[tokio::test]
async fn a_captured_request_is_refused_when_it_is_old() {
    let app = App::start().await;
    let plugin = deploy(&app).await;
    let body = event("evt_1");
    let captured = signature(SECRET, seconds(&app), &body);
    send(&plugin, &captured, &body).await.expect(200);
    app.advance(Duration::from_secs(300));
    send(&plugin, &captured, &body).await.expect(200);
    app.advance(Duration::from_secs(1));
    send(&plugin, &captured, &body)
        .await
        .expect_problem(400, "invalid-webhook");
    plugin.settle().await;
    assert_eq!(plugin.effects().await, ["evt_1"]);
}

#[tokio::test]
async fn a_secret_is_replaced_without_a_gap() {
    let app = App::start().await;
    let plugin = Plugin::deploy(&app, SECTIONS).await;
    let waits = deliver(&plugin, &event("evt_1")).await;
    let waits = waits.expect_problem(503, "unavailable");
    assert_eq!(waits.header("retry-after"), "60");
    plugin.tenant.secret("hook", SECRET).await;
    deliver(&plugin, &event("evt_1")).await.expect(200);
    // Both hold while the sender is switched.
    plugin.tenant.secret("hook-next", "whsec_next").await;
    deliver(&plugin, &event("evt_2")).await.expect(200);
    let (now, body) = (seconds(&app), event("evt_3"));
    send(&plugin, &signature("whsec_next", now, &body), &body)
        .await
        .expect(200);
    let both = json!([{ "name": "hook", "usable": true }, { "name": "hook-next", "usable": true }]);
    assert_eq!(webhook(&plugin).await["secrets"], both);
    plugin.change("DELETE", "/secrets/hook").await.expect(204);
    deliver(&plugin, &event("evt_4"))
        .await
        .expect_problem(400, "invalid-webhook");
    let body = event("evt_5");
    send(&plugin, &signature("whsec_next", now, &body), &body)
        .await
        .expect(200);
    plugin.settle().await;
    assert_eq!(plugin.effects().await.len(), 4);
}

#[tokio::test]
async fn a_secret_that_is_not_granted_checks_nothing() {
    let app = App::start().await;
    let plugin = deploy(&app).await;
    plugin
        .tenant
        .grant(
            "p",
            &json!({ "database": true, "secrets": { "use": [], "reveal": [] } }),
        )
        .await;
    deliver(&plugin, &event("evt_1"))
        .await
        .expect_problem(503, "unavailable");
    assert_eq!(webhook(&plugin).await["secrets"][0]["usable"], false);
}

#[tokio::test]
async fn a_body_that_is_no_text_is_refused() {
    let app = App::start().await;
    let sections = "[[job]]\nname = 'work'\n[[webhook]]\nname = 'in'\nscheme = 'github'\n\
        secrets = ['hook']\njob = 'work'\n";
    let plugin = Plugin::deploy(&app, sections).await;
    plugin.tenant.secret("hook", "k").await;
    let body = vec![0xff, 0xfe];
    let mac = {
        use hmac::{Hmac, Mac};
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(b"k").unwrap();
        mac.update(&body);
        hex::encode(mac.finalize().into_bytes())
    };
    let call = app.post("/acme/-/webhooks/p/in").body(body);
    call.header("x-hub-signature-256", &format!("sha256={mac}"))
        .send()
        .await
        .expect_problem(415, "unsupported-media-type");
}
