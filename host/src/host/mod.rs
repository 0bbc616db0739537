//! The host as a whole: what is opened in which order, what runs beside the requests, and how it ends.

mod data_folder;
pub mod host_key;
mod offline;
pub mod operator_token;
pub mod serve;

pub use data_folder::{DataFolder, DataFolderError};
pub use offline::Offline;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::admin::observer::{Connections, Observer};
use crate::admin::{self, AdminState};
use crate::capability::Services;
use crate::capability::cache::Caches;
use crate::capability::database::Databases;
use crate::capability::http_client::{CertificateAuthority, HttpClientConfig, HttpClients};
use crate::config::Config;
use crate::domain::clock::SharedClock;
use crate::domain::public_url::PublicUrl;
use crate::gateway::{self, Gateway};
use crate::invoke::Invoker;
use crate::ledger::Ledger;
use crate::lifecycle::Lifecycle;
use crate::sandbox::{Runtime, RuntimeSettings};
use crate::server::descriptors;
use crate::storage::Repository;
use crate::storage::set_aside;
use crate::storage::sqlite::{ForeignDatabase, SqliteRepository};
use crate::storage::vault::Vault;
use crate::tenants::budget::SharedBudget;
use crate::tenants::{Breaker, Builder, Routing};

/// How long the host waits for statements under way before it ends with its database open.
const CLOSING: std::time::Duration = std::time::Duration::from_secs(5);

/// A host that is open: everything but the listeners.
pub struct Host {
    gateway: Arc<Gateway>,
    admin: Router,
    draining: CancellationToken,
    ledger: Arc<Ledger>,
    db: Arc<dyn Repository>,
    databases: Arc<Databases>,
    clock: SharedClock,
    connections: Connections,
    retention: std::time::Duration,
    lifecycle: Arc<Lifecycle>,
    operator_token: PathBuf,
    public_url: Arc<PublicUrl>,
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
    /// Opens a host. `worker` is the executable that compiles: `mortise` itself. What must run beside the requests
    /// runs on the current tokio runtime; plugins that run long, and their SQL, on the threads of `background`.
    pub async fn open(
        config: &Config,
        worker: PathBuf,
        background: Handle,
        clock: SharedClock,
    ) -> Result<Self, OpenError> {
        let folder = DataFolder::open(&config.data.folder)?;
        let foreign = match config.data.accept_database {
            true => ForeignDatabase::Accept,
            false => ForeignDatabase::Refuse,
        };
        let db: Arc<dyn Repository> = Arc::new(SqliteRepository::open_with(folder.path(), foreign).await?);
        let key = host_key::open(&*db, config).await?;
        let vault = Arc::new(Vault::new(&key));
        for rule in config.shield.unknown_imports() {
            tracing::warn!(%rule, "no interface of this host matches this rule of `shield.imports`, so it refuses nothing");
        }
        let set_aside = set_aside::unknown_files(&*db, folder.path(), clock.now()).await?;
        for file in &set_aside {
            tracing::warn!(file = %file.display(), "a file of no known tenant or version was set aside");
        }
        let databases = Databases::new(
            folder.path().join("databases"),
            descriptors::databases(descriptors::limit()),
            background.clone(),
            clock.clone(),
        )
        .map_err(OpenError::Databases)?;
        look_for_databases(&*db, &databases, folder.path()).await?;
        let tenant_databases = Arc::new(databases);
        let services = Services {
            caches: Arc::new(Caches::new(clock.clone())),
            databases: tenant_databases.clone(),
            http: Arc::new(http_clients(config, clock.clone(), background.clone())?),
            vault: vault.clone(),
        };
        let settings = RuntimeSettings {
            folder: folder.path().to_owned(),
            worker,
            instances: config.runtime.instances,
            instances_kept: config.runtime.instances_kept,
            memories_warm: config.runtime.memories_warm,
            threads: config.runtime.threads(),
            background,
            ceiling: config.ceiling(),
            compile: config.compile.clone(),
            shield: config.shield.clone(),
            loaded_bytes: config.runtime.loaded,
        };
        let runtime = Arc::new(Runtime::start(settings, &key, services.clone())?);
        let routing = Arc::new(Routing::default());
        let breaker = Breaker::new(config.breaker.settings());
        let unhealthy_routes = breaker.unhealthy().clone();
        let bodies = SharedBudget::new(config.server.body_memory.0);
        let builder = Builder::new(
            runtime.clone(),
            config.limits.clone(),
            config.ceiling(),
            breaker,
            bodies.clone(),
        );
        let lifecycle = Arc::new(Lifecycle::new(
            db.clone(),
            runtime.clone(),
            services.clone(),
            routing.clone(),
            builder,
            clock.clone(),
            config.retention.deleted.0,
        ));
        lifecycle.refresh_all().await?;
        lifecycle.start_maintenance();
        let ledger = Ledger::start(db.clone(), clock.clone());
        let operator_token = operator_token::ensure(&*db, folder.path(), clock.now()).await?;
        let draining = CancellationToken::new();
        let invoker = Invoker::new(
            runtime.clone(),
            ledger.clone(),
            clock.clone(),
            config.runtime.instances,
        );
        let public_url = Arc::new(PublicUrl::new(config.server.public_url.clone()));
        let gateway = Gateway::new(
            routing,
            Arc::new(invoker),
            clock.clone(),
            config.server.pace(config.server.body_timeout),
            draining.clone(),
            public_url.clone(),
        );
        let connections = Connections::default();
        let observer = Observer {
            requests: gateway.requests(),
            connections: connections.clone(),
            bodies,
            shares: Arc::default(),
            unhealthy_routes,
            runtime,
            services,
            ledger: ledger.clone(),
        };
        let admin = AdminState::new(
            db.clone(),
            lifecycle.clone(),
            vault,
            Arc::new(observer),
            clock.clone(),
            draining.clone(),
            config.server.pace(config.server.body_timeout),
        )
        .with_data(folder.path())
        .with_public_url(public_url.clone())
        .with_limits(config.limits.clone(), config.ceiling());
        Ok(Self {
            gateway: Arc::new(gateway),
            admin: admin::router(admin),
            draining,
            ledger,
            db,
            databases: tenant_databases,
            clock,
            connections,
            retention: config.retention.invocations.0,
            lifecycle,
            operator_token,
            public_url,
            _folder: folder,
        })
    }

    /// The routes for API consumers.
    pub fn public_router(&self) -> Router {
        gateway::router(self.gateway.clone())
    }

    /// The routes for operators and customers.
    pub fn admin_router(&self) -> Router {
        self.admin.clone()
    }

    /// Counts the open connections of the listeners.
    pub fn connections(&self) -> &Connections {
        &self.connections
    }

    /// Says where the public listener is, for the URLs that the admin API tells.
    pub fn listens_at(&self, address: SocketAddr) {
        self.public_url.listens_at(address);
    }

    /// The file that holds the first token of the operator.
    pub fn operator_token(&self) -> &std::path::Path {
        &self.operator_token
    }

    /// Deletes records that are older than the operator keeps them.
    pub async fn prune(&self) {
        let age = i64::try_from(self.retention.as_millis()).unwrap_or(i64::MAX);
        let before = crate::domain::clock::Timestamp(self.clock.now().0.saturating_sub(age));
        match self.ledger.prune(before).await {
            Ok(0) => {}
            Ok(rows) => tracing::info!(rows, %before, "old invocations and log lines were deleted"),
            Err(error) => tracing::warn!(%error, "old invocations and log lines could not be deleted"),
        }
    }

    /// Does at once what the host does by itself now and then: reads again what could not be read, purges
    /// what was deleted long enough ago, and removes its files.
    pub async fn maintain(&self) {
        self.lifecycle.retry().await;
        self.lifecycle.sweep_or_later().await;
    }

    /// Says that the host is not ready for new connections, and ends what would never end by itself.
    pub fn start_draining(&self) {
        self.draining.cancel();
    }

    /// Writes the records and log lines that are still to be written.
    pub async fn flush(&self) {
        self.ledger.flush().await;
    }

    /// Writes what is still to be written and closes the database, so that its file can be copied. To be
    /// called once no request is under way.
    pub async fn close(&self) {
        self.flush().await;
        let databases = self.databases.clone();
        // What fails here is in the write-ahead logs beside the files.
        let _ = tokio::task::spawn_blocking(move || databases.close_all_idle()).await;
        if tokio::time::timeout(CLOSING, self.db.close()).await.is_err() {
            tracing::warn!("mortise.db is still in use, so part of it stays in mortise.db-wal: copy both");
        }
    }
}

/// Compares the files of tenants' databases with the tenants that had one.
async fn look_for_databases(
    db: &dyn Repository,
    databases: &Databases,
    data: &std::path::Path,
) -> Result<(), OpenError> {
    let aside = set_aside::listed(data).map_err(OpenError::Databases)?;
    let there = databases.with_files().map_err(OpenError::Databases)?;
    db.note_databases(&there).await?;
    let there: std::collections::HashSet<_> = there.into_iter().collect();
    for tenant in db.tenants_with_databases().await? {
        if !there.contains(&tenant) {
            databases.is_missing(tenant);
            let name = format!("{tenant}.db");
            for file in aside.iter().filter(|file| file.ends_with(&name)) {
                tracing::error!(%tenant, file = %file.display(), "a file of this tenant's database was set aside");
            }
        }
    }
    Ok(())
}

fn http_clients(config: &Config, clock: SharedClock, background: Handle) -> Result<HttpClients, OpenError> {
    let mut extra_ca = Vec::new();
    for path in &config.http_client.certificate_authorities {
        let failed = |message: String| OpenError::CertificateAuthority {
            path: path.clone(),
            message,
        };
        for certificate in CertificateDer::pem_file_iter(path).map_err(|error| failed(error.to_string()))? {
            let certificate = certificate.map_err(|error| failed(error.to_string()))?;
            extra_ca.push(CertificateAuthority {
                file: path.clone(),
                certificate,
            });
        }
    }
    let allow_loopback = config.http_client.allow_loopback;
    let config = HttpClientConfig {
        allow_loopback,
        extra_ca,
        ..HttpClientConfig::default()
    };
    HttpClients::new(config, clock, background).map_err(|invalid| OpenError::CertificateAuthority {
        path: invalid.file,
        message: invalid.reason.to_string(),
    })
}
