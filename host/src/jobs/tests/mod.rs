//! Tests of the background work on the real repository and the real engine, in a temporary folder
//! with a clock that the tests move.

mod dispatcher;
mod fan_out;
mod lost;
mod maintenance;
mod queue;
mod relay;
mod scheduler;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;

use super::counters::Counters;
use super::maintenance::{JobRetention, Maintenance};
use super::queue::Queue;
use super::relay::Relay;
use super::scheduler::Scheduler;
use super::wake::Wake;
use crate::admin::tests::{runtime, services};
use crate::capability::database::{DatabaseEngine, Scope, SqliteDatabases, Step, Transaction};
use crate::capability::jobs::JobQueue;
use crate::domain::clock::{Clock as _, ManualClock, SharedClock, Timestamp};
use crate::domain::event::Event;
use crate::domain::id::{EventId, JobId, JobName, PluginName, TenantId, VersionDigest};
use crate::domain::job::{Acknowledgement, Backoff, ClaimedJob, Ending, Job, JobOrigin, NewJob};
use crate::domain::limits::Limits;
use crate::domain::manifest::Manifest;
use crate::domain::outbox::{OutboxEntry, PublishedEvent};
use crate::domain::plugin::Version;
use crate::storage::conformance::{self, change, name};
use crate::storage::sqlite::SqliteRepository;
use crate::storage::vault::{HostKey, Vault};
use crate::storage::{ClaimPolicy, JobFilter, Page, Repository, TenantChange};
use crate::tenants::budget::SharedBudget;
use crate::tenants::{Breaker, Builder, Router, Routing, job_hold};

/// 2026-03-01T00:00:00Z, a Sunday.
const NOW: Timestamp = Timestamp(1_772_323_200_000);

/// The plugin of most tests: two kinds of jobs and a schedule at each full hour.
const SHOP: &str = "
    [[job]]
    name = 'sync'
    attempts = 3

    [[job]]
    name = 'report'

    [[schedule]]
    name = 'hourly'
    cron = '0 * * * *'
    job = 'report'

    [[subscribe]]
    topic = 'order.*'
    job = 'sync'

    [[subscribe]]
    topic = 'order.>'
    job = 'sync'
";

/// So many kinds of jobs that subscribe to a topic.
fn subscriptions(topic: &str, count: usize) -> String {
    let one = |number| {
        format!("[[job]]\nname = 'j{number}'\n[[subscribe]]\ntopic = '{topic}'\njob = 'j{number}'\n")
    };
    (0..count).map(one).collect()
}

/// One host.
struct World {
    folder: Arc<tempfile::TempDir>,
    db: Arc<dyn Repository>,
    databases: Arc<dyn DatabaseEngine>,
    routing: Arc<Routing>,
    builder: Builder,
    clock: Arc<ManualClock>,
    wake: Arc<Wake>,
    counters: Arc<Counters>,
    queue: Arc<Queue>,
    relay: Relay,
    scheduler: Scheduler,
    maintenance: Maintenance,
}

/// Claims what can run, ten jobs a tenant.
struct Policy(Arc<Routing>);

impl ClaimPolicy for Policy {
    fn quota(&self, _tenant: TenantId, running: u32, _free: u32) -> u32 {
        10_u32.saturating_sub(running)
    }

    fn lease(&self, tenant: TenantId, plugin: &PluginName, job: &JobName) -> Option<Duration> {
        let tenant = self.0.tenant_by_id(tenant);
        match job_hold(tenant.as_deref(), plugin, job) {
            None => Some(Duration::from_secs(70)),
            Some(_) => None,
        }
    }
}

impl World {
    async fn new() -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        Self::open(folder, Arc::new(ManualClock::new(NOW)), Arc::default()).await
    }

    /// A second host on the same folder and with the same clock, as after a crash.
    async fn restarted(self) -> Self {
        let (folder, clock, routing) = (self.folder.clone(), self.clock.clone(), self.routing.clone());
        self.databases.clone().close().await;
        self.db.close().await;
        drop(self);
        Self::open(folder, clock, routing).await
    }

    async fn open(folder: Arc<tempfile::TempDir>, clock: Arc<ManualClock>, routing: Arc<Routing>) -> Self {
        let db: Arc<dyn Repository> = Arc::new(SqliteRepository::open(folder.path()).await.unwrap());
        let shared: SharedClock = clock.clone();
        let databases: Arc<dyn DatabaseEngine> = Arc::new(
            SqliteDatabases::new(
                folder.path().join("databases"),
                80,
                Handle::current(),
                shared.clone(),
            )
            .unwrap(),
        );
        let wake = Arc::new(Wake::default());
        let counters = Arc::new(Counters::default());
        let queue = Arc::new(Queue::new(
            db.clone(),
            routing.clone(),
            wake.clone(),
            counters.clone(),
            shared.clone(),
        ));
        let relay = Relay::new(
            db.clone(),
            databases.clone(),
            routing.clone(),
            queue.clone(),
            wake.clone(),
            shared.clone(),
        );
        let scheduler = Scheduler::new(db.clone(), routing.clone(), queue.clone(), shared.clone());
        let maintenance = Maintenance {
            db: db.clone(),
            databases: databases.clone(),
            routing: routing.clone(),
            queue: queue.clone(),
            policy: Arc::new(Policy(routing.clone())),
            wake: wake.clone(),
            counters: counters.clone(),
            clock: shared.clone(),
            retention: JobRetention {
                done: Duration::from_secs(24 * 60 * 60),
                dead: Duration::from_secs(14 * 24 * 60 * 60),
                webhooks: Duration::from_secs(7 * 24 * 60 * 60),
            },
            host_jobs: Default::default(),
            unanswered: Default::default(),
            logged_errors: Default::default(),
        };
        Self {
            builder: builder(folder.path(), shared),
            folder,
            db,
            databases,
            routing,
            clock,
            wake,
            counters,
            queue,
            relay,
            scheduler,
            maintenance,
        }
    }

    /// A tenant with the plugin `shop`.
    async fn tenant(&self) -> TenantId {
        let tenant = conformance::tenant(&*self.db, &format!("t{}", self.routing.count()))
            .await
            .id;
        self.activate(tenant, "shop", SHOP).await;
        tenant
    }

    /// Activates a version of a plugin with this manifest, and serves it.
    async fn activate(&self, tenant: TenantId, plugin: &str, manifest: &str) {
        let digest = self.upload(tenant, plugin, manifest).await;
        self.activate_version(tenant, plugin, digest, None).await;
    }

    async fn activate_version(
        &self,
        tenant: TenantId,
        plugin: &str,
        digest: VersionDigest,
        rolled_back_to: Option<i64>,
    ) {
        self.db
            .activate(tenant, &name(plugin), digest, rolled_back_to, &change(1))
            .await
            .unwrap();
        self.serve(tenant).await;
    }

    async fn upload(&self, tenant: TenantId, plugin: &str, manifest: &str) -> VersionDigest {
        let manifest_text = format!("[plugin]\nname = '{plugin}'\nversion = '1.0.0'\n{manifest}");
        let version = Version {
            digest: VersionDigest::of(manifest_text.as_bytes()),
            manifest: Arc::new(Manifest::parse(&manifest_text).unwrap()),
            manifest_text,
            size: 1,
            created_at: NOW,
        };
        self.db
            .add_version(tenant, &name(plugin), &version, &change(1))
            .await
            .unwrap();
        version.digest
    }

    /// Serves the stored state of a tenant.
    async fn serve(&self, tenant: TenantId) {
        self.serve_without(tenant, "").await;
    }

    /// The same, but a plugin's routes are not built yet.
    async fn serve_without(&self, tenant: TenantId, unavailable: &str) {
        let Some(stored) = self.db.routed_tenant(tenant).await.unwrap() else {
            return self.routing.remove(tenant);
        };
        let mut routes: HashMap<VersionDigest, Arc<Router>> = HashMap::new();
        for plugin in &stored.plugins {
            if let Ok(Some(version)) = &plugin.active
                && plugin.plugin.name.as_str() != unavailable
            {
                let router = self.builder.router(version).await.unwrap();
                routes.insert(version.digest, Arc::new(router));
            }
        }
        let built = self.builder.tenant(stored, Arc::default(), None, |digest| {
            routes.get(&digest).cloned().map(Ok)
        });
        self.routing.put(built.tenant);
    }

    async fn suspend(&self, tenant: TenantId, suspended: bool) {
        let suspend = TenantChange {
            suspended: Some(suspended),
            ..TenantChange::default()
        };
        let changes = |_: &_, _: &_| vec![change(1)];
        self.db.change_tenant(tenant, &suspend, &changes).await.unwrap();
        self.serve(tenant).await;
    }

    fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// All jobs of a tenant with their payloads, the oldest first.
    async fn jobs(&self, tenant: TenantId) -> Vec<Job> {
        let all = self
            .db
            .jobs(tenant, &JobFilter::default(), Page::first(10_000))
            .await;
        let mut jobs = Vec::new();
        for listed in all.unwrap().into_iter().rev() {
            let read = self.db.job(tenant, listed.new.id).await.unwrap();
            jobs.extend(read.map(|(job, _)| job));
        }
        jobs
    }

    /// The payloads of all jobs of a tenant, the oldest first.
    async fn payloads(&self, tenant: TenantId) -> Vec<String> {
        let jobs = self.jobs(tenant).await;
        jobs.into_iter().map(|job| job.new.payload.to_string()).collect()
    }

    /// Claims the next jobs.
    async fn claim(&self, slots: u32) -> Vec<ClaimedJob> {
        let policy = Policy(self.routing.clone());
        let round = self
            .db
            .claim_jobs("node", None, slots, self.clock.now(), &policy)
            .await;
        round.unwrap().claimed
    }

    /// A claimed job is done.
    async fn done(&self, claimed: &ClaimedJob) {
        self.ended(claimed, Ending::Done).await;
    }

    async fn ended(&self, claimed: &ClaimedJob, ending: Ending) {
        let acknowledgement = Acknowledgement {
            job: claimed.job.new.id,
            claim: claimed.claim,
            ending,
            ended_at: self.clock.now(),
            invocation: None,
        };
        self.db.acknowledge_jobs(&[acknowledgement]).await.unwrap();
    }

    /// Commits a transaction of the tenant's database that completes a job and stores a step of it.
    async fn complete(&self, tenant: TenantId, job: JobId) {
        let mut transaction = self.begin(tenant).await;
        transaction.complete(job).await.unwrap();
        let step = Step {
            job,
            name: "charge".to_owned(),
            result: "{}".to_owned(),
            most: 10,
        };
        transaction.store_step(step).await.unwrap();
        transaction.commit(Box::new(|_| ())).await.unwrap();
    }

    /// Commits a transaction with these entries in the tenant's database.
    async fn write_outbox(&self, tenant: TenantId, entries: &[OutboxEntry]) {
        let texts = entries.iter().map(|entry| serde_json::to_string(entry).unwrap());
        self.write_outbox_texts(tenant, &texts.collect::<Vec<_>>()).await;
    }

    async fn write_outbox_texts(&self, tenant: TenantId, entries: &[String]) {
        let mut transaction = self.begin(tenant).await;
        for entry in entries {
            self.add_to_outbox(&mut transaction, tenant, entry, 1).await;
        }
        transaction.commit(Box::new(|_| ())).await.unwrap();
    }

    /// Begins a transaction of the tenant's database.
    async fn begin(&self, tenant: TenantId) -> Transaction {
        let mut session = self.databases.clone().session(scope(tenant));
        session.begin().await.unwrap()
    }

    /// Writes an entry that becomes so many jobs.
    async fn add_to_outbox(&self, transaction: &mut Transaction, tenant: TenantId, entry: &str, jobs: u64) {
        let room = JobQueue::reserve(&*self.queue, tenant, jobs, &Limits::default()).unwrap();
        let adding = transaction.add_to_outbox(entry.to_owned(), room, &*self.queue);
        adding.await.unwrap();
    }
}

/// The scope of an invocation that has a minute.
fn scope(tenant: TenantId) -> Scope {
    Scope {
        tenant,
        limits: Arc::new(Limits::default()),
        deadline: Instant::now() + Duration::from_secs(60),
    }
}

/// A builder of snapshots. Its plugins never run.
fn builder(folder: &Path, clock: SharedClock) -> Builder {
    let key = HostKey::from_hex(&"ab".repeat(32)).unwrap();
    let folder = folder.join("runtime");
    std::fs::create_dir_all(&folder).unwrap();
    let services = services(&folder, clock.clone(), Arc::new(Vault::new(&key)));
    Builder::new(
        runtime(&folder, &key, services, clock),
        Limits::default(),
        Limits::ceiling(),
        Breaker::default(),
        SharedBudget::new(0),
    )
}

/// A job of `shop` that is due at [`NOW`].
fn job(tenant: TenantId, kind: &str, payload: &str) -> NewJob {
    NewJob {
        id: JobId::generate(),
        tenant,
        plugin: name("shop"),
        name: name(kind),
        payload: payload.into(),
        origin: JobOrigin::Enqueued,
        priority: 0,
        run_at: NOW,
        max_attempts: 3,
        backoff: Backoff::default(),
        unique_key: None,
        concurrency: None,
        depth: 0,
        traceparent: None,
        created_at: NOW,
    }
}

/// An event that `shop` publishes.
fn event(topic: &str, data: &str) -> PublishedEvent {
    PublishedEvent {
        event: Event {
            id: EventId::generate(),
            source: name("shop"),
            topic: topic.parse().unwrap(),
            time: NOW,
        },
        data: data.to_owned(),
        depth: 2,
        traceparent: Some("00-trace".to_owned()),
    }
}
