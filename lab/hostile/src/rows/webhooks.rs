//! N6 to N12: forged, repeated and reordered webhooks, and receivers that fail.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rig::clock::{unix_seconds, within};
use rig::guest::Recipe;
use rig::host::Host;
use rig::receiver::{Received, Receiver};
use rig::signature;
use rig::tenant::Tenant;
use serde_json::{Value, json};

use crate::catalogue::{Row, Seen};
use crate::stage::{Stage, WithGoodTenant as _};

pub const ROWS: [Row; 7] = [
    Row {
        id: "N6",
        tried: "webhooks with wrong signatures, changed bodies, and old, future and missing timestamps",
        run: n6,
    },
    Row {
        id: "N7",
        tried: "webhooks that come twice, in another order, and at once",
        run: n7,
    },
    Row {
        id: "N8",
        tried: "webhooks while a secret is rolled, without a secret, and for a suspended tenant",
        run: n8,
    },
    Row {
        id: "N9",
        tried: "a receiver of webhooks that is down, one that redirects, and one that is gone",
        run: n9,
    },
    Row {
        id: "N10",
        tried: "receivers that never answer, or answer without end",
        run: n10,
    },
    Row {
        id: "N11",
        tried: "endpoints inside the host's network, and URLs that are none",
        run: n11,
    },
    Row {
        id: "N12",
        tried: "a signing secret that is rolled while deliveries wait",
        run: n12,
    },
];

const PLUGIN: &str = "background";

/// What jobs write.
const TABLES: &str = "CREATE TABLE effects (n INTEGER PRIMARY KEY, key TEXT NOT NULL);";

/// The webhook.
const WEBHOOK: &str = "[[webhook]]\nname = 'shop'\nscheme = 'stripe'\nsecrets = ['hook_0', 'hook_1']\n\
                       job = 'on-event'\n";

/// The secrets of the webhook, two as during a rotation.
const SECRETS: [&str; 2] = ["whsec_first", "whsec_second"];

/// The paths of the hostile server that do not answer as a receiver should.
const HOSTILE: [&str; 9] = [
    "/never",
    "/half",
    "/drip",
    "/endless",
    "/bomb",
    "/headers",
    "/lengths",
    "/continues",
    "/trailers",
];

/// Longer than the first wait of a delivery.
const RETRY: Duration = Duration::from_secs(60);

/// A tenant with a webhook and events, on a host that calls this machine.
fn prepare<'a>(stage: &'a Stage, name: &str) -> Result<(&'a Host, Tenant)> {
    let host = stage.open()?;
    let tenant = host.tenant(name)?;
    for (index, value) in SECRETS.iter().enumerate() {
        tenant.secret(&format!("hook_{index}"), value)?;
    }
    let guest = Recipe::of(test_artifacts::BACKGROUND)?
        .database(&[TABLES])
        .secrets(&["hook_0", "hook_1"], &[])
        .events(&["order.*"])
        .with("[[job]]\nname = 'on-event'\n")
        .with(WEBHOOK);
    tenant.deploy(&guest.guest())?;
    Ok((host, tenant))
}

/// The body of a webhook whose job writes `key`.
fn body(id: &str, key: &str) -> String {
    let insert = json!({ "execute": "INSERT INTO effects (key) VALUES ($1)", "params": [key] });
    json!({ "id": id, "do": [insert] }).to_string()
}

/// Sends a webhook with this signature, and returns the status.
fn deliver(host: &Host, tenant: &Tenant, signature: Option<&str>, body: &[u8]) -> Result<u16> {
    let path = format!("/{}/-/webhooks/{PLUGIN}/shop", tenant.name);
    let mut http = host.http();
    if let Some(signature) = signature {
        http = http.header("stripe-signature", signature);
    }
    Ok(http.send("POST", &path, Some(("application/json", body)))?.status)
}

/// Sends a webhook that is signed now.
fn signed(host: &Host, tenant: &Tenant, secret: &str, body: &str) -> Result<u16> {
    let signature = signature::stripe(secret, unix_seconds(), body);
    deliver(host, tenant, Some(&signature), body.as_bytes())
}

/// Does one step in a request.
fn step(tenant: &Tenant, step: &Value) -> Result<Value> {
    let answer = tenant
        .post(PLUGIN, "/", &json!({ "do": [step] }))?
        .is("200")?
        .body()?;
    ensure!(answer[0].get("ok").is_some(), "{step}: {answer}");
    Ok(answer[0]["ok"].clone())
}

/// The keys that jobs wrote, in order.
fn effects(tenant: &Tenant) -> Result<Vec<String>> {
    let rows = step(tenant, &json!({ "query": "SELECT key FROM effects ORDER BY n" }))?;
    let rows: Vec<(String,)> = serde_json::from_value(rows)?;
    Ok(rows.into_iter().map(|(key,)| key).collect())
}

/// Waits for this number of effects.
fn until_effects(tenant: &Tenant, count: usize) -> Result<Vec<String>> {
    within(RETRY, "the jobs of all webhooks", || {
        let effects = effects(tenant)?;
        Ok((effects.len() >= count).then_some(effects))
    })
}

/// Adds an endpoint. Returns the response's body.
fn endpoint(host: &Host, tenant: &Tenant, url: &str) -> Result<Value> {
    let path = tenant.path("/webhooks/endpoints");
    let endpoint = json!({ "url": url, "topics": ["order.*"] });
    host.admin().post(&path, &endpoint)?.ok().context("an endpoint")
}

fn publish(tenant: &Tenant, key: &str) -> Result<()> {
    let event = json!({ "publish": { "topic": "order.paid", "payload": { "key": key } } });
    step(tenant, &event).map(drop)
}

/// Waits until a receiver has so many requests.
fn until_received(receiver: &Receiver, count: usize) -> Result<Vec<Received>> {
    within(RETRY, "the deliveries", || {
        let seen = receiver.seen();
        Ok((seen.len() >= count).then_some(seen))
    })
}

fn n6(stage: &Stage) -> Seen {
    let (host, tenant) = prepare(stage, "n6")?;
    let text = body("evt_forged", "forged");
    let now = unix_seconds();
    let right = signature::stripe(SECRETS[0], now, &text);
    let digits = right.rsplit('=').next().unwrap_or_default().to_owned();
    let mut refused = 0;
    for signature in [
        signature::stripe("whsec_guessed", now, &text),
        signature::stripe("", now, &text),
        signature::stripe(SECRETS[0], now - 3_600, &text),
        signature::stripe(SECRETS[0], now + 3_600, &text),
        signature::stripe(SECRETS[0], now, "{}"),
        format!("v1={digits}"),
        format!("t={now}"),
        format!("t={now},v0={digits}"),
        format!("t=,v1={digits}"),
        format!("t={}9,v1={digits}", u64::MAX),
        format!("t=-1,v1={digits}"),
        format!("t={now},v1={}", &digits[..32]),
        format!(
            "t={now},v1={}",
            digits.to_uppercase().replace(['A', 'B', 'C'], "0")
        ),
        format!("t={now},{}", "v1=00,".repeat(2_000)),
        String::new(),
    ] {
        let status = deliver(host, &tenant, Some(&signature), text.as_bytes())?;
        ensure!(status == 400 || status == 431, "{signature:.80}: {status}");
        refused += 1;
    }
    ensure!(
        deliver(host, &tenant, None, text.as_bytes())? == 400,
        "no signature"
    );
    ensure!(
        deliver(host, &tenant, Some(&right), b"{}")? == 400,
        "a changed body"
    );
    let large = vec![b' '; 3 << 20];
    let status = deliver(host, &tenant, Some(&right), &large)?;
    ensure!(status == 413, "a large body: {status}");
    let nowhere = format!("/{}/-/webhooks/{PLUGIN}/other", tenant.name);
    let reply = host.http().post(&nowhere, &json!({}))?;
    ensure!(reply.status == 404, "no such webhook: {}", reply.seen());
    ensure!(effects(&tenant)?.is_empty(), "a job ran");
    ensure!(signed(host, &tenant, SECRETS[0], &text)? == 200, "the right one");
    until_effects(&tenant, 1)?;
    Ok(format!("{refused} signatures refused before an instance started"))
}

fn n7(stage: &Stage) -> Seen {
    const EVENTS: usize = 20;
    let (host, tenant) = prepare(stage, "n7")?;
    let bodies: Vec<String> = (0..EVENTS)
        .rev()
        .map(|number| body(&format!("evt_{number}"), &format!("{number:03}")))
        .collect();
    let tenant = &tenant;
    let statuses = crate::stage::at_once(4, |_| {
        let sent = bodies.iter().map(|body| signed(host, tenant, SECRETS[0], body));
        sent.collect::<Result<Vec<u16>>>()
    });
    for statuses in statuses {
        let statuses = statuses?;
        ensure!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    }
    until_effects(tenant, EVENTS)?;
    // Once more, after all jobs have ended.
    for body in &bodies {
        ensure!(signed(host, tenant, SECRETS[0], body)? == 200, "{body}");
    }
    let mut effects = effects(tenant)?;
    effects.sort();
    let wanted: Vec<String> = (0..EVENTS).map(|number| format!("{number:03}")).collect();
    ensure!(effects == wanted, "{effects:?}");
    Ok(format!(
        "{EVENTS} events, each sent five times, took effect once each"
    ))
}

fn n8(stage: &Stage) -> Seen {
    let (host, tenant) = prepare(stage, "n8")?;
    for (index, secret) in SECRETS.iter().enumerate() {
        let text = body(&format!("evt_{index}"), secret);
        ensure!(signed(host, &tenant, secret, &text)? == 200, "the secret {index}");
    }
    // The first secret is rolled: what it signed is refused, and the new one is accepted soon.
    tenant.secret("hook_0", "whsec_third")?;
    within(RETRY, "the new secret", || {
        let status = signed(host, &tenant, "whsec_third", &body("evt_third", "third"))?;
        Ok((status == 200).then_some(()))
    })?;
    let status = signed(host, &tenant, SECRETS[0], &body("evt_old", "old"))?;
    ensure!(status == 400, "the old secret: {status}");

    let suspended = |is: bool| {
        let path = tenant.path("");
        host.admin()
            .json("PATCH", &path, &json!({ "suspended": is }))?
            .ok()
            .map(drop)
    };
    suspended(true)?;
    let status = signed(host, &tenant, SECRETS[1], &body("evt_held", "held"))?;
    ensure!(status == 200, "a suspended tenant: {status}");
    suspended(false)?;
    let effects = until_effects(&tenant, 4)?;
    ensure!(!effects.iter().any(|key| key == "old"), "{effects:?}");
    for index in 0..SECRETS.len() {
        let path = tenant.path(&format!("/secrets/hook_{index}"));
        host.admin().send("DELETE", &path, None)?.ok()?;
    }
    within(RETRY, "the end of the secrets", || {
        let status = signed(host, &tenant, SECRETS[1], &body("evt_none", "none"))?;
        ensure!([200, 400, 503].contains(&status), "without a secret: {status}");
        Ok((status == 503).then_some(()))
    })?;
    Ok("both secrets were accepted, the rolled one refused; suspended: stored, and run later".to_owned())
}

fn n9(stage: &Stage) -> Seen {
    let (host, tenant) = prepare(stage, "n9")?;
    let (down, gone) = (Receiver::start()?, Receiver::start()?);
    down.answer(503);
    gone.answer(410);
    endpoint(host, &tenant, &down.url("/down"))?;
    let gone_id = endpoint(host, &tenant, &gone.url("/gone"))?["id"].clone();
    let redirected = stage
        .server
        .url(&format!("/redirect/{}", down.url("/redirected")));
    endpoint(host, &tenant, &redirected)?;
    publish(&tenant, "k")?;
    until_received(&down, 1)?;
    down.answer(204);
    let seen = until_received(&down, 2)?;
    ensure!(seen.iter().all(|request| request.path == "/down"), "{seen:?}");
    ensure!(
        seen[0].headers.get("webhook-id") == seen[1].headers.get("webhook-id")
            && seen[0].body == seen[1].body,
        "{seen:?}"
    );
    let id = gone_id.as_str().context("the id of an endpoint")?;
    let path = tenant.path(&format!("/webhooks/endpoints/{id}"));
    within(RETRY, "the end of the endpoint", || {
        let endpoint = host.admin().get(&path)?.ok()?;
        Ok((endpoint["enabled"] == false).then_some(()))
    })?;
    publish(&tenant, "l")?;
    until_received(&down, 3)?;
    ensure!(gone.seen().len() == 1, "{} requests after 410", gone.seen().len());
    Ok("repeated with the same id and body; 410 ended the endpoint; no redirect was followed".to_owned())
}

fn n10(stage: &Stage) -> Seen {
    let (host, tenant) = prepare(stage, "n10")?;
    let good = Receiver::start()?;
    for path in HOSTILE {
        endpoint(host, &tenant, &stage.server.url(path))?;
    }
    endpoint(host, &tenant, &good.url("/good"))?;
    for key in ["first", "second"] {
        publish(&tenant, key)?;
    }
    until_received(&good, 2)?;
    host.serves_the_good_tenant()?;
    // The slowest attempt ends with its time limit of 15 s.
    let path = tenant.path("/webhooks/deliveries?limit=200");
    within(RETRY, "the first attempts", || {
        let list = host.admin().get(&path)?.ok()?;
        let items = list["items"].as_array().context("a list of deliveries")?;
        let delivered = items.iter().filter(|delivery| delivery["state"] == "delivered");
        Ok((delivered.count() >= 2).then_some(()))
    })?;
    ensure!(good.seen().len() == 2, "{} requests", good.seen().len());
    Ok("a good endpoint beside nine of them got its two deliveries once each".to_owned())
}

fn n11(stage: &Stage) -> Seen {
    let host = stage.plain()?;
    let tenant = host.tenant("n11")?;
    let guest = Recipe::of(test_artifacts::BACKGROUND)?.events(&["order.*"]);
    tenant.deploy(&guest.guest())?;
    let inside = Receiver::start()?;
    let path = tenant.path("/webhooks/endpoints");
    let mut refused = 0;
    let urls = [
        inside.url("/hook"),
        inside.url("/hook").replace("http://", "https://"),
        inside.url("/hook").replace("127.0.0.1", "localhost"),
        "https://169.254.169.254/latest/meta-data".to_owned(),
        "https://[::1]/".to_owned(),
        "https://10.0.0.1/".to_owned(),
        "https://user:password@example.com/".to_owned(),
        "file:///etc/passwd".to_owned(),
        "gopher://example.com/".to_owned(),
        "https://".to_owned(),
        "https://example.com/\r\nx: y".to_owned(),
        String::new(),
    ];
    for url in &urls {
        let reply = host
            .admin()
            .post(&path, &json!({ "url": url, "topics": ["order.*"] }))?;
        ensure!(reply.status < 500, "{url}: {}: {}", reply.seen(), reply.text());
        refused += usize::from(reply.status >= 400);
    }
    publish(&tenant, "inside")?;
    let summary = tenant.path("/jobs?state=ready,running&limit=1");
    within(RETRY, "the attempts of all deliveries", || {
        let jobs = host.admin().get(&summary)?.ok()?;
        Ok(jobs["items"].as_array().is_some_and(Vec::is_empty).then_some(()))
    })?;
    ensure!(inside.seen().is_empty(), "{:?}", inside.seen());
    host.serves_the_good_tenant()?;
    Ok(format!(
        "{refused} of {} refused at once, and none was reached",
        urls.len()
    ))
}

fn n12(stage: &Stage) -> Seen {
    let (host, tenant) = prepare(stage, "n12")?;
    let receiver = Receiver::start()?;
    receiver.answer(503);
    let made = endpoint(host, &tenant, &receiver.url("/hook"))?;
    let id = made["id"].as_str().context("the id of an endpoint")?;
    publish(&tenant, "waits")?;
    until_received(&receiver, 1)?;
    let path = tenant.path(&format!("/webhooks/endpoints/{id}"));
    let rotated = host
        .admin()
        .post(&format!("{path}/rotate"), &json!({ "grace": "1h" }))?
        .ok()?;
    ensure!(
        rotated["secret"].is_string() && rotated["secret"] != made["secret"],
        "the secret is the same"
    );
    receiver.answer(204);
    let seen = until_received(&receiver, 2)?;
    let signatures = |request: &Received| {
        let header = request.headers.get("webhook-signature");
        header.map_or(0, |header| {
            header.split(' ').filter(|one| one.starts_with("v1,")).count()
        })
    };
    let counts = [signatures(&seen[0]), signatures(&seen[1])];
    ensure!(counts == [1, 2], "{counts:?} signatures");
    let shown = host.admin().get(&path)?.ok()?.to_string();
    for secret in [&made["secret"], &rotated["secret"]] {
        let secret = secret.as_str().context("a secret")?;
        ensure!(!shown.contains(secret), "a secret is shown again");
        ensure!(!host.log().contains(secret), "a secret is in the log");
    }
    Ok("the delivery that waited is signed with both secrets, which are shown once".to_owned())
}
