//! N1 to N5: mail servers that fail, and mail that should not be sent.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rig::clock::within;
use rig::guest::Recipe;
use rig::host::Host;
use rig::smtp::{At, Mail, Mode, Smtp};
use rig::tenant::Tenant;
use serde_json::{Value, json};

use crate::catalogue::{Row, Seen};
use crate::stage::{Stage, WithGoodTenant as _};

pub const ROWS: [Row; 5] = [
    Row {
        id: "N1",
        tried: "a mail server that is busy, hangs up, or takes mail without an acknowledgement",
        run: n1,
    },
    Row {
        id: "N2",
        tried: "mailboxes that are full or do not exist, and mail that the server refuses",
        run: n2,
    },
    Row {
        id: "N3",
        tried: "header fields and recipients in subjects, addresses, names of files and media types",
        run: n3,
    },
    Row {
        id: "N4",
        tried: "mail from the addresses of others, and a mail server inside the host's network",
        run: n4,
    },
    Row {
        id: "N5",
        tried: "more mail, more recipients and more bytes than the limits allow",
        run: n5,
    },
];

const PLUGIN: &str = "background";

/// Longer than the first wait of a mail that could not be sent.
const RETRY: Duration = Duration::from_secs(90);

/// A host that sends its mail to a server, with a tenant that may send.
fn prepare(stage: &Stage, name: &str) -> Result<(Host, Tenant, Smtp)> {
    let smtp = Smtp::start()?;
    let launch = stage
        .launch()
        .set("mail.host", &smtp.address().ip().to_string())
        .set("mail.port", &smtp.address().port().to_string())
        .set("mail.security", "none");
    let host = stage.fresh(&launch)?;
    let tenant = host.tenant(name)?.keep();
    let guest = Recipe::of(test_artifacts::BACKGROUND)?.email(&["shop@example.com"]);
    tenant.deploy(&guest.guest())?;
    let domains = json!({ "domains": ["example.com"] });
    let path = tenant.path("/mail/sender-domains");
    host.admin().json("PUT", &path, &domains)?.ok()?;
    Ok((host, tenant, smtp))
}

/// A mail with some members.
fn mail(members: &Value) -> Value {
    let mut mail = json!({ "to": "ada@example.org", "subject": "s", "text": "t" });
    for (name, value) in members.as_object().into_iter().flatten() {
        mail[name.as_str()] = value.clone();
    }
    mail
}

/// Sends a mail: `Ok` with its id, or the error.
fn send(tenant: &Tenant, members: &Value) -> Result<Result<String, String>> {
    let steps = json!({ "do": [{ "mail": mail(members) }] });
    let answer = tenant.post(PLUGIN, "/", &steps)?.is("200")?.body()?;
    match answer[0]["ok"].as_str() {
        Some(id) => Ok(Ok(id.to_owned())),
        None => Ok(Err(answer[0]["error"].to_string())),
    }
}

/// Sends a mail that must be accepted.
fn sent(tenant: &Tenant, members: &Value) -> Result<String> {
    send(tenant, members)?.map_err(|error| anyhow::anyhow!("{members}: {error}"))
}

/// Waits until a mail has one of these states.
fn until(host: &Host, tenant: &Tenant, id: &str, states: &[&str]) -> Result<Value> {
    let mut last = Value::Null;
    let path = tenant.path(&format!("/mail/{id}"));
    within(RETRY, "the state of a mail", || {
        last = host.admin().get(&path)?.ok()?;
        let is_there = states.iter().any(|state| last["state"] == *state);
        Ok(is_there.then_some(()))
    })
    .with_context(|| format!("{states:?}: {last}"))?;
    Ok(last)
}

/// The mails with this subject.
fn arrived(smtp: &Smtp, subject: &str) -> Vec<Mail> {
    let mails = smtp.messages().into_iter();
    mails
        .filter(|mail| mail.header("subject").as_deref() == Some(subject))
        .collect()
}

fn n1(stage: &Stage) -> Seen {
    let (host, tenant, smtp) = prepare(stage, "n1")?;
    let mut waiting = Vec::new();
    for (mode, subject) in [
        (Mode::Busy, "busy"),
        (Mode::Drop, "dropped"),
        (Mode::Unacknowledged, "unacknowledged"),
    ] {
        smtp.set(mode);
        let id = sent(&tenant, &json!({ "subject": subject }))?;
        let path = tenant.path(&format!("/mail/{id}"));
        within(RETRY, "the error of the first attempt", || {
            let mail = host.admin().get(&path)?.ok()?;
            Ok(mail["error"].is_string().then_some(()))
        })?;
        waiting.push((id, subject));
    }
    host.serves_the_good_tenant()?;
    smtp.set(Mode::Serve);
    for (id, subject) in waiting {
        until(&host, &tenant, &id, &["sent"])?;
        let mails = arrived(&smtp, subject);
        let acknowledged = mails.iter().filter(|mail| mail.acknowledged).count();
        ensure!(acknowledged == 1, "{subject}: {acknowledged} acknowledged copies");
    }
    host.stop()?;
    Ok("each mail waited with the reason, and arrived once the server worked".to_owned())
}

fn n2(stage: &Stage) -> Seen {
    let (host, tenant, smtp) = prepare(stage, "n2")?;
    smtp.answer("full@example.org", At::Recipient, "452 4.2.2 mailbox full", 1);
    smtp.answer(
        "nobody@example.org",
        At::Recipient,
        "550 5.1.1 no such mailbox",
        1,
    );
    smtp.answer("strict@example.org", At::Data, "554 5.7.1 refused as spam", 1);
    let full = sent(&tenant, &json!({ "to": "full@example.org", "subject": "full" }))?;
    let nobody = sent(&tenant, &json!({ "to": "nobody@example.org" }))?;
    let strict = sent(&tenant, &json!({ "to": "strict@example.org" }))?;
    for (id, reason) in [(&nobody, "5.1.1"), (&strict, "5.7.1")] {
        let mail = until(&host, &tenant, id, &["failed"])?;
        ensure!(mail.to_string().contains(reason), "{reason}: {mail}");
    }
    until(&host, &tenant, &full, &["sent"])?;
    ensure!(arrived(&smtp, "full").len() == 1, "{:?}", smtp.messages());
    let suppressed = host
        .admin()
        .get(&tenant.path("/mail/suppressions"))?
        .ok()?
        .to_string();
    ensure!(
        suppressed.contains("nobody@") && !suppressed.contains("full@"),
        "{suppressed}"
    );
    host.stop()?;
    Ok("the full mailbox got it later; the others are shown with the server's reply".to_owned())
}

fn n3(stage: &Stage) -> Seen {
    const LINE: &str = "a\r\nBcc: victim@example.net";
    let (host, tenant, smtp) = prepare(stage, "n3")?;
    let mut tried = 0;
    for members in [
        json!({ "subject": LINE }),
        json!({ "subject": "a\nBcc: victim@example.net" }),
        json!({ "subject": "a\rBcc: victim@example.net" }),
        json!({ "subject": "a\0b" }),
        json!({ "to": "ada@example.org\r\nRCPT TO:<victim@example.net>" }),
        json!({ "to": "ada@example.org>\r\nDATA\r\n" }),
        json!({ "cc": "ada@example.org, victim@example.net" }),
        json!({ "bcc": "Ada <ada@example.org>, victim@example.net" }),
        json!({ "reply_to": LINE }),
        json!({ "from": "shop@example.com\r\nBcc: victim@example.net" }),
        json!({ "headers": [["X-A", LINE]] }),
        json!({ "headers": [["X-A: b\r\nBcc", "victim@example.net"]] }),
        json!({ "headers": [["Bcc", "victim@example.net"]] }),
        json!({ "headers": [["bCC", "victim@example.net"]] }),
        json!({ "headers": [["Resent-To", "victim@example.net"]] }),
        json!({ "headers": [["From", "victim@example.net"]] }),
        json!({ "headers": [["Content-Type", "multipart/mixed; boundary=x"]] }),
        json!({ "attachments": [{ "name": LINE, "type": "text/plain", "text": "t" }] }),
        json!({ "attachments": [{ "name": "a\"; x=\"\r\n", "type": "text/plain", "text": "t" }] }),
        json!({ "attachments": [{ "name": "a.txt", "type": LINE, "text": "t" }] }),
    ] {
        if let Ok(id) = send(&tenant, &members)? {
            let mail = until(&host, &tenant, &id, &["sent", "failed"])?;
            ensure!(
                mail["state"] != "sent",
                "it was sent: {members}: {:?}",
                smtp.messages()
            );
        }
        tried += 1;
    }
    // The text of a mail may have anything, also what ends a mail in SMTP.
    let text = "one\r\n.\r\nMAIL FROM:<a@x>\r\nRCPT TO:<victim@example.net>\r\nDATA\r\n";
    let id = sent(&tenant, &json!({ "subject": "text", "text": text }))?;
    until(&host, &tenant, &id, &["sent"])?;
    let mails = smtp.messages();
    ensure!(
        mails.len() == 1 && mails[0].to == ["ada@example.org"],
        "{mails:?}"
    );
    host.stop()?;
    Ok(format!(
        "{tried} of {tried} refused; a text that looks like SMTP is one mail"
    ))
}

fn n4(stage: &Stage) -> Seen {
    let (host, tenant, smtp) = prepare(stage, "n4")?;
    for from in [
        "ceo@example.com",
        "shop@example.net",
        "shop@sub.example.com",
        "shop@EXAMPLE.net",
    ] {
        let error = send(&tenant, &json!({ "from": from }))?.err();
        let error = error.with_context(|| format!("{from} was accepted"))?;
        ensure!(error.contains("NotGranted"), "{from}: {error}");
    }
    // A domain that the operator takes away.
    let path = tenant.path("/mail/sender-domains");
    host.admin().json("PUT", &path, &json!({ "domains": [] }))?.ok()?;
    if let Ok(id) = send(&tenant, &json!({ "subject": "unlisted" }))? {
        let path = tenant.path(&format!("/mail/{id}"));
        within(RETRY, "the reason", || {
            let mail = host.admin().get(&path)?.ok()?;
            Ok(mail["error"].is_string().then_some(()))
        })?;
    }
    ensure!(smtp.messages().is_empty(), "{:?}", smtp.messages());

    let inside = Smtp::start()?;
    host.admin()
        .json("PUT", &path, &json!({ "domains": ["example.com"] }))?
        .ok()?;
    let mut refused = 0;
    for (server, port) in [
        (inside.address().ip().to_string(), inside.address().port()),
        ("localhost".to_owned(), 2525),
        ("169.254.169.254".to_owned(), 25),
        ("[::1]".to_owned(), 587),
        ("10.0.0.1".to_owned(), 25),
        ("mail.example.com".to_owned(), 6379),
    ] {
        let settings = json!({ "host": server, "port": port, "security": "none" });
        let reply = host.admin().json("PUT", &tenant.path("/mail/smtp"), &settings)?;
        refused += usize::from(reply.status >= 400);
        if reply.status < 400 {
            ensure!(port != 6379, "a port that is none for mail was accepted");
            let id = sent(&tenant, &json!({ "subject": "inside" }))?;
            let path = tenant.path(&format!("/mail/{id}"));
            within(RETRY, "the reason", || {
                let mail = host.admin().get(&path)?.ok()?;
                Ok(mail["error"].is_string().then_some(()))
            })?;
        }
    }
    ensure!(
        inside.connections() == 0,
        "a server inside the network was connected"
    );
    host.serves_the_good_tenant()?;
    host.stop()?;
    Ok(format!(
        "refused; no connection to 6 servers, {refused} of them refused as settings"
    ))
}

fn n5(stage: &Stage) -> Seen {
    let (host, tenant, smtp) = prepare(stage, "n5")?;
    tenant.limit(&json!({ "mails_per_hour": 5, "mail_recipients": 10, "mail_size": "64KiB" }))?;
    let many: Vec<String> = (0..11).map(|number| format!("a{number}@example.org")).collect();
    for members in [json!({ "to": many }), json!({ "text": "x".repeat(100_000) })] {
        let error = send(&tenant, &members)?.err().context("it was accepted")?;
        ensure!(error.contains("Limit") || error.contains("Invalid"), "{error}");
    }
    let mut refused = 0;
    for _ in 0..20 {
        if let Err(error) = send(&tenant, &json!({ "subject": "many" }))? {
            ensure!(error.contains("Limit"), "{error}");
            refused += 1;
        }
    }
    ensure!(refused == 15, "{refused} of 20 were refused");
    within(RETRY, "the accepted mails", || {
        Ok((arrived(&smtp, "many").len() >= 5).then_some(()))
    })?;
    ensure!(smtp.messages().len() == 5, "{} mails", smtp.messages().len());
    host.stop()?;
    Ok("5 of 20 mails in an hour, the others refused with the limit".to_owned())
}
