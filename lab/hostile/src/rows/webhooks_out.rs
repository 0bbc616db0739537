//! N9 to N12: receivers of the host's webhooks that fail, and endpoints that must not be reached.

use anyhow::{Context as _, Result, ensure};
use rig::clock::within;
use rig::guest::Recipe;
use rig::host::Host;
use rig::receiver::{Received, Receiver};
use rig::tenant::Tenant;
use serde_json::{Value, json};

use super::webhooks_in::{RETRY, prepare, step};
use crate::catalogue::{Row, Seen};
use crate::stage::{Stage, WithGoodTenant as _};

pub const ROWS: [Row; 4] = [
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
