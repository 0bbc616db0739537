//! `cargo xtask hostile --mail`: kills hosts that send mail and webhooks, and counts what arrived.
//!
//! A client keeps its own list of the mails and events that a host acknowledged. In the end it is
//! compared with what the mail server and the receiver of webhooks got. A message may arrive again
//! only after an attempt whose outcome the host could not write down.

mod client;
mod count;
mod scene;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rig::clock::{now, pass, spoken, within};
use rig::host::{Host, Started};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::say;
use crate::stage::Scale;
use client::Client;
use count::Count;
use scene::Scene;

/// The variable that names a fail point.
const VARIABLE: &str = "MORTISE_TEST_FAIL_POINT";

/// The fail points in the life of a message.
const POINTS: [&str; 5] = [
    "enqueue-added",
    "claimed",
    "before-run",
    "before-acknowledge",
    "after-acknowledge",
];

/// The messages that are sent to a host that ends at a fail point.
const SENT: usize = 24;

/// A host is killed this long after the client has begun, at the earliest and at the latest.
const DELAY_MS: (u64, u64) = (150, 600);

/// How long the end of a host at a fail point may take.
const END: Duration = Duration::from_secs(180);

/// How long the rest of the messages may take in the end: the leases of the last killed attempts of
/// mail, which are two minutes, and the waits after them.
const REST: Duration = Duration::from_secs(900);

/// No job must come within this time after the last one.
const CALM: Duration = Duration::from_secs(3);

/// Runs all stages. Returns whether nothing was lost, and the raw results.
pub fn run(executable: &Path, scale: Scale, seed: u64) -> Result<(bool, Value)> {
    let begin = now();
    let scene = Scene::new(executable, scale, seed)?;
    let mut client = Client::default();
    let host = scene.launch().start()?;
    scene.furnish(&host)?;
    say(&format!(
        "mail and webhooks: {} tenants with a plugin and an endpoint each\n",
        scene::TENANTS.len()
    ));
    let folder = points(&scene, &mut client, host.stop()?)?;
    let (host, kills) = kill(&scene, &mut client, folder)?;
    finish(&host)?;
    let count = Count::of(&scene, &host, client.sent())?;
    host.stop()?;
    let wanted = scene.scaled(5, 50);
    say(&format!(
        "{kills} kills and {} fail points over {} acknowledged messages: {count} ({})\n",
        POINTS.len(),
        count.messages,
        spoken(begin.elapsed())
    ));
    let interrupted: usize = count.interrupted.iter().sum();
    ensure!(
        interrupted >= wanted,
        "only {interrupted} attempts were interrupted, {wanted} are wanted"
    );
    let passed = count.is_clean();
    Ok((passed, json!({ "kills": kills, "count": count })))
}

/// Ends a host at each fail point once.
fn points(scene: &Scene, client: &mut Client, folder: Arc<TempDir>) -> Result<Arc<TempDir>> {
    let mut folder = folder;
    for point in POINTS {
        let before = client.acknowledged();
        let launch = scene.launch().variable(VARIABLE, point);
        let ended = match launch.try_on(folder)? {
            // It met a message of the last stage before it was ready.
            Started::Ended(ended) => ended,
            Started::Ready(host) => {
                client.work(&host, SENT, || {
                    within(END, "the end of the host", || Ok(host.has_ended().then_some(())))
                })?;
                host.ended()?
            }
        };
        ensure!(
            ended.log.contains("fail point") && ended.status.code().is_none(),
            "{point}: the host ended with {}: {}",
            ended.status,
            ended.log
        );
        let acknowledged = client.acknowledged() - before;
        say(&format!(
            "  {point:<20} ended the host after {acknowledged:>3} acknowledged messages\n"
        ));
        folder = ended.data;
    }
    Ok(folder)
}

/// Kills hosts at random moments. Returns the last host, which runs, and the number of kills.
fn kill(scene: &Scene, client: &mut Client, folder: Arc<TempDir>) -> Result<(Host, u64)> {
    let kills = scene.scaled(12, 200);
    let most = scene.scaled(40, 60);
    let mut host = scene.launch().start_on(folder)?;
    for round in 0..kills {
        let delay = Duration::from_millis(DELAY_MS.0 + scene.random(DELAY_MS.1 - DELAY_MS.0));
        client.work(&host, most, || {
            pass(delay);
            host.signal(Signal::KILL)
        })?;
        let folder = host.kill()?;
        host = scene.launch().start_on(folder)?;
        if (round + 1) % 20 == 0 {
            say(&format!(
                "  {:>3} kills; {:>6} messages acknowledged\n",
                round + 1,
                client.acknowledged()
            ));
        }
    }
    Ok((host, kills))
}

/// Waits until no job is left to run.
fn finish(host: &Host) -> Result<()> {
    let mut idle_since = None;
    within(REST, "the end of the last message", || {
        let node = host.admin().get("/api/v1/node")?.ok()?;
        let gauge = |name: &str| node["gauges"][name].as_u64().context("a gauge of jobs");
        if gauge("jobs_queued")? + gauge("jobs_running")? > 0 {
            idle_since = None;
            return Ok(None);
        }
        let since = *idle_since.get_or_insert_with(now);
        Ok((since.elapsed() > CALM).then_some(()))
    })
}
