//! The state that all handlers of the admin API share.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::access::Actor;
use super::limits::HostLimits;
use super::observer::Observer;
use super::shares::Shares;
use crate::domain::audit::Change;
use crate::domain::clock::{SharedClock, Timestamp};
use crate::domain::id::{PluginName, TenantId, TenantName, VersionDigest};
use crate::domain::limits::Limits;
use crate::domain::public_url::PublicUrl;
use crate::jobs::{Queue, Scheduler, Wake};
use crate::ledger::Ledger;
use crate::lifecycle::{Lifecycle, Locks};
use crate::server::body::Pace;
use crate::storage::Repository;
use crate::storage::vault::Vault;

/// The shared state of the handlers.
pub struct AdminState {
    /// The control plane's database.
    pub db: Arc<dyn Repository>,
    /// Uploads, activates, rolls back and deletes.
    pub lifecycle: Arc<Lifecycle>,
    /// Encrypts secrets.
    pub vault: Arc<Vault>,
    /// Writes invocation records and log lines.
    pub ledger: Arc<Ledger>,
    /// Collects the metrics.
    pub observer: Arc<Observer>,
    /// The tasks that run jobs.
    pub jobs: JobTasks,
    /// The clock.
    pub clock: SharedClock,
    /// Cancelled when the host begins to shut down.
    pub draining: CancellationToken,
    /// When the host started.
    pub started_at: Timestamp,
    /// The URL of the public listener.
    pub public_url: Arc<PublicUrl>,
    /// The data folder, with the `set-aside` folder for files of no known tenant or version.
    pub data: PathBuf,
    /// The operator's limits.
    pub(super) limits: HostLimits,
    /// The lowest pace of request bodies.
    pub(super) pace: Pace,
    pub(super) shares: Arc<Shares>,
    /// Locks by tenant: only one request at a time adds items whose number is limited.
    pub(super) counting: Locks<TenantId>,
    /// Locks by tenant: only one request at a time counts the jobs of a tenant.
    pub(super) summaries: Locks<TenantId>,
}

/// The tasks of this process that run jobs, as far as the admin API uses them.
#[derive(Clone)]
pub struct JobTasks {
    /// Wakes them.
    pub wake: Arc<Wake>,
    /// Runs schedules.
    pub scheduler: Arc<Scheduler>,
    /// Counts jobs that the admin API adds.
    pub queue: Arc<Queue>,
}

impl AdminState {
    /// The state of a starting host.
    pub fn new(
        db: Arc<dyn Repository>,
        lifecycle: Arc<Lifecycle>,
        observer: Arc<Observer>,
        jobs: JobTasks,
        clock: SharedClock,
        draining: CancellationToken,
        pace: Pace,
    ) -> Self {
        Self {
            db,
            lifecycle,
            vault: observer.services.vault.clone(),
            ledger: observer.ledger.clone(),
            started_at: clock.now(),
            jobs,
            public_url: Arc::default(),
            data: PathBuf::new(),
            limits: HostLimits::default(),
            clock,
            draining,
            pace,
            shares: observer.shares.clone(),
            observer,
            counting: Locks::default(),
            summaries: Locks::default(),
        }
    }

    /// Sets the data folder.
    pub fn with_data(self, data: &Path) -> Self {
        Self {
            data: data.to_owned(),
            ..self
        }
    }

    /// Sets the URL of the public listener.
    pub fn with_public_url(self, public_url: Arc<PublicUrl>) -> Self {
        Self { public_url, ..self }
    }

    /// The URL of a plugin.
    pub(super) fn plugin_url(&self, tenant: &TenantName, plugin: &PluginName) -> String {
        self.public_url.of_plugin(tenant, plugin)
    }

    /// The author's name for a version; `None` if the row cannot be read. `GET /api/v1/node` lists
    /// such rows.
    pub(super) async fn author_version(
        &self,
        tenant: TenantId,
        plugin: &PluginName,
        digest: VersionDigest,
    ) -> Option<String> {
        let version = self.db.version(tenant, plugin, digest).await.ok()??;
        Some(version.manifest.plugin.version.clone())
    }

    /// Sets the operator's limits.
    pub fn with_limits(self, defaults: Limits, ceiling: Limits) -> Self {
        Self {
            limits: HostLimits { defaults, ceiling },
            ..self
        }
    }

    /// A change by this actor. The database method that makes the change also writes it to the
    /// audit log. If the change affects serving, the handler refreshes the tenant before it
    /// answers.
    pub(super) fn change(&self, actor: &Actor, action: &str, subject: impl Into<String>) -> Change {
        Change::new(actor.id(), action, subject, self.clock.now())
    }
}
