//! The hosts, the tenants, the mail server and the receiver of webhooks.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rig::guest::{Guest, Recipe};
use rig::host::{Host, Launch};
use rig::receiver::Receiver;
use rig::smtp::{Mode, Smtp};
use serde_json::json;

use crate::stage::Scale;

/// The plugin that sends mail and publishes events.
pub const PLUGIN: &str = "messages";

/// The topic of the events.
pub const TOPIC: &str = "order.paid";

/// The tenants.
pub const TENANTS: [&str; 3] = ["red", "green", "blue"];

/// The path of the endpoint of each tenant, before its name.
pub const HOOK: &str = "/hook/";

/// How long the receiver of webhooks takes for an answer, so that a kill comes in between.
const ANSWER: Duration = Duration::from_millis(30);

/// One row for each transaction of a request.
const TABLES: &str = "CREATE TABLE orders (key TEXT PRIMARY KEY);";

/// A job that sends a mail. Lost attempts are repeated soon.
const JOB: &str = "[[job]]\nname = 'notify'\nattempts = 100\nbackoff = { initial = '1ms', max = '100ms' }\n\
                   limits = { wall = '2s' }\n";

/// What all stages share.
pub struct Scene {
    executable: PathBuf,
    scale: Scale,
    random: Cell<u64>,
    plugin: Guest,
    /// The mail server of the hosts.
    pub smtp: Smtp,
    /// The receiver of all webhooks.
    pub receiver: Receiver,
}

impl Scene {
    /// Starts the servers. `seed` determines random choices.
    pub fn new(executable: &Path, scale: Scale, seed: u64) -> Result<Self> {
        let smtp = Smtp::start().context("the mail server")?;
        smtp.set(Mode::Slow);
        let receiver = Receiver::start()?;
        receiver.delay(ANSWER);
        Ok(Self {
            executable: executable.to_owned(),
            scale,
            random: Cell::new(seed.max(1)),
            plugin: Recipe::of(test_artifacts::BACKGROUND)?
                .plugin(PLUGIN)
                .database(&[TABLES])
                .events(&["order.*"])
                .email(&["shop@example.com"])
                .with(JOB)
                .guest(),
            smtp,
            receiver,
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

    /// The launch of a host.
    pub fn launch(&self) -> Launch {
        let launch = Launch::new(&self.executable)
            .set("http_client.allow_loopback", "true")
            .set("mail.host", &self.smtp.address().ip().to_string())
            .set("mail.port", &self.smtp.address().port().to_string())
            .set("mail.security", "none")
            .set("runtime.instances", "64")
            .set("jobs.running", "24")
            .set("limits.requests_per_second", "1000000")
            .set("limits.request_burst", "1000000")
            .set("limits.jobs_running", "1024")
            .set("limits.job_backlog", "1000000")
            .set("limits.jobs_kept", "1000000")
            .set("limits.mails_per_hour", "1000000")
            .set("limits.mails_kept", "1000000")
            .set("limits.deliveries_kept", "1000000");
        match self.scale {
            Scale::Full => launch,
            // Unoptimized builds on a busy machine are slower than the default budgets allow.
            Scale::Quick => launch
                .set("limits.cpu", "10s")
                .set("limits.wall", "30s")
                .set("ceiling.cpu", "30s"),
        }
    }

    /// Creates the tenants with the plugin and an endpoint each.
    pub fn furnish(&self, host: &Host) -> Result<()> {
        for name in TENANTS {
            let tenant = host.tenant(name)?.keep();
            tenant.deploy(&self.plugin).context("the plugin")?;
            let admin = host.admin();
            let domains = json!({ "domains": ["example.com"] });
            let path = tenant.path("/mail/sender-domains");
            admin.json("PUT", &path, &domains)?.ok().context("the domains")?;
            let url = self.receiver.url(&format!("{HOOK}{name}"));
            let endpoint = json!({ "url": url, "topics": ["order.*"] });
            let made = admin.post(&tenant.path("/webhooks/endpoints"), &endpoint)?;
            made.ok().context("the endpoint")?;
        }
        Ok(())
    }
}
