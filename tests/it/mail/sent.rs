//! Tests of mail that a server accepts.

use std::time::Duration;

use serde_json::json;

use super::{app, deploy, received, send, send_with, until};
use crate::jobs::eventually;
use crate::smtp::{Mode, Smtp};

#[tokio::test]
async fn a_mail_goes_to_all_recipients_and_names_the_open_ones() {
    let server = Smtp::start().unwrap();
    let app = app(&server).await;
    let plugin = deploy(&app).await;
    let id = send_with(
        &plugin,
        json!({
            "to": ["ada@example.org"], "cc": "copy@example.org", "bcc": "blind@example.org",
            "reply_to": "desk@example.com", "subject": "Order 7", "text": "Thank you",
            "html": "<p>Thank you</p>",
            "headers": [["X-Order", "7"]], "tags": ["receipt"],
            "attachments": [{ "name": "a.txt", "type": "text/plain", "text": "attached" }],
        }),
    )
    .await;
    let mail = until(&plugin, &id, "sent").await;
    assert_eq!(mail["recipient_count"], 3);
    assert_eq!(
        mail["from"], "shop@example.com",
        "the first address of the manifest"
    );

    let mails = received(&server, "Order 7");
    assert_eq!(mails.len(), 1);
    let mail = &mails[0];
    assert_eq!(mail.from, "shop@example.com");
    assert_eq!(
        mail.to,
        ["ada@example.org", "copy@example.org", "blind@example.org"]
    );
    assert!(mail.acknowledged);
    for (name, value) in [
        ("from", "shop@example.com"),
        ("to", "ada@example.org"),
        ("cc", "copy@example.org"),
        ("reply-to", "desk@example.com"),
        ("x-order", "7"),
    ] {
        let header = mail.header(name).unwrap_or_default();
        assert!(header.contains(value), "{name}: {header}");
    }
    for name in ["date", "message-id", "mime-version"] {
        assert!(mail.header(name).is_some(), "{name}: {}", mail.data);
    }
    assert!(mail.header("bcc").is_none() && !mail.has("blind@") && !mail.has("receipt"));
    for part in ["Thank you", "<p>Thank you</p>", "a.txt"] {
        assert!(mail.has(part), "{part}: {}", mail.data);
    }
}

#[tokio::test]
async fn a_mail_with_the_key_of_an_earlier_one_is_not_sent_again_for_a_day() {
    let server = Smtp::start().unwrap();
    let app = app(&server).await;
    let plugin = deploy(&app).await;
    let mail = json!({ "to": "ada@example.org", "subject": "once", "text": "t", "key": "order-7" });
    let first = send_with(&plugin, mail.clone()).await;
    until(&plugin, &first, "sent").await;
    assert_eq!(send_with(&plugin, mail.clone()).await, first);
    app.advance(Duration::from_secs(23 * 3_600));
    assert_eq!(send_with(&plugin, mail.clone()).await, first);
    assert_eq!(received(&server, "once").len(), 1);

    app.advance(Duration::from_secs(2 * 3_600));
    let second = send_with(&plugin, mail).await;
    assert_ne!(second, first);
    until(&plugin, &second, "sent").await;
    assert_eq!(received(&server, "once").len(), 2);
}

#[tokio::test]
async fn a_job_that_runs_again_sends_its_mail_once() {
    let server = Smtp::start().unwrap();
    let app = app(&server).await;
    let plugin = deploy(&app).await;
    let mail = json!({ "to": "ada@example.org", "subject": "by a job", "text": "t", "key": "job-7" });
    let steps = json!([{ "mail": mail }, { "fail": ["retry-after", 0, "no"], "attempts": [1, 2] }]);
    let id = plugin.enqueue_steps(steps).await;
    // Each attempt is due at once.
    eventually(async || {
        app.pass().await;
        let job = plugin.job(&id).await;
        if job["state"] == "done" { Ok(()) } else { Err(job) }
    })
    .await;
    eventually(async || match received(&server, "by a job").len() {
        0 => Err(json!("no mail")),
        _ => Ok(()),
    })
    .await;
    plugin.settle().await;
    assert_eq!(received(&server, "by a job").len(), 1);
}

#[tokio::test]
async fn mails_to_a_slow_server_share_few_connections() {
    let server = Smtp::start().unwrap();
    server.set(Mode::Slow);
    let app = app(&server).await;
    let plugin = deploy(&app).await;
    let mut ids = Vec::new();
    for number in 0..20 {
        ids.push(send(&plugin, "ada@example.org", &format!("mail {number}")).await);
    }
    for id in ids {
        until(&plugin, &id, "sent").await;
    }
    assert_eq!(server.messages().len(), 20);
    assert!(server.connections() < 20, "{} connections", server.connections());
}

#[tokio::test]
async fn one_click_unsubscribes_from_mail_of_the_tenant() {
    let server = Smtp::start().unwrap();
    let app = app(&server).await;
    let plugin = deploy(&app).await;
    let news = json!({
        "from": "hello@news.example.com", "to": "ada@example.org", "subject": "news", "text": "t",
        "headers": [["List-Unsubscribe", "one-click"]],
    });
    let id = send_with(&plugin, news.clone()).await;
    until(&plugin, &id, "sent").await;
    let mails = received(&server, "news");
    assert_eq!(mails.len(), 1);
    let mail = &mails[0];
    assert_eq!(
        mail.header("list-unsubscribe-post").as_deref(),
        Some("List-Unsubscribe=One-Click")
    );
    let url = mail.header("list-unsubscribe").unwrap();
    let path = url.trim_matches(['<', '>', ' ']);
    let path = &path[path.find("/acme/-/unsubscribe/").unwrap()..];
    // A mail scanner that follows links changes nothing.
    app.get(path).send().await.expect(200);
    let click = app
        .post(path)
        .header("content-type", "application/x-www-form-urlencoded");
    click.body("List-Unsubscribe=One-Click").send().await.expect(200);

    let id = send_with(&plugin, news).await;
    let mail = super::until_mail(&plugin, &id, |mail| mail["state"] != "queued").await;
    assert_eq!(mail["recipients"][0]["state"], "suppressed", "{mail}");
    assert_eq!(received(&server, "news").len(), 1);
}
