//! The host as a whole: opened in four steps (storage, services, runtime, serving), and closed again.

mod data_folder;
pub mod host_key;
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
use crate::gateway;
use crate::storage::{CALL_DAYS_KEPT, DbError, Repository, set_aside};

use runtime::{Runtime, Threads};
use serving::Serving;
use storage::Storage;

/// How long the host waits for statements under way before it ends with its database open.
const CLOSING: Duration = Duration::from_secs(5);

/// A host that is open: everything but the listeners.
pub struct Host {
    db: Arc<dyn Repository>,
    services: Services,
    runtime: Runtime,
    serving: Serving,
    clock: SharedClock,
    retention: Duration,
    /// Ends the compiling of active versions with the host.
    _recompiling: DropGuard,
    /// Held for as long as the host is open: no other one may use the folder.
    _folder: DataFolder,
}

/// Why a host does not open. The message is one line for the operator.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The data folder cannot be used.
    #[error(transparent)]
    Folder(#[from] DataFolderError),
    /// There is no data folder, where a command needs one.
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
        /// What is wrong.
        message: String,
    },
    /// The runtime does not start.
    #[error(transparent)]
    Runtime(#[from] crate::sandbox::StartError),
    /// What is stored cannot be served.
    #[error("the stored tenants cannot be served: {0}")]
    Lifecycle(#[from] crate::lifecycle::LifecycleError),
    /// Files that nobody knows cannot be set aside.
    #[error("files in the data folder that belong to no tenant could not be moved to `set-aside`: {0}")]
    SetAside(#[from] set_aside::SetAsideError),
    /// The first token of the operator cannot be made.
    #[error(transparent)]
    OperatorToken(#[from] operator_token::OperatorTokenError),
}

impl Host {
    /// Opens a host. `worker` is the executable that compiles: `mortise` itself. What must run beside the
    /// requests runs on the current tokio runtime; plugins that run long, and their SQL, on the threads of
    /// `background`.
    pub async fn open(
        config: &Config,
        worker: PathBuf,
        background: Handle,
        clock: SharedClock,
    ) -> Result<Self, OpenError> {
        let storage = Storage::open(config, &clock).await?;
        let services = services::open(config, &storage, &clock, &background).await?;
        let threads = Threads { worker, background };
        let runtime = Runtime::start(config, &storage, &services, &clock, threads).await?;
        let serving = Serving::open(config, &storage, services.clone(), &runtime, &clock).await?;
        let recompiling = serving.draining.child_token();
        runtime.lifecycle.start_recompiling(recompiling.clone());
        // Nothing needs the key from here on.
        let Storage { db, folder, .. } = storage;
        Ok(Self {
            db,
            services,
            runtime,
            serving,
            clock,
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

    /// Counts the open connections of the listeners.
    pub fn connections(&self) -> &Connections {
        &self.serving.connections
    }

    /// Says where the public listener is, for the URLs that the admin API tells.
    pub fn listens_at(&self, address: SocketAddr) {
        self.serving.public_url.listens_at(address);
    }

    /// The file that holds the first token of the operator.
    pub fn operator_token(&self) -> &Path {
        &self.serving.operator_token
    }

    /// Deletes records that are older than the operator keeps them.
    pub async fn prune(&self) {
        let before = self.clock.now().saturating_sub(self.retention);
        match self.runtime.ledger.prune(before).await {
            Ok(0) => {}
            Ok(rows) => tracing::info!(rows, %before, "old invocations and log lines were deleted"),
            Err(error) => tracing::warn!(%error, "old invocations and log lines could not be deleted"),
        }
        if let Err(error) = self.forget_calls().await {
            tracing::warn!(%error, "old counts of calls could not be deleted");
        }
    }

    /// Deletes counts of calls that are too old, in rounds, so that other writers get their turn in
    /// between.
    async fn forget_calls(&self) -> Result<(), DbError> {
        let before = self.clock.now().saturating_sub(CALL_DAYS_KEPT * DAY);
        while self.db.forget_calls_before(before).await? > 0 {}
        Ok(())
    }

    /// Does at once what the host does by itself now and then: serves changes, reads again what
    /// could not be read, purges what was deleted long enough ago, and removes its files.
    pub async fn maintain(&self) {
        if let Err(error) = self.runtime.lifecycle.reconcile().await {
            tracing::warn!(%error, "the tenants cannot be listed; the host tries again each second");
        }
        self.runtime.lifecycle.retry().await;
        self.runtime.lifecycle.sweep_or_later().await;
    }

    /// Says that the host is not ready for new connections, and ends what would never end by itself.
    pub fn start_draining(&self) {
        self.serving.draining.cancel();
    }

    /// Writes the records and log lines that are still to be written.
    pub async fn flush(&self) {
        self.runtime.ledger.flush().await;
    }

    /// Writes what is still to be written and closes the database, so that its file can be copied. To be
    /// called once no request is under way.
    pub async fn close(&self) {
        self.runtime.lifecycle.end_maintenance();
        self.flush().await;
        self.services.databases.clone().close().await;
        if tokio::time::timeout(CLOSING, self.db.close()).await.is_err() {
            tracing::warn!("mortise.db is still in use, so part of it stays in mortise.db-wal: copy both");
        }
    }
}
