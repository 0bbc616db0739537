//! Tests of the admin API through its real router.

mod api_keys;
mod audit;
mod documents;
mod follow;
mod jobs;
mod limits;
mod mail;
mod matrix;
mod openapi;
mod reconcile;
mod resources;
mod tokens;

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use axum::response::Response;
use http_body_util::BodyExt as _;
use serde_json::Value;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::{AdminState, JobTasks};
use crate::admin::observer::{Connections, Observer};
use crate::capability::Services;
use crate::capability::cache::MemoryCaches;
use crate::capability::database::SqliteDatabases;
use crate::capability::http_client::{HttpClientConfig, HttpClients};
use crate::capability::testing::{MailInMemory, QueueInMemory};
use crate::components::compile::CompileLimits;
use crate::components::store::FolderStore;
use crate::config::Config;
use crate::domain::clock::{ManualClock, SharedClock, Timestamp};
use crate::domain::credential::Credential;
use crate::domain::id::{TenantId, TokenId};
use crate::domain::limits::Limits;
use crate::domain::role::Role;
use crate::domain::token::{Reach, TenantRole, Token};
use crate::domain::units::{ByteSize, Span};
use crate::jobs::{Counters, JobMetrics, Queue, Scheduler, Slots, Wake};
use crate::ledger::Ledger;
use crate::lifecycle::Lifecycle;
use crate::metrics::Gauge;
use crate::sandbox::{Runtime, RuntimeSettings};
use crate::storage::Repository;
use crate::storage::conformance::change;
use crate::storage::sqlite::SqliteRepository;
use crate::storage::vault::{HostKey, Vault};
use crate::tenants::budget::SharedBudget;
use crate::tenants::{Breaker, Builder, Routing};

/// An admin API over an empty database.
pub struct TestApp {
    router: Router,
    pub db: Arc<dyn Repository>,
    pub ledger: Arc<Ledger>,
    pub routing: Arc<Routing>,
    pub lifecycle: Arc<Lifecycle>,
    pub clock: Arc<ManualClock>,
    pub jobs: JobTasks,
    pub draining: CancellationToken,
    _data: tempfile::TempDir,
}

/// A response with its body read.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
}

impl TestApp {
    pub async fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        let db: Arc<dyn Repository> = Arc::new(SqliteRepository::open(data.path()).await.unwrap());
        let clock = Arc::new(ManualClock::new(Timestamp(1_700_000_000_000)));
        let ledger = Ledger::start(db.clone(), clock.clone());
        let draining = CancellationToken::new();
        let key = HostKey::from_hex(&"ab".repeat(32)).unwrap();
        let vault = Arc::new(Vault::new(&key));
        let services = services(data.path(), clock.clone(), vault.clone());
        let runtime = runtime(data.path(), &key, services.clone(), clock.clone());
        let routing = Arc::new(Routing::default());
        let lifecycle = lifecycle(
            db.clone(),
            clock.clone(),
            runtime.clone(),
            services.clone(),
            routing.clone(),
        );
        let observer = Observer {
            requests: Arc::default(),
            connections: Connections::default(),
            bodies: SharedBudget::new(0),
            shares: Arc::default(),
            unhealthy_routes: Gauge::default(),
            runtime,
            lifecycle: lifecycle.clone(),
            services,
            ledger: ledger.clone(),
            jobs: JobMetrics::new(db.clone(), clock.clone(), Arc::default(), Slots::new(1)),
            db: db.clone(),
            deliveries: Arc::default(),
            webhooks: Arc::default(),
        };
        let jobs = job_tasks(db.clone(), routing.clone(), clock.clone());
        let state = AdminState::new(
            db.clone(),
            lifecycle.clone(),
            Arc::new(observer),
            jobs.clone(),
            clock.clone(),
            draining.clone(),
            Config::default().server.pace(Span::s(30)),
        );
        Self {
            router: super::router(state),
            db,
            ledger,
            routing,
            lifecycle,
            clock,
            jobs,
            draining,
            _data: data,
        }
    }

    /// Creates a valid token.
    pub async fn token(&self, reach: Reach) -> String {
        let credential = Credential::generate(TokenId::generate()).unwrap();
        let token = Token {
            id: credential.id(),
            name: "somebody".to_owned(),
            reach,
            hash: credential.hash(),
            created_at: Timestamp(0),
            expires_at: None,
            revoked_at: None,
        };
        self.db.insert_token(&token, &change(1)).await.unwrap();
        credential.reveal()
    }

    pub async fn operator(&self) -> String {
        self.token(Reach::Host).await
    }

    pub async fn owner(&self, tenant: TenantId) -> String {
        self.token(Reach::Tenant(tenant, TenantRole::Owner)).await
    }

    /// A token with a role. A tenant's role is for that tenant.
    pub async fn with_role(&self, role: Role, tenant: TenantId) -> String {
        let tenant = (!matches!(role, Role::Operator | Role::Metrics)).then_some(tenant);
        self.token(Reach::of(role, tenant).unwrap()).await
    }

    pub async fn send(&self, request: Request<Body>) -> Response {
        self.router.clone().oneshot(request).await.unwrap()
    }

    /// Calls with a token and a JSON body.
    pub async fn call(&self, token: &str, method: &str, path: &str, body: Option<Value>) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let body = match body {
            Some(body) => {
                request = request.header("content-type", "application/json");
                Body::from(body.to_string())
            }
            None => Body::empty(),
        };
        Answer::of(self.send(request.body(body).unwrap()).await).await
    }

    pub async fn get(&self, token: &str, path: &str) -> Answer {
        self.call(token, "GET", path, None).await
    }
}

impl Answer {
    pub async fn of(response: Response) -> Self {
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Self {
            status: parts.status,
            headers: parts.headers,
            body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        }
    }

    /// Status, code and detail of a problem on one line.
    pub fn problem(&self) -> String {
        let text = |member: &str| self.body[member].as_str().unwrap_or("none").to_owned();
        format!("{} {}: {}", self.status.as_u16(), text("code"), text("detail"))
    }
}

pub(crate) fn services(data: &Path, clock: SharedClock, vault: Arc<Vault>) -> Services {
    Services {
        caches: Arc::new(MemoryCaches::new(clock.clone())),
        databases: Arc::new(
            SqliteDatabases::new(data.join("databases"), 80, Handle::current(), clock.clone()).unwrap(),
        ),
        http: Arc::new(HttpClients::new(HttpClientConfig::default(), clock, Handle::current()).unwrap()),
        jobs: Arc::<QueueInMemory>::default(),
        mail: Arc::<MailInMemory>::default(),
        mail_counters: Arc::default(),
        renderer: Arc::default(),
        vault,
    }
}

/// The tasks of jobs. None of them runs.
fn job_tasks(db: Arc<dyn Repository>, routing: Arc<Routing>, clock: SharedClock) -> JobTasks {
    let (wake, counters) = (Arc::new(Wake::default()), Arc::new(Counters::default()));
    let queue = Queue::new(db.clone(), routing.clone(), wake.clone(), counters, clock.clone());
    let queue = Arc::new(queue);
    JobTasks {
        wake,
        queue: queue.clone(),
        scheduler: Arc::new(Scheduler::new(db, routing, queue, clock)),
    }
}

/// The real runtime. It never starts a compile worker; components have tests of their own.
pub(crate) fn runtime(data: &Path, key: &HostKey, services: Services, clock: SharedClock) -> Arc<Runtime> {
    let settings = RuntimeSettings {
        folder: data.to_owned(),
        worker: "/nonexistent/worker".into(),
        instances: 1,
        instances_kept: 0,
        memories_warm: 0,
        threads: 1,
        background: Handle::current(),
        ceiling: Limits::ceiling(),
        compile: CompileLimits::default(),
        shield: Default::default(),
        loaded_bytes: ByteSize::mib(1),
    };
    let store = Arc::new(FolderStore::open(data, clock).unwrap());
    Arc::new(Runtime::start(settings, key, store, services).unwrap())
}

pub(crate) fn lifecycle(
    db: Arc<dyn Repository>,
    clock: SharedClock,
    runtime: Arc<Runtime>,
    services: Services,
    routing: Arc<Routing>,
) -> Arc<Lifecycle> {
    let builder = Builder::new(
        runtime.clone(),
        Limits::default(),
        Limits::ceiling(),
        Breaker::default(),
        SharedBudget::new(0),
    );
    let grace = std::time::Duration::from_secs(60);
    Arc::new(Lifecycle::new(
        db, runtime, services, routing, builder, clock, grace,
    ))
}
