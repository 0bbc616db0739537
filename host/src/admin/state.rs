//! What the handlers work with.

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
use crate::ledger::Ledger;
use crate::lifecycle::{Lifecycle, Locks};
use crate::server::body::Pace;
use crate::storage::Repository;
use crate::storage::vault::Vault;

/// What the handlers work with.
pub struct AdminState {
    /// The control plane's database.
    pub db: Arc<dyn Repository>,
    /// Uploads, activates and rolls back.
    pub lifecycle: Arc<Lifecycle>,
    /// Seals secrets.
    pub vault: Arc<Vault>,
    /// Knows what runs.
    pub ledger: Arc<Ledger>,
    /// Knows what the host holds.
    pub observer: Arc<Observer>,
    /// The time.
    pub clock: SharedClock,
    /// Cancelled when the host begins to shut down.
    pub draining: CancellationToken,
    /// When the host started.
    pub started_at: Timestamp,
    /// Where the public listener is reached from outside.
    pub public_url: Arc<PublicUrl>,
    /// The data folder, in which files that belong to no known tenant or version are set aside.
    pub data: PathBuf,
    /// The limits that the operator has set.
    pub(super) limits: HostLimits,
    /// How slowly bodies may come.
    pub(super) pace: Pace,
    pub(super) shares: Arc<Shares>,
    /// What is bounded by a count is added by one request of a tenant at a time.
    pub(super) counting: Locks<TenantId>,
}

impl AdminState {
    /// The state of a host that starts now.
    pub fn new(
        db: Arc<dyn Repository>,
        lifecycle: Arc<Lifecycle>,
        vault: Arc<Vault>,
        observer: Arc<Observer>,
        clock: SharedClock,
        draining: CancellationToken,
        pace: Pace,
    ) -> Self {
        Self {
            db,
            lifecycle,
            vault,
            ledger: observer.ledger.clone(),
            started_at: clock.now(),
            public_url: Arc::default(),
            data: PathBuf::new(),
            limits: HostLimits::default(),
            clock,
            draining,
            pace,
            shares: observer.shares.clone(),
            observer,
            counting: Locks::default(),
        }
    }

    /// The state of a host with this data folder.
    pub fn with_data(self, data: &Path) -> Self {
        Self {
            data: data.to_owned(),
            ..self
        }
    }

    /// The state of a host whose public listener is reached there.
    pub fn with_public_url(self, public_url: Arc<PublicUrl>) -> Self {
        Self { public_url, ..self }
    }

    /// Where a plugin is reached from outside.
    pub(super) fn plugin_url(&self, tenant: &TenantName, plugin: &PluginName) -> String {
        self.public_url.of_plugin(tenant, plugin)
    }

    /// The author's name for a version. A row that cannot be read is named elsewhere
    /// (`unavailable` in `GET /api/v1/node`), and must not keep the rest from being shown.
    pub(super) async fn author_version(
        &self,
        tenant: TenantId,
        plugin: &PluginName,
        digest: VersionDigest,
    ) -> Option<String> {
        let version = self.db.version(tenant, plugin, digest).await.ok()??;
        Some(version.manifest.plugin.version.clone())
    }

    /// The state of a host whose operator has set these limits.
    pub fn with_limits(self, defaults: Limits, ceiling: Limits) -> Self {
        Self {
            limits: HostLimits { defaults, ceiling },
            ..self
        }
    }

    /// A change by this actor. The method of the database that makes it writes it to the audit log
    /// as well. A handler that changes what serves requests has the lifecycle refresh the tenant
    /// before it answers.
    pub(super) fn change(&self, actor: &Actor, action: &str, subject: impl Into<String>) -> Change {
        Change::new(actor.id(), action, subject, self.clock.now())
    }
}
