//! The runtime of a host with the plugin of the benchmarks, without gateway and sockets.

use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use mortise::capability::bindings::http_types::{Request, Response};
use mortise::capability::cache::MemoryCaches;
use mortise::capability::content::content_of;
use mortise::capability::database::SqliteDatabases;
use mortise::capability::http_client::{HttpClientConfig, HttpClients};
use mortise::capability::{ActiveVersion, Invocation, Services};
use mortise::components::compile::CompileLimits;
use mortise::components::shield::Shield;
use mortise::components::store::{FolderStore, VerifiedComponent};
use mortise::domain::clock::{SharedClock, SystemClock};
use mortise::domain::grant::Grants;
use mortise::domain::id::{InvocationId, TenantId};
use mortise::domain::invocation::{Trigger, Usage};
use mortise::domain::limits::Limits;
use mortise::domain::manifest::Contract;
use mortise::domain::migration::Migration;
use mortise::domain::units::{ByteSize, Span};
use mortise::jobs::Queue;
use mortise::mail::{MailIntake, MailServers};
use mortise::sandbox::{
    Checks, GuestLanes, GuestPermits, Input, Loaded, LongRunning, Output, Runtime, RuntimeSettings, Start,
    WarmInstances,
};
use mortise::storage::Repository;
use mortise::storage::sqlite::SqliteRepository;
use mortise::storage::vault::{HostKey, Vault};
use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::native::NOTES;
use crate::options::Options;

/// Instances and threads; only one is used at a time.
const INSTANCES: u32 = 16;
const THREADS: usize = 2;

/// The limit of host calls, which is high so that the fixed cost of an invocation hardly counts.
const HOST_CALLS: u32 = 100_000;

/// A runtime with one plugin of one tenant.
pub struct Sandbox {
    runtime: Runtime,
    /// A runtime that keeps no component loaded.
    forgetful: Runtime,
    component: Arc<Loaded>,
    active: Arc<ActiveVersion>,
    lanes: Arc<GuestLanes>,
    warm: Arc<WarmInstances>,
    long_running: Arc<LongRunning>,
    clock: SharedClock,
    _folder: TempDir,
}

impl Sandbox {
    /// Compiles and loads the plugin, and creates its table.
    pub async fn open(options: &Options, background: &Handle) -> Result<Self> {
        let folder = TempDir::with_prefix("mortise-bench-")?;
        let clock: SharedClock = Arc::new(SystemClock);
        let key = HostKey::load_or_create(&folder.path().join("host.key"))?;
        let repository = SqliteRepository::open(folder.path()).await?;
        let db: Arc<dyn Repository> = Arc::new(repository);
        let vault = Arc::new(Vault::new(&key));
        let queue = Arc::new(Queue::new(
            db.clone(),
            Arc::default(),
            Arc::default(),
            Arc::default(),
            clock.clone(),
        ));
        let mail = MailIntake {
            db: db.clone(),
            servers: Arc::new(MailServers::new(db, vault.clone(), None)),
            queue: queue.clone(),
            counters: Arc::default(),
            public_url: Arc::default(),
            clock: clock.clone(),
        };
        let services = Services {
            caches: Arc::new(MemoryCaches::new(clock.clone())),
            databases: Arc::new(SqliteDatabases::new(
                folder.path().join("databases"),
                64,
                background.clone(),
                clock.clone(),
            )?),
            http: Arc::new(HttpClients::new(
                HttpClientConfig::default(),
                clock.clone(),
                background.clone(),
            )?),
            jobs: queue,
            mail: Arc::new(mail),
            mail_counters: Arc::default(),
            renderer: Arc::default(),
            vault,
        };
        let settings = RuntimeSettings {
            folder: folder.path().to_owned(),
            worker: options.executable.clone(),
            instances: INSTANCES,
            instances_kept: 1,
            memories_warm: 1,
            threads: THREADS,
            background: background.clone(),
            ceiling: Limits::ceiling(),
            compile: CompileLimits::default(),
            shield: Shield::default(),
            loaded_bytes: ByteSize::mib(256),
        };
        let forgetful = RuntimeSettings {
            loaded_bytes: ByteSize(0),
            ..settings.clone()
        };
        let store = Arc::new(FolderStore::open(folder.path(), clock.clone())?);
        let forgetful = Runtime::start(forgetful, &key, store.clone(), services.clone())?;
        let runtime = Runtime::start(settings, &key, store, services.clone())?;
        let bytes = std::fs::read(test_artifacts::BENCH_PLUGIN)?;
        let component = VerifiedComponent::new(bytes.into());
        let digest = component.digest();
        runtime.components().repair_code(&component).await?;
        let limits = Limits {
            host_calls: HOST_CALLS,
            sql_statements: HOST_CALLS,
            sql_rows: HOST_CALLS,
            log_lines: HOST_CALLS,
            log_bytes: ByteSize::mib(64),
            cpu: Span::s(60),
            wall: Span::s(60),
            ..Limits::default()
        };
        let active = ActiveVersion {
            snapshot: 0,
            tenant: TenantId::generate(),
            tenant_name: "bench".parse()?,
            plugin: "bench".parse()?,
            digest,
            version: "1.0.0".to_owned(),
            limits: Arc::new(limits),
            grants: Arc::new(Grants {
                database: true,
                ..Grants::default()
            }),
            config: Arc::new([("colour".to_owned(), "green".to_owned())].into()),
            secrets: Arc::default(),
            jobs: Arc::default(),
            mail_from: None,
            templates: Arc::default(),
        };
        let notes = Migration::parse("0001_notes.sql", NOTES)?;
        let databases = &services.databases;
        databases
            .migrate(
                active.tenant,
                &active.plugin,
                Contract::default(),
                &active.limits,
                &[notes],
            )
            .await?;
        let component = runtime.load(digest).await?;
        let warm = runtime.warm_pool(1);
        Ok(Self {
            runtime,
            forgetful,
            component,
            active: Arc::new(active),
            lanes: Arc::new(GuestLanes::new(1)),
            warm,
            long_running: Arc::default(),
            clock,
            _folder: folder,
        })
    }

    /// Runs the plugin once in a fresh instance, and drops the instance.
    pub async fn invoke(&self, request: Request) -> Result<Response> {
        self.invoke_in(None, request).await
    }

    /// Runs the plugin once in the reused instance.
    pub async fn invoke_again(&self, request: Request) -> Result<Response> {
        self.invoke_in(Some(&self.warm), request).await
    }

    /// Loads the plugin from disk. It does not stay loaded.
    pub async fn load(&self) -> Result<Arc<Loaded>> {
        Ok(self.forgetful.load(self.active.digest).await?)
    }

    async fn invoke_in(&self, warm: Option<&Arc<WarmInstances>>, request: Request) -> Result<Response> {
        let invocation = Box::new(Invocation {
            id: InvocationId::generate(),
            active: self.active.clone(),
            trigger: Trigger::Http,
            principal: None,
            call_depth: 0,
            traceparent: None,
            remote_address: None,
            started_at: self.clock.now(),
            deadline: Instant::now() + self.active.limits.wall.0,
            clock: self.clock.clone(),
            cpu_time: Arc::default(),
            usage: Usage::default(),
            held: 0,
            job: None,
            last_calls: Default::default(),
            log_lines: Vec::new(),
            revealed: Vec::new(),
        });
        let start = Start {
            lanes: &self.lanes,
            long_running: &self.long_running,
            permits: GuestPermits {
                admission: (),
                instance: (),
                warm: warm.cloned(),
            },
            checks: Checks::default(),
        };
        let finished = self
            .runtime
            .call(
                self.component.clone(),
                start,
                invocation,
                Input::Http(request),
                drop,
            )
            .await;
        // A task of this thread returns the instance when it is polled.
        tokio::task::yield_now().await;
        let Output::Http(response) = finished.outcome.context("the plugin answers")? else {
            bail!("the plugin answers something else than a response");
        };
        ensure!(response.status < 300, "the plugin answers {}", response.status);
        Ok(response)
    }
}

/// A request as the gateway builds it, with five headers.
pub fn request(route: &str, path: &str, params: &[(&str, &str)], body: Option<&str>) -> Request {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let headers = [
        ("host", "127.0.0.1:8080"),
        ("user-agent", "bench"),
        ("accept", "application/json"),
        ("content-type", "application/json"),
        ("content-length", "75"),
    ];
    Request {
        method: "POST".to_owned(),
        route: route.to_owned(),
        path: path.to_owned(),
        query: None,
        params: params.iter().map(owned).collect(),
        headers: headers.iter().map(owned).collect(),
        scheme: "http".to_owned(),
        authority: "127.0.0.1:8080".to_owned(),
        base_url: "http://127.0.0.1:8080/bench/bench".to_owned(),
        body: body.map(|body| content_of(Some("application/json"), body.as_bytes().to_vec())),
    }
}
