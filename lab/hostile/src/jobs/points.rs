//! Stage 1: a host that ends at each fail point once.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rig::clock::{now, pass, spoken, within};
use rig::host::{Ended, Started};
use serde_json::{Value, json};

use super::client::Client;
use super::scene::{LEASE, Scene};
use crate::say;

/// The variable that names a fail point.
pub const VARIABLE: &str = "MORTISE_TEST_FAIL_POINT";

/// All fail points, in the order of a job's life.
const POINTS: [&str; 10] = [
    "enqueue-added",
    "relay-read",
    "relay-added",
    "relay-deleted",
    "claimed",
    "before-run",
    "after-effect",
    "before-acknowledge",
    "after-acknowledge",
    "tick",
];

/// The jobs and events that are sent to a host that ends at a fail point.
const SENT: usize = 40;

/// Runs the stage.
pub fn run(scene: &Scene, client: &mut Client) -> Result<Vec<Value>> {
    let mut folder = client.take_host()?.stop()?;
    let mut raw = Vec::new();
    for point in POINTS {
        let (begin, before) = (now(), client.acknowledged());
        let launch = scene.launch().variable(VARIABLE, point);
        let ended = match launch.try_on(folder)? {
            // It met a job of the last stage before it was ready.
            Started::Ended(ended) => ended,
            Started::Ready(host) => {
                client.use_host(host);
                end(scene, client, point).with_context(|| point.to_owned())?
            }
        };
        ensure!(
            ended.log.contains("fail point") && ended.status.code().is_none(),
            "{point}: the host ended with {}: {}",
            ended.status,
            ended.log
        );
        client.start(&scene.launch(), ended.data)?;
        if point == "tick" {
            // A few more times of the schedule.
            pass(Duration::from_secs(3));
            scene.stop_schedule(client.host())?;
        }
        let acknowledged = client.acknowledged() - before;
        say(&format!(
            "  {point:<20} ended the host after {acknowledged:>3} acknowledged jobs; started again ({})\n",
            spoken(begin.elapsed())
        ));
        raw.push(json!({ "point": point, "acknowledged": acknowledged }));
        folder = client.take_host()?.stop()?;
    }
    client.start(&scene.launch(), folder)?;
    Ok(raw)
}

/// Sends jobs until the host has ended.
fn end(scene: &Scene, client: &mut Client, point: &str) -> Result<Ended> {
    if point == "tick" {
        let started = scene.start_schedule(client.host());
        // The first time may be due before the answer is sent.
        started.or_else(|error| match client.host().has_ended() {
            true => Ok(()),
            false => Err(error),
        })?;
    }
    client.work(SENT, |host| {
        // An attempt that was lost at an earlier point runs when its lease is over.
        within(LEASE * 3, "the end of the host", || {
            Ok(host.has_ended().then_some(()))
        })
    })?;
    client.take_host()?.ended()
}
