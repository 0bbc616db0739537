//! Stage 4: a job that ends the host each time it runs.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rig::clock::{now, spoken, within};
use rig::host::Started;
use serde_json::{Value, json};

use super::client::{Client, ask};
use super::points::VARIABLE;
use super::scene::{Scene, effect};
use crate::say;

/// The attempts of the job in the manifest.
const ATTEMPTS: usize = 3;

/// How long each step may take: a lease, and a start.
const MOST: Duration = Duration::from_secs(60);

/// Runs the stage. No other job may wait.
pub fn run(scene: &Scene, mut client: Client) -> Result<Value> {
    let begin = now();
    let tenant = scene.tenants()[0];
    let launch = scene.launch().variable(VARIABLE, "before-run");
    let folder = client.take_host()?.stop()?;
    client.start(&launch, folder)?;
    let payload = effect("poison", true);
    let step = json!({ "enqueue": { "name": "poison", "payload": payload } });
    let id = ask(&client.host().known(tenant), &step)?;
    let id = id.as_str().context("the id of a job")?.to_owned();
    let mut ended = client.take_host()?.ended()?;
    let mut ends = 1;
    let dead = loop {
        ensure!(ends <= ATTEMPTS, "the job ended the host {ends} times");
        match launch.try_on(ended.data)? {
            Started::Ended(again) => ended = again,
            Started::Ready(host) => {
                client.use_host(host);
                let dead = within(MOST, "the next attempt, or the dead letter", || {
                    if client.host().has_ended() {
                        return Ok(Some(None));
                    }
                    // The host may end during the request.
                    let job = client.job(tenant, &id).ok();
                    Ok(job.filter(|job| job["state"] == "dead").map(Some))
                })?;
                match dead {
                    Some(dead) => break dead,
                    None => ended = client.take_host()?.ended()?,
                }
            }
        }
        ends += 1;
    };
    let attempts = dead["attempts"].as_array().cloned().unwrap_or_default();
    let lost = attempts.iter().filter(|attempt| attempt["outcome"] == "lost");
    ensure!(
        ends == ATTEMPTS && attempts.len() == ATTEMPTS && lost.count() == ATTEMPTS,
        "{ends} ends of the host: {dead}"
    );

    // A host without the fault replays the dead letter.
    let folder = client.take_host()?.stop()?;
    client.start(&scene.launch(), folder)?;
    let path = client.host().known(tenant).path(&format!("/jobs/{id}/retry"));
    client.host().admin().send("POST", &path, None)?.ok()?;
    let done = within(MOST, "the end of the replayed job", || {
        let job = client.job(tenant, &id)?;
        Ok((job["state"] == "done").then_some(job))
    })?;
    say(&format!(
        "a job that ended the host {ends} times is dead after its {ATTEMPTS} attempts, and done after a replay \
         without the fault ({})\n",
        spoken(begin.elapsed())
    ));
    client.take_host()?.stop()?;
    Ok(json!({ "ends": ends, "attempts": attempts.len(), "replayed": done["state"] }))
}
