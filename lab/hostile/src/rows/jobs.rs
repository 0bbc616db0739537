//! M: jobs that multiply, and jobs that never end.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rig::clock::{pass, within};
use rig::guest::Recipe;
use rig::host::Host;
use rig::tenant::Tenant;
use serde_json::{Value, json};

use crate::catalogue::{Row, Seen};
use crate::stage::{Stage, WithGoodTenant as _};

pub const ROWS: [Row; 3] = [
    Row {
        id: "M1",
        tried: "jobs that add themselves again, many times each",
        run: m1,
    },
    Row {
        id: "M2",
        tried: "jobs that loop for ever and jobs that sleep for ever",
        run: m2,
    },
    Row {
        id: "M3",
        tried: "an event that each of its subscribers publishes again",
        run: m3,
    },
];

const PLUGIN: &str = "background";

/// A kind of job whose attempts end soon.
const KIND: &str = "[[job]]\nname = 'again'\nattempts = 2\nbackoff = { initial = '100ms', max = '100ms' }\n\
                    limits = { wall = '2s', cpu = '200ms' }\n";

/// The bound of the backlog in these rows.
const BACKLOG: u64 = 500;

fn deploy(host: &Host, name: &str, sections: &str, topics: &[&str]) -> Result<Tenant> {
    let tenant = host.tenant(name)?;
    tenant.limit(&json!({ "job_backlog": BACKLOG }))?;
    let guest = Recipe::of(test_artifacts::BACKGROUND)?
        .events(topics)
        .with(sections);
    tenant.deploy(&guest.guest())?;
    Ok(tenant)
}

/// Adds a job with these steps.
fn add(tenant: &Tenant, steps: &Value) -> Result<()> {
    let step = json!({ "enqueue": { "name": "again", "payload": { "do": steps } } });
    let reply = tenant.post(PLUGIN, "/", &json!({ "do": [step] }))?.is("200")?;
    let answer = reply.body()?;
    ensure!(answer[0].get("ok").is_some(), "{answer}");
    Ok(())
}

/// The jobs of the tenant that wait or run, and its dead letters.
fn live(host: &Host, tenant: &Tenant) -> Result<(u64, u64)> {
    let summary = host.admin().get(&tenant.path("/jobs/summary"))?.ok()?;
    let count = |member: &str| summary[member].as_u64().context("a number of jobs");
    Ok((count("live")?, count("dead")?))
}

/// Deletes all jobs, and waits until none is left.
fn end(host: &Host, tenant: &Tenant) -> Result<()> {
    let pause = tenant.path(&format!("/plugins/{PLUGIN}/jobs/pause"));
    host.admin().send("POST", &pause, None)?.ok()?;
    within(Duration::from_secs(60), "the end of all jobs", || {
        host.admin().send("DELETE", &tenant.path("/jobs"), None)?.ok()?;
        Ok((live(host, tenant)?.0 == 0).then_some(()))
    })
}

fn m1(stage: &Stage) -> Seen {
    let host = stage.plain()?;
    let tenant = deploy(host, "m1", KIND, &[])?;
    add(&tenant, &json!([{ "again": 20 }]))?;
    let mut most = 0;
    for _ in 0..stage.scaled(10, 50) {
        pass(Duration::from_millis(100));
        most = most.max(live(host, &tenant)?.0);
        host.serves_the_good_tenant()?;
    }
    // A count is read each second, so a few more may have been added meanwhile.
    ensure!(most <= BACKLOG * 2, "{most} jobs wait or run");
    let depths = host.admin().get(&tenant.path("/jobs?limit=200"))?.ok()?;
    let depths = depths["items"].as_array().context("a list of jobs")?.iter();
    let deepest = depths.filter_map(|job| job["depth"].as_u64()).max().unwrap_or(0);
    ensure!(deepest < 8, "a job that {deepest} others led to");
    end(host, &tenant)?;
    Ok(format!("at most {most} live jobs, {deepest} deep"))
}

fn m2(stage: &Stage) -> Seen {
    let host = stage.plain()?;
    let tenant = deploy(host, "m2", KIND, &[])?;
    let jobs = stage.scaled(6, 40);
    for number in 0..jobs {
        let step = match number % 2 {
            0 => json!({ "loop": null }),
            _ => json!({ "sleep-ms": 3_600_000 }),
        };
        add(&tenant, &json!([step]))?;
    }
    within(Duration::from_secs(120), "dead letters of all jobs", || {
        host.serves_the_good_tenant()?;
        let (live, dead) = live(host, &tenant)?;
        Ok((live == 0 && dead == jobs).then_some(()))
    })?;
    Ok(format!("{jobs} dead letters after two attempts each"))
}

fn m3(stage: &Stage) -> Seen {
    let host = stage.plain()?;
    let kinds: String = ["again", "other", "third"]
        .map(|name| {
            let kind = KIND.replace("again", name);
            format!("{kind}[[subscribe]]\ntopic = 'a.*'\njob = '{name}'\n")
        })
        .concat();
    let tenant = deploy(host, "m3", &kinds, &["a.*"])?;
    // Each event has three jobs, each of which publishes the next event. The payload of an event is
    // written from the inside out.
    let mut steps = json!([]);
    for _ in 0..12 {
        steps = json!([{ "publish": { "topic": "a.b", "payload": { "do": steps } } }]);
    }
    tenant.post(PLUGIN, "/", &json!({ "do": steps }))?.is("200")?;
    let mut most = 0;
    for _ in 0..stage.scaled(10, 50) {
        pass(Duration::from_millis(100));
        most = most.max(live(host, &tenant)?.0);
        host.serves_the_good_tenant()?;
    }
    ensure!(most <= BACKLOG * 2, "{most} jobs wait or run");
    end(host, &tenant)?;
    Ok(format!("at most {most} live jobs"))
}
