//! Stage 3: a host that stands still until the leases of its jobs are over, and then goes on.

use std::time::Duration;

use anyhow::{Context as _, Result};
use rig::clock::{pass, until};
use rustix::process::Signal;
use serde::Serialize;
use serde_json::{Value, json};

use super::client::{Client, ask, metrics};
use super::scene::{LEASE, PLUGIN, Scene, effect};
use crate::say;

/// The jobs that run while the host stands still.
const JOBS: usize = 12;

/// How long they work before their effect, in milliseconds: long enough for the host to be stopped
/// first.
const WORK_MS: u64 = 1_000;

/// The result of the stage.
#[derive(Debug, Default, Serialize)]
pub struct Stopped {
    /// Attempts whose lease ended.
    lost: usize,
    /// Attempts that failed before the host noticed that their lease had ended.
    failed: usize,
    /// Results that came after their lease had ended, and were ignored.
    stale: u64,
    /// Effects of attempts whose lease had ended.
    late: usize,
    /// Jobs without exactly one effect.
    wrong: usize,
}

impl Stopped {
    /// Whether the attempts of before changed nothing.
    pub fn is_clean(&self) -> bool {
        self.late == 0 && self.wrong == 0
    }
}

/// Runs the stage.
pub fn run(scene: &Scene, client: &mut Client) -> Result<Stopped> {
    let tenant = scene.tenants()[0];
    let host = client.host();
    let stale = || -> Result<f64> {
        let metrics = metrics(host)?;
        let stale = metrics.get("mortise_job_results_stale_total").copied();
        stale.context("the metrics count stale results")
    };
    let before = stale()?;
    let mut ids = Vec::new();
    for index in 0..JOBS {
        let mut payload = effect(&format!("stopped-{index}"), true);
        payload["do"][0] = json!({ "sleep-ms": WORK_MS });
        let step = json!({ "enqueue": { "name": "once", "payload": payload } });
        let id = ask(&host.known(tenant), &step)?;
        ids.push(id.as_str().context("the id of a job")?.to_owned());
    }
    until("the beginning of all jobs", || {
        let node = host.admin().get("/api/v1/node")?.ok()?;
        let in_use = node["gauges"]["job_slots_in_use"].as_u64().unwrap_or(0);
        Ok((usize::try_from(in_use)? >= JOBS).then_some(()))
    })?;
    host.signal(Signal::STOP)?;
    let stood_still = LEASE + Duration::from_secs(2);
    pass(stood_still);
    host.signal(Signal::CONT)?;
    client.finish(LEASE * 5)?;

    let mut stopped = Stopped::default();
    for (index, id) in ids.iter().enumerate() {
        let job = client.job(tenant, id)?;
        let attempts = job["attempts"].as_array().cloned().unwrap_or_default();
        let first = attempts.first().map(|attempt| &attempt["outcome"]);
        stopped.lost += usize::from(first == Some(&json!("lost")));
        stopped.failed += usize::from(first == Some(&json!("retry")));
        let step = json!({
            "query": "SELECT attempt FROM effects WHERE key = $1",
            "params": [format!("stopped-{index}")],
        });
        let effects: Vec<Vec<Value>> = serde_json::from_value(ask(&host.known(tenant), &step)?)?;
        stopped.late += effects.iter().filter(|row| row[0] == json!(1)).count();
        let is_right = effects.len() == 1 && job["state"] == "done";
        stopped.wrong += usize::from(!is_right);
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a small number of results"
    )]
    let ignored = (stale()? - before) as u64;
    stopped.stale = ignored;
    say(&format!(
        "a host that stood still for {} s with {JOBS} running jobs of `{PLUGIN}`: {} attempts lost, {} failed, \
         {} late results ignored, {} late effects, {} jobs without exactly one effect\n",
        stood_still.as_secs(),
        stopped.lost,
        stopped.failed,
        stopped.stale,
        stopped.late,
        stopped.wrong
    ));
    Ok(stopped)
}
