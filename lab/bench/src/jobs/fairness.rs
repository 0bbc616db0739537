//! How long the first job of a tenant waits while another tenant has 100,000 jobs waiting.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use mortise::domain::id::{JobId, TenantId};
use rig::clock::{pass, until};
use rig::host::Host;
use rig::{Bar, Measured};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::queue::Queue;
use super::{PLUGIN, TENANT, furnish, launch};
use crate::options::Options;
use crate::say;
use crate::series::Series;
use crate::subject::ORDER;

/// The longest wanted wait, in seconds.
const WANTED: f64 = 1.0;

/// How long each job of the crowd takes, in milliseconds.
const JOB_MS: u32 = 100;

/// The tenants whose first job is measured, in each case.
const FIRST: usize = 10;

/// Runs the measurement.
pub fn run(
    options: &Options,
    folder: &Arc<TempDir>,
    crowd: TenantId,
    runtime: &Arc<Runtime>,
) -> Result<(Measured, Value)> {
    let count = options.scaled(10_000, 100_000);
    let host = launch(options).start_on(folder.clone())?;
    let slots = slots(&host)?;
    // By default a tenant runs few jobs. With the second limit it takes all slots but the reserved
    // ones.
    let cases = [("the default limit", 8), ("every slot", slots)];
    let names = |case: usize| (0..FIRST).map(move |number| format!("first-{case}-{number}"));
    let mut firsts = Vec::new();
    for case in 0..cases.len() {
        for name in names(case) {
            let tenant = furnish(&host, &name)?;
            firsts.push((case, name, tenant));
        }
    }
    host.stop()?;
    let queue = Queue::open(folder.path(), runtime.clone())?;
    queue.fill(crowd, "wait", &JOB_MS.to_string(), count)?;
    queue.close();

    let mut added: Vec<(usize, TenantId, JobId)> = Vec::new();
    for (case, (_, running)) in cases.iter().enumerate() {
        let host = launch(options).start_on(folder.clone())?;
        host.known(TENANT)
            .limit(&json!({ "jobs_running": running, "job_backlog": 1_000_000 }))?;
        until("a crowd that runs", || {
            let node = host.admin().get("/api/v1/node")?.ok()?;
            let in_use = node["gauges"]["job_slots_in_use"].as_u64().unwrap_or(0);
            // Slots are given back and taken again all the time.
            Ok((in_use * 2 >= *running).then_some(()))
        })?;
        for (_, name, tenant) in firsts.iter().filter(|(of, _, _)| of == &case) {
            let path = format!("/{name}/{PLUGIN}/enqueue");
            let reply = host
                .http()
                .send("POST", &path, Some(("application/json", ORDER.as_bytes())))?;
            let id = reply.is("200")?.body()?;
            let id: JobId = id.as_str().context("the id of a job")?.parse()?;
            ended(&host, name, id)?;
            added.push((case, *tenant, id));
            pass(Duration::from_millis(150));
        }
        host.kill()?;
    }

    let queue = Queue::open(folder.path(), runtime.clone())?;
    let mut raw = serde_json::Map::new();
    let mut longest = 0.0_f64;
    for (case, (name, running)) in cases.iter().enumerate() {
        let of_case = added.iter().filter(|(of, _, _)| *of == case);
        let waits = of_case.map(|(_, tenant, id)| queue.start_delay(*tenant, *id));
        let waits = Series(waits.collect::<Result<_>>()?);
        let (least, most) = waits.spread();
        longest = longest.max(most / 1_000.0);
        say(&format!(
            "  beside {count} jobs of another tenant that runs {running} at once ({name}): the first job starts \
             after {:.0} ms ({least:.0} to {most:.0})\n",
            waits.median()
        ));
        raw.insert(
            (*name).to_owned(),
            json!({ "running": running, "waits_ms": waits }),
        );
    }
    queue.close();
    let name = format!("first job of a tenant beside {count} of another, longest until it starts, seconds");
    Ok((
        Measured::new(&name, longest, Bar::AtMost(WANTED)),
        Value::Object(raw),
    ))
}

/// The slots for jobs of a host.
fn slots(host: &Host) -> Result<u64> {
    let node = host.admin().get("/api/v1/node")?.ok()?;
    node["gauges"]["job_slots_total"].as_u64().context("the slots")
}

/// Waits until a job is done.
fn ended(host: &Host, tenant: &str, id: JobId) -> Result<()> {
    let path = host.known(tenant).path(&format!("/jobs/{id}"));
    until("the end of the first job", || {
        let job = host.admin().get(&path)?.ok()?;
        Ok((job["state"] == "done").then_some(()))
    })
}
