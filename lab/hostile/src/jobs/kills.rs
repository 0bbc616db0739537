//! Stage 2: hosts that are killed at random moments while they run jobs.

use std::time::Duration;

use anyhow::Result;
use rig::clock::{now, pass, spoken};
use rustix::process::Signal;
use serde::Serialize;

use super::client::Client;
use super::scene::Scene;
use crate::say;

/// A host is killed this long after the client has begun, at the earliest and at the latest.
const DELAY_MS: (u64, u64) = (100, 500);

/// The gauge of slots for jobs that are in use: a slot is free again once the acknowledgement of
/// its job is written.
const IN_USE: &str = "job_slots_in_use";

/// The result of the stage.
#[derive(Debug, Serialize)]
pub struct Kills {
    /// All kills.
    kills: u64,
    /// Kills with a job running or an acknowledgement unwritten.
    hits: u64,
    /// The least number of hits.
    wanted_hits: u64,
    /// Kills during a request of the client that was never answered.
    interrupted: u64,
    /// The least number of acknowledged jobs.
    pub wanted_jobs: usize,
}

impl Kills {
    /// Whether enough kills came in the middle of something.
    pub fn are_enough(&self) -> bool {
        self.hits >= self.wanted_hits
    }
}

/// Runs the stage.
pub fn run(scene: &Scene, client: &mut Client) -> Result<Kills> {
    let begin = now();
    let mut kills = Kills {
        kills: scene.scaled(20, 200),
        hits: 0,
        wanted_hits: scene.scaled(15, 150),
        interrupted: 0,
        wanted_jobs: scene.scaled(1_000, 10_000),
    };
    for round in 0..kills.kills {
        let left = kills.wanted_jobs.saturating_sub(client.acknowledged());
        let rounds = usize::try_from(kills.kills - round)?;
        // Much more than needed, so that the client is still sending when the host is killed.
        let most = (left.div_ceil(rounds) * 8).max(400);
        let delay = Duration::from_millis(DELAY_MS.0 + scene.random(DELAY_MS.1 - DELAY_MS.0));
        let unanswered = client.sent().iter().filter(|sent| !sent.acknowledged).count();
        let in_use = client.work(most, |host| {
            pass(delay);
            let node = host.admin().get("/api/v1/node")?.ok()?;
            host.signal(Signal::KILL)?;
            Ok(node["gauges"][IN_USE].as_u64().unwrap_or(0))
        })?;
        kills.hits += u64::from(in_use > 0);
        let now_unanswered = client.sent().iter().filter(|sent| !sent.acknowledged).count();
        kills.interrupted += u64::from(now_unanswered > unanswered);
        let folder = client.take_host()?.kill()?;
        client.start(&scene.launch(), folder)?;
        if (round + 1) % 20 == 0 {
            say(&format!(
                "  {:>3} kills, {:>3} with a job running or an acknowledgement unwritten; {:>6} jobs acknowledged ({})\n",
                round + 1,
                kills.hits,
                client.acknowledged(),
                spoken(begin.elapsed())
            ));
        }
    }
    let left = kills.wanted_jobs.saturating_sub(client.acknowledged());
    if left > 0 {
        // A request adds at least one job.
        client.send(left)?;
        say(&format!("  {left} more requests without a kill\n"));
    }
    say(&format!(
        "{} kills over {} acknowledged jobs; {} with a job running or an acknowledgement unwritten (wanted: {}), \
         {} during a request that was never answered\n",
        kills.kills,
        client.acknowledged(),
        kills.hits,
        kills.wanted_hits,
        kills.interrupted
    ));
    Ok(kills)
}
