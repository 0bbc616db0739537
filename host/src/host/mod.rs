//! The host: opens storage, services, runtime and APIs in four steps, and closes them again.

mod data_folder;
pub mod host_key;
mod job_queue;
mod mail;
mod offline;
pub mod operator_token;
mod runtime;
pub mod serve;
mod services;
mod serving;
mod storage;

pub use data_folder::{DataFolder, DataFolderError};
pub use offline::Offline;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::runtime::Handle;
use tokio_util::sync::DropGuard;

use crate::admin::observer::Connections;
use crate::capability::Services;
use crate::config::Config;
use crate::domain::clock::{DAY, SharedClock};
use crate::domain::host_job::HostJob;
use crate::domain::public_url::PublicUrl;
use crate::gateway;
use crate::jobs::Background;
use crate::mail::MailRetention;
use crate::metrics::DeliveryCounters;
use crate::storage::{CALL_DAYS_KEPT, DbError, Repository, set_aside};
use crate::webhooks_out::Retention;

use job_queue::QueueParts;
use mail::MailParts;
use runtime::{Runtime, Threads};
use serving::Serving;
use storage::Storage;

/// How long closing waits for running statements. Then the host ends with its database open.
const CLOSING: Duration = Duration::from_secs(5);

/// A host that is open: everything but the listeners.
pub struct Host {
    db: Arc<dyn Repository>,
    services: Services,
    runtime: Runtime,
    jobs: Background,
    serving: Serving,
    clock: SharedClock,
    mail_retention: MailRetention,
    retention: Duration,
    deliveries: Retention,
    /// Stops the compilation of active versions when the host is dropped.
    _recompiling: DropGuard,
    /// Locks the folder while the host is open.
    _folder: DataFolder,
}

/// Why a host cannot be opened. The message is one line for the operator.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The data folder cannot be used.
    #[error(transparent)]
    Folder(#[from] DataFolderError),
    /// A command needs a data folder, but there is none.
    #[error(
        "{0} is no data folder of a host: it has no mortise.db; name the folder with `--data`, or the \
         configuration with `--config`"
    )]
    NoData(PathBuf),
    /// The host's key cannot be used.
    #[error(transparent)]
    Key(#[from] host_key::KeyError),
    /// The control plane's database cannot be used.
    #[error("the database of the control plane cannot be used: {0}")]
    Db(#[from] crate::storage::DbError),
    /// The tenants' databases cannot be used.
    #[error("the databases of the tenants cannot be used: {0}")]
    Databases(std::io::Error),
    /// The components cannot be used.
    #[error("the components in the data folder cannot be used: {0}")]
    Components(std::io::Error),
    /// A certificate authority cannot be used.
    #[error("the certificate authority {path} cannot be used: {message}")]
    CertificateAuthority {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// The runtime does not start.
    #[error(transparent)]
    Runtime(#[from] crate::sandbox::StartError),
    /// The stored tenants cannot be read.
    #[error("the stored tenants cannot be served: {0}")]
    Lifecycle(#[from] crate::lifecycle::LifecycleError),
    /// Unknown files cannot be set aside.
    #[error("files in the data folder that belong to no tenant could not be moved to `set-aside`: {0}")]
    SetAside(#[from] set_aside::SetAsideError),
    /// The operator's first token cannot be created.
    #[error(transparent)]
    OperatorToken(#[from] operator_token::OperatorTokenError),
}

impl Host {
    /// Opens a host. `worker` is the executable of the compile worker: `mortise` itself. Background
    /// tasks of the host run on the current tokio runtime. Long-running plugins and their SQL run
    /// on `background`.
    pub async fn open(
        config: &Config,
        worker: PathBuf,
        background: Handle,
        clock: SharedClock,
    ) -> Result<Self, OpenError> {
        let storage = Storage::open(config, &clock).await?;
        let mut queue = QueueParts::new(&storage, &clock);
        let public_url = Arc::new(PublicUrl::new(config.server.public_url.clone()));
        let mail = MailParts::new(config, &storage, &queue, &public_url, &clock);
        let mail_retention = mail::retention(config, &storage, &queue, &clock);
        let services =
            services::open(config, &storage, queue.queue.clone(), &mail, &clock, &background).await?;
        let threads = Threads {
            worker,
            background: background.clone(),
        };
        let runtime = Runtime::start(config, &storage, &services, &queue.routing, &clock, threads).await?;
        let sends = mail::handler(config, &storage, &mail.servers, &services, &clock);
        let delivery_counters: Arc<DeliveryCounters> = Arc::default();
        let delivers = queue.deliveries(&storage, &services, &delivery_counters, &clock);
        queue.host_jobs = queue
            .host_jobs
            .with(HostJob::Mail, Arc::new(sends))
            .with(HostJob::Delivery, delivers);
        let jobs = queue.background(config, &storage, &services, &runtime, &clock, background)?;
        jobs.recover().await;
        jobs.start();
        let serving = Serving::open(
            config,
            &storage,
            services.clone(),
            &runtime,
            &jobs,
            delivery_counters,
            public_url,
            &clock,
        )
        .await?;
        let recompiling = serving.draining.child_token();
        runtime.lifecycle.start_recompiling(recompiling.clone());
        // The key is not needed any more.
        let Storage { db, folder, .. } = storage;
        let deliveries = Retention::new(
            db.clone(),
            runtime.routing.clone(),
            clock.clone(),
            config.retention.deliveries.0,
        );
        Ok(Self {
            db,
            services,
            deliveries,
            runtime,
            jobs,
            serving,
            clock,
            mail_retention,
            retention: config.retention.invocations.0,
            _recompiling: recompiling.drop_guard(),
            _folder: folder,
        })
    }

    /// The routes for API consumers.
    pub fn public_router(&self) -> Router {
        gateway::router(self.serving.gateway.clone())
    }

    /// The routes for operators and customers.
    pub fn admin_router(&self) -> Router {
        self.serving.admin.clone()
    }

    /// The counters of open connections.
    pub fn connections(&self) -> &Connections {
        &self.serving.connections
    }

    /// Sets the address of the public listener, for the URLs in the admin API.
    pub fn listens_at(&self, address: SocketAddr) {
        self.serving.public_url.listens_at(address);
    }

    /// The file with the operator's first token.
    pub fn operator_token(&self) -> &Path {
        &self.serving.operator_token
    }

    /// Relays, schedules and runs everything that is due, until no job runs and none is left that
    /// can run now. For tests, whose clock stands still.
    pub async fn settle_jobs(&self) {
        self.jobs.settle().await;
    }

    /// Starts no more jobs and waits for the running ones. Stops those that run longer than
    /// `longest`; they run again after the next start.
    pub async fn drain_jobs(&self, longest: Duration) {
        self.jobs.drain(longest).await;
    }

    /// Deletes records whose retention time has ended.
    pub async fn prune(&self) {
        let before = self.clock.now().saturating_sub(self.retention);
        match self.runtime.ledger.prune(before).await {
            Ok(0) => {}
            Ok(rows) => tracing::info!(rows, %before, "old invocations and log lines were deleted"),
            Err(error) => tracing::warn!(%error, "old invocations and log lines could not be deleted"),
        }
        self.mail_retention.pass().await;
        if let Err(error) = self.forget_calls().await {
            tracing::warn!(%error, "old counts of calls could not be deleted");
        }
        self.prune_deliveries().await;
    }

    /// Deletes deliveries of webhooks that are old or too many.
    async fn prune_deliveries(&self) {
        match self.deliveries.pass().await {
            Ok(0) => {}
            Ok(deliveries) => tracing::info!(deliveries, "old deliveries of webhooks were deleted"),
            Err(error) => tracing::warn!(%error, "old deliveries of webhooks could not be deleted"),
        }
    }

    /// Deletes old counts of calls, in rounds, so that other writers can run in between.
    async fn forget_calls(&self) -> Result<(), DbError> {
        let before = self.clock.now().saturating_sub(CALL_DAYS_KEPT * DAY);
        while self.db.forget_calls_before(before).await? > 0 {}
        Ok(())
    }

    /// Runs the periodic maintenance once: serves changes, reads again what could not be read,
    /// purges deleted tenants and plugins, and removes their files. Then it relays outboxes, adds
    /// the jobs of schedules, and keeps the job queue in order.
    pub async fn maintain(&self) {
        if let Err(error) = self.runtime.lifecycle.reconcile().await {
            tracing::warn!(%error, "the tenants cannot be listed; the host tries again each second");
        }
        self.runtime.lifecycle.retry().await;
        self.runtime.lifecycle.sweep_or_later().await;
        self.jobs.pass().await;
        self.prune_deliveries().await;
    }

    /// Reports that the host is not ready, ends streams that would not end by themselves, and
    /// starts no more jobs.
    pub fn start_draining(&self) {
        self.serving.draining.cancel();
        self.jobs.start_draining();
    }

    /// Writes all pending records and log lines.
    pub async fn flush(&self) {
        self.runtime.ledger.flush().await;
    }

    /// Writes pending records and closes the database, so that its file can be copied. Call it when
    /// no request is running any more.
    pub async fn close(&self) {
        self.jobs.close().await;
        self.runtime.lifecycle.end_maintenance();
        self.flush().await;
        self.services.databases.clone().close().await;
        if tokio::time::timeout(CLOSING, self.db.close()).await.is_err() {
            tracing::warn!("mortise.db is still in use, so part of it stays in mortise.db-wal: copy both");
        }
    }
}
