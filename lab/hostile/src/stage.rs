//! The environment of the attacks: the hosts, the good tenant and the guests.

use rig::clock::until;
pub use rig::good::{GOOD, GOOD_PATH};
use rig::guest::{Guest, Recipe};
use rig::host::{Host, Launch};
use std::cell::{Cell, OnceCell};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use crate::server::Server;
use rig::gauges::Gauges;

/// A table with one row.
const NOTES: &str = "CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT);
    INSERT INTO notes (body) VALUES ('kept');
    CREATE VIEW bodies AS SELECT body FROM notes;";

/// A host with the good tenant on it.
pub trait WithGoodTenant {
    /// Checks that the good tenant's plugin answers.
    fn serves_the_good_tenant(&self) -> Result<()>;
}

impl WithGoodTenant for Host {
    fn serves_the_good_tenant(&self) -> Result<()> {
        let reply = self.http().get(GOOD_PATH)?;
        reply
            .is("200")
            .context("the good tenant is not served")
            .map(|_| ())
    }
}

/// The extent of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// The extent of the tests.
    Quick,
    /// The full extent.
    Full,
}

/// The environment.
pub struct Stage {
    executable: PathBuf,
    scale: Scale,
    random: Cell<u64>,
    /// The guests of `tests/guests` as plugins.
    pub guests: Guests,
    /// The server for outbound requests.
    pub server: Server,
    plain: OnceCell<Standing>,
    open: OnceCell<Standing>,
    measured: OnceCell<Standing>,
}

/// A host that is shared by many rows, with its resources before the first one.
struct Standing {
    host: Host,
    baseline: Gauges,
}

/// The guests of `tests/guests`, each as a plugin with its name.
pub struct Guests {
    pub attacks: Guest,
    pub capabilities: Guest,
    pub database: Guest,
    pub echo: Guest,
    pub faults: Guest,
    pub http_client: Guest,
    pub wasi: Guest,
}

impl Stage {
    /// Creates the environment with hosts of this executable. `seed` determines random choices.
    pub fn new(executable: PathBuf, scale: Scale, seed: u64) -> Result<Self> {
        let server = Server::start()?;
        Ok(Self {
            executable,
            scale,
            random: Cell::new(seed.max(1)),
            guests: Guests::new(&server)?,
            server,
            plain: OnceCell::new(),
            open: OnceCell::new(),
            measured: OnceCell::new(),
        })
    }

    /// Returns `quick` in the tests, and `full` in the full run.
    pub fn scaled<T>(&self, quick: T, full: T) -> T {
        match self.scale {
            Scale::Quick => quick,
            Scale::Full => full,
        }
    }

    /// The executable that is attacked.
    pub fn executable(&self) -> &Path {
        &self.executable
    }

    /// A host with the defaults.
    pub fn plain(&self) -> Result<&Host> {
        self.standing(&self.plain, || self.launch())
    }

    /// A host that allows loopback for plugins, with short timeouts for callers.
    pub fn open(&self) -> Result<&Host> {
        self.standing(&self.open, || {
            self.launch()
                .set("http_client.allow_loopback", "true")
                .set("server.header_timeout", "2s")
                .set("server.keep_alive", "2s")
                .set("server.body_timeout", "2s")
                .set("server.write_timeout", "2s")
        })
    }

    /// The host of the figures: with the defaults, but with loopback for plugins, and without the
    /// circuit breaker, which would stop most attacks after twenty requests.
    pub fn measured(&self) -> Result<&Host> {
        self.standing(&self.measured, || {
            self.launch()
                .set("http_client.allow_loopback", "true")
                .set("breaker.failures", "0")
        })
    }

    /// The launch of a host for a single row, with the defaults.
    pub fn launch(&self) -> Launch {
        let launch = Launch::new(&self.executable);
        match self.scale {
            Scale::Full => launch,
            // Unoptimized builds on a busy machine are slower than the default budgets allow, and
            // rejected compilations should fail sooner.
            Scale::Quick => launch
                .set("limits.cpu", "500ms")
                .set("limits.wall", "30s")
                .set("limits.queue_wait", "20s")
                .set("ceiling.cpu", "30s")
                .set("compile.cpu", "3s"),
        }
    }

    /// A CPU budget for plugins that must not fail for being slow.
    pub fn patient(&self) -> &'static str {
        self.scaled("20s", "1s")
    }

    /// The default CPU budget of an invocation, in microseconds.
    pub fn cpu_us(&self) -> u64 {
        self.scaled(500_000, 50_000)
    }

    /// Starts a host for a single row, with the good tenant.
    pub fn fresh(&self, launch: &Launch) -> Result<Host> {
        let host = launch.start()?;
        self.furnish(&host)?;
        Ok(host)
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

    /// Checks the standing hosts: they run, they serve the good tenant, nothing panicked, and they
    /// hold no more resources than before the first row.
    pub fn look_around(&self) -> Result<()> {
        for standing in [&self.plain, &self.open, &self.measured]
            .into_iter()
            .filter_map(OnceCell::get)
        {
            standing.host.serves_the_good_tenant()?;
            Gauges::calm(&standing.host, &standing.baseline)?;
            let log = standing.host.log();
            let panic = log.lines().find(|line| line.contains("panicked"));
            ensure!(panic.is_none(), "the host's log: {}", panic.unwrap_or_default());
        }
        Ok(())
    }

    /// The standing hosts that run.
    pub fn running(&self) -> impl Iterator<Item = &Host> {
        let all = [&self.plain, &self.open, &self.measured];
        all.into_iter()
            .filter_map(OnceCell::get)
            .map(|standing| &standing.host)
    }

    fn standing<'a>(&self, cell: &'a OnceCell<Standing>, launch: impl Fn() -> Launch) -> Result<&'a Host> {
        if let Some(standing) = cell.get() {
            return Ok(&standing.host);
        }
        let host = self.fresh(&launch())?;
        // All guests are compiled once, and the tenants of the rows share the code.
        let library = host.tenant("library")?.keep();
        for guest in self.guests.all() {
            library.deploy(guest)?;
        }
        until("the first answer of each guest", || {
            let answers = self.guests.all().map(|guest| library.get(&guest.plugin, "/"));
            Ok(answers.into_iter().all(|answer| answer.is_ok()).then_some(()))
        })?;
        // The control plane opens its readers on demand and keeps them.
        for reply in at_once(32, |_| host.admin().get("/api/v1/tenants/library/invocations")) {
            reply?.is("200")?;
        }
        let baseline = Gauges::settled(&host)?;
        Ok(&cell.get_or_init(|| Standing { host, baseline }).host)
    }

    fn furnish(&self, host: &Host) -> Result<()> {
        let good = host.tenant(GOOD)?.keep();
        // The requests of the figures must not exceed the rate limit.
        let mut limits = json!({ "requests_per_second": 100_000, "request_burst": 100_000 });
        if self.scale == Scale::Quick {
            limits["cpu"] = json!("10s");
        }
        good.limit(&limits)?;
        good.deploy(&self.guests.echo)?;
        host.serves_the_good_tenant()
    }
}

impl Guests {
    fn new(server: &Server) -> Result<Self> {
        Ok(Self {
            attacks: Recipe::of(test_artifacts::ATTACKS)?.database(&[]).guest(),
            capabilities: Recipe::of(test_artifacts::CAPABILITIES)?
                .secrets(&["usable", "unset"], &["revealed"])
                .guest(),
            database: Recipe::of(test_artifacts::DATABASE)?.database(&[NOTES]).guest(),
            echo: Recipe::of(test_artifacts::ECHO)?.guest(),
            faults: Recipe::of(test_artifacts::FAULTS)?.guest(),
            http_client: Recipe::of(test_artifacts::HTTP_CLIENT)?
                .origins(&[&server.origin()])
                .secrets(&["token"], &[])
                .guest(),
            wasi: Recipe::of(test_artifacts::WASI)?.guest(),
        })
    }

    fn all(&self) -> [&Guest; 7] {
        [
            &self.attacks,
            &self.capabilities,
            &self.database,
            &self.echo,
            &self.faults,
            &self.http_client,
            &self.wasi,
        ]
    }
}

/// Calls `each` `count` times concurrently, each on its own thread.
pub fn at_once<T: Send>(count: usize, each: impl Fn(usize) -> T + Sync) -> Vec<T> {
    std::thread::scope(|scope| {
        let each = &each;
        let threads: Vec<_> = (0..count).map(|index| scope.spawn(move || each(index))).collect();
        let results = threads.into_iter().map(std::thread::ScopedJoinHandle::join);
        results
            .map(|result| result.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}
