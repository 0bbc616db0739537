//! N6 to N8: webhooks that are forged, repeated or reordered, and rolled secrets.

use std::time::Duration;

use anyhow::{Result, ensure};
use rig::clock::{unix_seconds, within};
use rig::guest::Recipe;
use rig::host::Host;
use rig::signature;
use rig::tenant::Tenant;
use serde_json::{Value, json};

use crate::catalogue::{Row, Seen};
use crate::stage::{Stage, at_once};

pub const ROWS: [Row; 3] = [
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
];

const PLUGIN: &str = "background";

/// What jobs write.
const TABLES: &str = "CREATE TABLE effects (n INTEGER PRIMARY KEY, key TEXT NOT NULL);";

/// The webhook.
const WEBHOOK: &str = "[[webhook]]\nname = 'shop'\nscheme = 'stripe'\nsecrets = ['hook_0', 'hook_1']\n\
                       job = 'on-event'\n";

/// The secrets of the webhook, two as during a rotation.
const SECRETS: [&str; 2] = ["whsec_first", "whsec_second"];

/// Longer than any job and the first wait of a delivery take.
pub(super) const RETRY: Duration = Duration::from_secs(60);

/// A tenant with a webhook and events, on a host that calls this machine.
pub(super) fn prepare<'a>(stage: &'a Stage, name: &str) -> Result<(&'a Host, Tenant)> {
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
pub(super) fn step(tenant: &Tenant, step: &Value) -> Result<Value> {
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
    let statuses = at_once(4, |_| {
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
