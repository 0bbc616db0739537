//! Tests of servers that do not accept a mail.

use serde_json::json;

use super::{app, deploy, received, send, send_with, try_again, until, until_mail, until_waiting};
use crate::jobs::eventually;
use crate::smtp::{At, Mode, Smtp};

#[tokio::test]
async fn a_mail_waits_while_the_server_is_down() {
    for mode in [Mode::Busy, Mode::Drop] {
        let server = Smtp::start().unwrap();
        let app = app(&server).await;
        let plugin = deploy(&app).await;
        server.set(mode);
        let id = send(&plugin, "ada@example.org", "patient").await;
        let job = until_waiting(&plugin, &id).await;
        assert_eq!((&job["plugin"], &job["attempt"]), (&json!("-"), &json!(1)));
        assert!(server.connections() > 0, "{mode:?}");
        assert!(plugin.read(&format!("/mail/{id}")).await["error"].is_string());

        server.set(Mode::Serve);
        try_again(&app).await;
        until(&plugin, &id, "sent").await;
        assert_eq!(received(&server, "patient").len(), 1);
    }
}

#[tokio::test]
async fn a_mail_without_an_acknowledgement_is_sent_again() {
    let server = Smtp::start().unwrap();
    let app = app(&server).await;
    let plugin = deploy(&app).await;
    server.set(Mode::Unacknowledged);
    let id = send(&plugin, "ada@example.org", "twice").await;
    until_waiting(&plugin, &id).await;
    let unacknowledged = received(&server, "twice");
    assert!(!unacknowledged.is_empty() && unacknowledged.iter().all(|mail| !mail.acknowledged));

    server.set(Mode::Serve);
    try_again(&app).await;
    until(&plugin, &id, "sent").await;
    let all = received(&server, "twice");
    assert_eq!(all.len(), unacknowledged.len() + 1);
    assert!(
        all.iter()
            .all(|mail| mail.header("message-id") == all[0].header("message-id"))
    );
}

#[tokio::test]
async fn a_full_mailbox_gets_the_mail_later_and_the_others_get_it_once() {
    let server = Smtp::start().unwrap();
    let app = app(&server).await;
    let plugin = deploy(&app).await;
    server.answer("full@example.org", At::Recipient, "452 4.2.2 mailbox full", 1);
    let mail = json!({ "to": ["full@example.org", "ada@example.org"], "subject": "both", "text": "t" });
    let id = send_with(&plugin, mail).await;
    until_waiting(&plugin, &id).await;
    try_again(&app).await;
    until(&plugin, &id, "sent").await;
    let to: Vec<Vec<String>> = received(&server, "both")
        .into_iter()
        .map(|mail| mail.to)
        .collect();
    assert_eq!(to, [["ada@example.org"], ["full@example.org"]]);
}

#[tokio::test]
async fn a_mailbox_that_does_not_exist_is_suppressed() {
    let server = Smtp::start().unwrap();
    let app = app(&server).await;
    let plugin = deploy(&app).await;
    server.answer(
        "nobody@example.org",
        At::Recipient,
        "550 5.1.1 no such mailbox",
        1,
    );
    let mail = json!({ "to": ["nobody@example.org", "ada@example.org"], "subject": "one", "text": "t" });
    let id = send_with(&plugin, mail).await;
    let mail = until_mail(&plugin, &id, |mail| mail["state"] != "queued").await;
    assert_eq!(mail["recipients"][0]["state"], "refused", "{mail}");
    assert!(
        mail["recipients"][0]["reply"].as_str().unwrap().contains("5.1.1"),
        "{mail}"
    );
    assert_eq!(mail["recipients"][1]["state"], "accepted");
    assert_eq!(received(&server, "one")[0].to, ["ada@example.org"]);
    let listed = plugin.read("/mail/suppressions").await;
    assert_eq!(listed["items"][0]["address"], "nobody@example.org", "{listed}");

    // The server would accept it now.
    let id = send(&plugin, "nobody@example.org", "two").await;
    let mail = until_mail(&plugin, &id, |mail| mail["state"] != "queued").await;
    assert_eq!(mail["recipients"][0]["state"], "suppressed", "{mail}");
    plugin
        .change("DELETE", "/mail/suppressions/nobody@example.org")
        .await;
    let id = send(&plugin, "nobody@example.org", "three").await;
    until(&plugin, &id, "sent").await;
    assert!(received(&server, "two").is_empty() && received(&server, "three").len() == 1);
}

#[tokio::test]
async fn a_mail_that_the_server_refuses_is_a_dead_letter_that_can_be_retried() {
    let server = Smtp::start().unwrap();
    let app = app(&server).await;
    let plugin = deploy(&app).await;
    server.answer("ada@example.org", At::Data, "554 5.7.1 this looks like spam", 1);
    let id = send(&plugin, "ada@example.org", "spam").await;
    // Maintenance tells the mail that its job is dead.
    let mail = eventually(async || {
        app.pass().await;
        let mail = plugin.read(&format!("/mail/{id}")).await;
        if mail["state"] == "failed" {
            Ok(mail)
        } else {
            Err(mail)
        }
    })
    .await;
    assert!(mail["error"].as_str().unwrap().contains("spam"), "{mail}");
    assert!(
        plugin.read("/mail/suppressions").await["items"]
            .as_array()
            .unwrap()
            .is_empty()
    );

    let resent = plugin.change("POST", &format!("/mail/{id}/resend")).await;
    assert!(resent.status.is_success(), "{}", resent.text());
    until(&plugin, &id, "sent").await;
    assert_eq!(received(&server, "spam").len(), 1);
}

#[tokio::test]
async fn the_mail_of_a_suspended_tenant_waits() {
    let server = Smtp::start().unwrap();
    let app = app(&server).await;
    let plugin = deploy(&app).await;
    server.set(Mode::Busy);
    let id = send(&plugin, "ada@example.org", "held").await;
    until_waiting(&plugin, &id).await;
    plugin.tenant.suspend(true).await;
    server.set(Mode::Serve);
    try_again(&app).await;
    plugin.until_idle().await;
    assert!(received(&server, "held").is_empty());
    plugin.tenant.suspend(false).await;
    app.pass().await;
    until(&plugin, &id, "sent").await;
}
