//! Tests of mail that the host refuses.

use serde_json::{Value, json};

use super::{app, deploy, received, send, until};
use crate::smtp::Smtp;

/// A mail with one changed member.
fn with(member: &str, value: &Value) -> Value {
    let mut mail = json!({ "to": "ada@example.org", "subject": "refused", "text": "t" });
    mail[member] = value.clone();
    json!({ "mail": mail })
}

#[tokio::test]
async fn what_could_add_header_fields_or_recipients_is_refused() {
    let server = Smtp::start().unwrap();
    let app = app(&server).await;
    let plugin = deploy(&app).await;
    for (member, value) in [
        ("subject", json!("a\r\nBcc: victim@example.org")),
        ("subject", json!("a\nb")),
        ("to", json!("ada@example.org\r\nRCPT TO:<victim@example.org>")),
        ("to", json!("ada@example.org, victim@example.org")),
        ("to", json!("<ada@example.org>\0")),
        ("reply_to", json!("a@example.com\r\nBcc: victim@example.org")),
        ("headers", json!([["X-A", "b\r\nBcc: victim@example.org"]])),
        ("headers", json!([["X-A: b\r\nBcc", "victim@example.org"]])),
        ("headers", json!([["Bcc", "victim@example.org"]])),
        ("headers", json!([["Sender", "victim@example.org"]])),
        ("headers", json!([["Content-Type", "text/html"]])),
        (
            "attachments",
            json!([{ "name": "a\r\nBcc: victim@example.org", "type": "text/plain", "text": "t" }]),
        ),
        (
            "attachments",
            json!([{ "name": "a.txt", "type": "text/plain\r\nX-A: b", "text": "t" }]),
        ),
    ] {
        let error = plugin.refused(with(member, &value)).await;
        assert!(error.contains("Error::Invalid"), "{member} {value}: {error}");
    }
    let id = send(&plugin, "ada@example.org", "good").await;
    until(&plugin, &id, "sent").await;
    assert_eq!(server.messages().len(), 1);
    assert!(!server.messages()[0].has("victim"));
}

#[tokio::test]
async fn addresses_that_cannot_receive_are_refused() {
    let server = Smtp::start().unwrap();
    let app = app(&server).await;
    let plugin = deploy(&app).await;
    for to in [
        json!([]),
        json!(""),
        json!("ada"),
        json!("ada@"),
        json!("@example.org"),
        json!("ada@@example.org"),
        json!("ada@example..org"),
        json!("a b@example.org"),
        json!(format!("{}@example.org", "a".repeat(65))),
        json!("ada@[127.0.0.1]"),
    ] {
        let error = plugin.refused(with("to", &to)).await;
        assert!(error.contains("Error::Invalid"), "{to}: {error}");
    }
    assert!(received(&server, "refused").is_empty());
}

#[tokio::test]
async fn a_plugin_sends_from_granted_addresses_only() {
    let server = Smtp::start().unwrap();
    let app = app(&server).await;
    let plugin = deploy(&app).await;
    for from in ["ceo@example.com", "shop@example.org", "a@evil.news.example.com"] {
        let error = plugin.refused(with("from", &json!(from))).await;
        assert!(error.contains("NotGranted"), "{from}: {error}");
    }
    let mail = json!({ "mail": {
        "from": "anybody@news.example.com", "to": "ada@example.org", "subject": "from a domain", "text": "t",
    } });
    let id = plugin.step(mail).await;
    until(&plugin, id.as_str().unwrap(), "sent").await;
    assert_eq!(
        received(&server, "from a domain")[0].from,
        "anybody@news.example.com"
    );
    // Without the grant, nothing is sent at all.
    plugin.tenant.grant("p", &json!({ "database": true })).await;
    let error = plugin.refused(with("text", &json!("t"))).await;
    assert!(error.contains("NotGranted"), "{error}");
}
