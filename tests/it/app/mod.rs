//! A host for one test: with its own folder and a manual clock, called through the real routers.

mod call;
mod tenant;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use mortise::config::Config;
use mortise::domain::clock::{ManualClock, SharedClock, Timestamp};
use mortise::host::Host;
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Handle;

pub use call::{Call, Reply};
pub use tenant::TestTenant;

pub use crate::shared::{bundled, open_database, open_manifest};

/// A host for one test.
pub struct App {
    pub host: Host,
    pub clock: Arc<ManualClock>,
    public: Router,
    admin: Router,
    operator: String,
    folder: TempDir,
}

/// The initial time of every test.
pub const START: Timestamp = Timestamp(1_700_000_000_000);

impl App {
    /// Starts a host with the default configuration, but with a small pool.
    pub async fn start() -> Self {
        Self::configured(|_| {}).await
    }

    /// Starts a host with a changed configuration.
    pub async fn configured(change: impl FnOnce(&mut Config)) -> Self {
        Self::open(tempfile::tempdir().unwrap(), change).await
    }

    /// Starts a host with a clock that wraps the manual one.
    pub async fn with_clock(make: impl FnOnce(Arc<ManualClock>) -> SharedClock) -> Self {
        let clock = Arc::new(ManualClock::new(START));
        Self::open_with(tempfile::tempdir().unwrap(), |_| {}, make(clock.clone()), clock).await
    }

    /// Starts a host on an existing data folder, at this time.
    pub async fn found(folder: TempDir, at: Timestamp) -> Self {
        let clock = Arc::new(ManualClock::new(at));
        Self::open_with(folder, |_| {}, clock.clone(), clock).await
    }

    async fn open(folder: TempDir, change: impl FnOnce(&mut Config)) -> Self {
        let clock = Arc::new(ManualClock::new(START));
        Self::open_with(folder, change, clock.clone(), clock).await
    }

    async fn open_with(
        folder: TempDir,
        change: impl FnOnce(&mut Config),
        hosts: SharedClock,
        clock: Arc<ManualClock>,
    ) -> Self {
        let mut config = Config::default();
        config.data.folder = folder.path().join("data");
        config.runtime.instances = 8;
        // Unoptimized builds are slower than the default budget allows, and on a busy machine a
        // guest waits for its core while its time is counted.
        config.limits.cpu = "10s".parse().unwrap();
        config.ceiling.cpu = Some("60s".parse().unwrap());
        change(&mut config);
        let host = Host::open(&config, worker(), Handle::current(), hosts)
            .await
            .unwrap();
        let operator = std::fs::read_to_string(host.operator_token()).unwrap();
        let (public, admin) = (host.public_router(), host.admin_router());
        Self {
            host,
            clock,
            public,
            admin,
            operator,
            folder,
        }
    }

    /// A call of the public API.
    pub fn call(&self, method: &str, path: &str) -> Call {
        Call::new(self.public.clone(), method, path)
    }

    /// A `GET` of the public API.
    pub fn get(&self, path: &str) -> Call {
        self.call("GET", path)
    }

    /// A `POST` of the public API.
    pub fn post(&self, path: &str) -> Call {
        self.call("POST", path)
    }

    /// A call of the admin API, as the operator.
    pub fn admin(&self, method: &str, path: &str) -> Call {
        self.admin_as(&self.operator, method, path)
    }

    /// A call of the admin API with some token.
    pub fn admin_as(&self, token: &str, method: &str, path: &str) -> Call {
        Call::new(self.admin.clone(), method, &format!("/api/v1{path}")).bearer(token)
    }

    /// The current gauges of the host, by name.
    pub async fn gauges(&self) -> Value {
        let node = self.admin("GET", "/node").send().await.expect(200);
        node.json()["gauges"].clone()
    }

    /// The response of the admin listener's readiness check.
    pub async fn readiness(&self) -> String {
        let reply = Call::new(self.admin.clone(), "GET", "/-/readyz").send().await;
        reply.expect(200).text()
    }

    /// The metrics for Prometheus.
    pub async fn metrics(&self) -> Reply {
        let call = Call::new(self.admin.clone(), "GET", "/metrics");
        call.bearer(&self.operator).send().await.expect(200)
    }

    /// Polls the gauges until `are` is true, because other threads also release resources of a
    /// request.
    pub async fn until_gauges(&self, are: impl Fn(&Value) -> bool) -> Value {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        loop {
            let gauges = self.gauges().await;
            if are(&gauges) {
                return gauges;
            }
            assert!(tokio::time::Instant::now() < deadline, "{gauges:#}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Polls a metric until it has this value.
    pub async fn until_metric(&self, series: &str, wanted: f64) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        loop {
            let text = self.metrics().await.text();
            let value = text
                .lines()
                .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
            if value.is_some_and(|value| value.parse() == Ok(wanted)) {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "{series} is {value:?}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Creates a tenant.
    pub async fn tenant(&self, name: &str) -> TestTenant<'_> {
        TestTenant::create(self, name).await
    }

    /// An existing tenant.
    pub fn known(&self, name: &str) -> TestTenant<'_> {
        TestTenant::known(self, name)
    }

    /// Runs the periodic maintenance once, also that of jobs, schedules and outboxes.
    pub async fn pass(&self) {
        self.host.maintain().await;
    }

    /// The files of one kind in the data folder.
    pub fn files(&self, kind: &str) -> Vec<PathBuf> {
        let folder = self.folder.path().join("data").join(kind);
        let entries = std::fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    /// Restarts the host.
    pub async fn restart(self) -> Self {
        self.restart_configured(|_| {}).await
    }

    /// Restarts the host with a changed configuration.
    pub async fn restart_configured(self, change: impl FnOnce(&mut Config)) -> Self {
        self.restart_after(async |_| {}, change).await
    }

    /// Restarts the host; the test changes the data folder meanwhile.
    pub async fn restart_after(
        self,
        meanwhile: impl AsyncFnOnce(&Path),
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let Self {
            folder, host, clock, ..
        } = self;
        host.close().await;
        drop(host);
        meanwhile(&folder.path().join("data")).await;
        Self::open_with(folder, change, clock.clone(), clock).await
    }

    /// Advances the clock.
    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }
}

/// The executable under test.
pub fn worker() -> PathBuf {
    env!("CARGO_BIN_EXE_mortise").into()
}
