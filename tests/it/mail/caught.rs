//! Tests of the mail catcher, which keeps every mail if no server is configured.

use serde_json::json;

use super::{deploy, send, send_with, try_again, until, until_waiting};
use crate::app::App;

#[tokio::test]
async fn without_a_server_mail_is_caught_and_can_be_read() {
    let app = App::start().await;
    let plugin = deploy(&app).await;
    let id = send_with(
        &plugin,
        json!({
            "to": "ada@example.org", "bcc": "blind@example.org", "subject": "Invoice 12", "text": "42 euros",
            "html": "<b>42 euros</b>",
        }),
    )
    .await;
    let mail = until(&plugin, &id, "caught").await;
    assert_eq!(mail["recipients"][1]["state"], "caught", "{mail}");
    for (part, content) in [
        ("text", "42 euros"),
        ("html", "<b>42 euros</b>"),
        ("source", "Invoice 12"),
    ] {
        let reply = plugin
            .change("GET", &format!("/mail/{id}/{part}"))
            .await
            .expect(200);
        assert!(reply.text().contains(content), "{part}: {}", reply.text());
    }
    let found = plugin.read("/mail/search?q=euros").await;
    assert_eq!(found["items"][0]["id"], id, "{found}");
    assert_eq!(plugin.read("/mail?limit=10").await["items"][0]["id"], id);
}

#[tokio::test]
async fn the_catcher_simulates_failures() {
    let app = App::start().await;
    let plugin = deploy(&app).await;
    let failures = json!({ "rules": [{ "recipient": "*@busy.example", "failure": "temporary" }] });
    let path = plugin.tenant.path("/mail/failures");
    let set = app.admin("PUT", &path).json(&failures).send().await;
    assert!(set.status.is_success(), "{}", set.text());
    let id = send(&plugin, "ada@busy.example", "later").await;
    let other = send(&plugin, "ada@example.org", "now").await;
    until(&plugin, &other, "caught").await;
    until_waiting(&plugin, &id).await;

    let none = json!({ "rules": [] });
    app.admin("PUT", &path).json(&none).send().await;
    try_again(&app).await;
    until(&plugin, &id, "caught").await;
}
