//! The hosts, the tenants and the plugins of the job stages.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rig::guest::{Guest, Recipe};
use rig::host::{Host, Launch};
use serde_json::{Value, json};

use crate::stage::Scale;

/// The plugin that adds and runs jobs.
pub const PLUGIN: &str = "work";

/// A plugin that only runs jobs for the events of the other one.
const LISTENER: &str = "listener";

/// The topic of the events.
pub const TOPIC: &str = "work.done";

/// How long a job works before its effect and again after it. It is long enough for a kill to come
/// in between.
pub const WORK: Duration = Duration::from_millis(25);

/// The limit of a job's time.
pub const WALL: Duration = Duration::from_secs(2);

/// The time from a claim until its lease is over. The host adds a margin to the limit.
pub const LEASE: Duration = Duration::from_secs(12);

/// The tenants, each with a database of its own.
const TENANTS: [&str; 4] = ["red", "green", "blue", "white"];

/// One row for each attempt that got as far as its effect, and one for each transaction of a
/// request.
const TABLES: &str = "CREATE TABLE effects (n INTEGER PRIMARY KEY, key TEXT NOT NULL, job TEXT NOT NULL, \
     attempt INTEGER NOT NULL, origin TEXT NOT NULL);
     CREATE TABLE orders (key TEXT PRIMARY KEY);";

/// What all stages share.
pub struct Scene {
    executable: PathBuf,
    scale: Scale,
    random: Cell<u64>,
    plugin: Guest,
    listener: Guest,
    ticker: Guest,
    /// The same without its schedule.
    stopped_ticker: Guest,
}

impl Scene {
    /// Reads the guest. `seed` determines random choices.
    pub fn new(executable: &Path, scale: Scale, seed: u64) -> Result<Self> {
        let guest = Recipe::of(test_artifacts::BACKGROUND)?;
        let kinds = |names: &[&str]| -> String { names.iter().map(|name| kind(name)).collect() };
        let subscription = "[[subscribe]]\ntopic = 'work.*'\njob = 'told'\n";
        let ticker = guest
            .clone()
            .plugin("ticker")
            .database(&[])
            .with(&kinds(&["tick"]));
        Ok(Self {
            executable: executable.to_owned(),
            scale,
            random: Cell::new(seed.max(1)),
            plugin: guest
                .clone()
                .plugin(PLUGIN)
                .database(&[TABLES])
                .events(&["work.*"])
                .with(&kinds(&["once", "plain", "told"]))
                .with("[[job]]\nname = 'poison'\nattempts = 3\nbackoff = { initial = '1ms', max = '1ms' }\n")
                .with("limits = { wall = '1s' }\n")
                .with(subscription)
                .guest(),
            listener: guest
                .plugin(LISTENER)
                .database(&[])
                .with(&kinds(&["told"]))
                .with(subscription)
                .guest(),
            stopped_ticker: ticker.clone().version("1.1.0").guest(),
            ticker: ticker.with(&schedule()).guest(),
        })
    }

    /// Returns `quick` in the tests, and `full` in the full run.
    pub fn scaled<T>(&self, quick: T, full: T) -> T {
        match self.scale {
            Scale::Quick => quick,
            Scale::Full => full,
        }
    }

    /// The next number of a pseudo-random sequence (xorshift), below `bound`.
    pub fn random(&self, bound: u64) -> u64 {
        let mut state = self.random.get();
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        self.random.set(state);
        state % bound.max(1)
    }

    /// The names of the tenants.
    pub fn tenants(&self) -> &'static [&'static str] {
        &TENANTS
    }

    /// The launch of a host.
    pub fn launch(&self) -> Launch {
        // Lost attempts count as running until their lease is over, so the tenants' limits are far
        // above the slots of the host.
        let launch = Launch::new(&self.executable)
            .set("runtime.instances", "64")
            .set("jobs.running", "24")
            .set("limits.requests_per_second", "1000000")
            .set("limits.request_burst", "1000000")
            .set("limits.jobs_running", "1024")
            .set("limits.job_backlog", "1000000")
            .set("limits.jobs_kept", "1000000")
            .set("limits.schedule_runs_per_hour", "3600");
        match self.scale {
            Scale::Full => launch,
            // Unoptimized builds on a busy machine are slower than the default budgets allow.
            Scale::Quick => launch
                .set("limits.cpu", "10s")
                .set("limits.wall", "30s")
                .set("ceiling.cpu", "30s"),
        }
    }

    /// Creates the tenants with their plugins.
    pub fn furnish(&self, host: &Host) -> Result<()> {
        for name in self.tenants() {
            let tenant = host.tenant(name)?.keep();
            tenant.deploy(&self.plugin).context("the plugin")?;
            tenant.deploy(&self.listener).context("the listener")?;
        }
        Ok(())
    }

    /// Deploys a plugin with a schedule that is due every second.
    pub fn start_schedule(&self, host: &Host) -> Result<()> {
        let tenant = host.known(self.tenants()[0]);
        tenant.deploy(&self.ticker).context("the schedule").map(drop)
    }

    /// Deploys the version of the plugin without the schedule. Its jobs still run.
    pub fn stop_schedule(&self, host: &Host) -> Result<()> {
        let tenant = host.known(self.tenants()[0]);
        let deployed = tenant.deploy(&self.stopped_ticker);
        deployed.context("the version without the schedule").map(drop)
    }
}

/// A kind of job whose lost attempts are repeated soon.
fn kind(name: &str) -> String {
    format!(
        "[[job]]\nname = '{name}'\nattempts = 100\nbackoff = {{ initial = '1ms', max = '100ms' }}\n\
         limits = {{ wall = '{}ms' }}\n",
        WALL.as_millis()
    )
}

fn schedule() -> String {
    let payload = effect("tick", false);
    format!(
        "[[schedule]]\nname = 'each-second'\ncron = '* * * * * *'\njob = 'tick'\noverlap = 'queue'\n\
         payload = '''{payload}'''\n"
    )
}

/// The payload of a job that writes its row: in a transaction that completes the job, or without.
pub fn effect(key: &str, completes: bool) -> Value {
    let pause = json!({ "sleep-ms": u64::try_from(WORK.as_millis()).unwrap_or(0) });
    let insert = json!({
        "execute": "INSERT INTO effects (key, job, attempt, origin) VALUES ($1, $2, $3, $4)",
        "params": [key, "$job", "$attempt", "$origin"],
    });
    let effect = match completes {
        true => json!({ "transaction": [insert, { "complete": null }] }),
        false => insert,
    };
    json!({ "do": [pause, effect, pause] })
}
