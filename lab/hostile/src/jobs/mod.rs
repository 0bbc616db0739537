//! `cargo xtask hostile --jobs`: kills hosts that run jobs, and counts what became of the jobs.
//!
//! All stages use one data folder. A client keeps its own list of the jobs and events that a host
//! acknowledged. Each job writes a row into its tenant's database. In the end both lists are
//! compared, together with the attempts that the admin API shows.

mod client;
mod count;
mod kills;
mod points;
mod poison;
mod scene;
mod stopped;

use std::time::Duration;

use anyhow::{Result, ensure};
use rig::clock::{now, spoken};
use serde_json::{Value, json};

use crate::say;
use crate::stage::Scale;
use client::Client;
use count::Count;
use scene::Scene;

/// How long the rest of the jobs may take in the end: the leases of the last killed attempts, and
/// the jobs that wait.
const REST: Duration = Duration::from_secs(300);

/// Runs all stages. Returns whether nothing was lost or repeated, and the raw results.
pub fn run(executable: &std::path::Path, scale: Scale, seed: u64) -> Result<(bool, Value)> {
    let begin = now();
    let scene = Scene::new(executable, scale, seed)?;
    let mut client = Client::new(scene.launch().start()?, scene.tenants());
    scene.furnish(client.host())?;
    say(&format!(
        "jobs: {} tenants with a plugin and a listener each; a job takes at least {}\n",
        scene.tenants().len(),
        spoken(scene::WORK * 2)
    ));

    let points = points::run(&scene, &mut client)?;
    let kills = kills::run(&scene, &mut client)?;
    client.finish(REST)?;
    let count = Count::of(&client)?;
    say(&format!("{count}\n"));
    let stopped = stopped::run(&scene, &mut client)?;
    let poison = poison::run(&scene, client)?;
    say(&format!("{count} ({})\n", spoken(begin.elapsed())));
    let passed = count.is_clean() && kills.are_enough() && stopped.is_clean();
    ensure!(
        count.jobs >= kills.wanted_jobs,
        "only {} jobs were acknowledged",
        count.jobs
    );
    let raw = json!({
        "points": points, "kills": kills, "count": count, "stopped": stopped, "poison": poison,
    });
    Ok((passed, raw))
}
