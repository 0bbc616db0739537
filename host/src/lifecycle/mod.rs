//! The lifecycle of plugin versions: upload, activation, rollback and deletion.
//!
//! A component is named by its digest and written atomically, and the active version is a row. So a
//! crash leaves either the old or the new state. A component without a row is marked for removal,
//! and a row never refers to a missing component.
//!
//! # Lock order
//!
//! A task that holds one of these locks only takes locks further down in this list. While a task
//! holds `changes`, the last one, it only uses the control plane's database and swaps the tenant's
//! snapshot. So a revocation never waits for a compilation, a migration or a file.
//!
//! 1. `uploads`, by tenant
//! 2. `activations`, by tenant
//! 3. `files`, by digest
//! 4. `changes`, by tenant

mod activate;
mod api_keys;
mod bounds;
mod component_usage;
mod damage;
mod delete;
mod delete_version;
mod error;
mod failing;
mod health;
mod idle_limits;
mod jobs;
mod locks;
mod maintenance;
mod named;
mod prepared;
mod problems;
mod recompile;
mod reconcile;
mod refresh;
mod schedules;
mod secrets;
mod stored;
mod sweep;
mod unavailable;
mod upload;
mod webhooks;

pub use component_usage::ListedComponent;
pub use error::LifecycleError;
pub use health::{CalleeName, UnhealthyCallee};
pub use locks::Locks;
pub use recompile::{FailedRecompile, RecompileProgress};
pub use secrets::UnreadableSecret;
pub use unavailable::UnavailablePlugin;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::capability::Services;
use crate::domain::clock::SharedClock;
use crate::domain::id::{TenantId, VersionDigest};
use crate::domain::plugin::{Activation, Version};
use crate::sandbox::Runtime;
use crate::storage::Repository;
use crate::tenants::{Builder, Routing};
use failing::Failing;
use prepared::Prepared;
use problems::Problems;
use recompile::Recompilation;
use secrets::UnreadableSecrets;

/// Uploads, activates, rolls back and deletes.
pub struct Lifecycle {
    db: Arc<dyn Repository>,
    runtime: Arc<Runtime>,
    services: Services,
    routing: Arc<Routing>,
    builder: Builder,
    clock: SharedClock,
    /// How long a deleted tenant or plugin can be restored.
    grace: Duration,
    /// Serializes the uploads of a tenant.
    uploads: Locks<TenantId>,
    /// Serializes the activations of a tenant. Each migrates the tenant's database and then changes
    /// the active version.
    activations: Locks<TenantId>,
    /// Serializes compilation and removal of a component's code on this node, since tenants share
    /// the code of equal components. Leases protect the component from other nodes.
    files: Locks<VersionDigest>,
    /// Serializes reading a tenant and swapping its snapshot, so that the served state is never
    /// older than the stored one.
    changes: Locks<TenantId>,
    prepared: Prepared,
    failing: Failing,
    problems: Problems,
    recompilation: Recompilation,
    unreadable_secrets: UnreadableSecrets,
    /// Wakes the maintenance task after a purge.
    purged: Arc<Notify>,
    /// Cancelled to end the background tasks.
    ended: CancellationToken,
}

/// The result of an upload.
#[derive(Debug)]
pub struct Uploaded {
    /// The version.
    pub version: Version,
    /// Whether the version is new. `false` if the same bytes were uploaded before.
    pub created: bool,
    /// Warnings for the caller.
    pub warnings: Vec<String>,
}

/// The result of an activation.
#[derive(Debug)]
pub struct Activated {
    /// The recorded activation.
    pub activation: Activation,
    /// Names of the migrations that were applied.
    pub migrations: Vec<String>,
    /// Warnings for the caller, for instance about a rollback past migrations.
    pub warnings: Vec<String>,
    /// The author's name for the version.
    pub author_version: String,
}

impl Lifecycle {
    /// Creates a lifecycle. Deleted tenants and plugins can be restored for `grace`.
    pub fn new(
        db: Arc<dyn Repository>,
        runtime: Arc<Runtime>,
        services: Services,
        routing: Arc<Routing>,
        builder: Builder,
        clock: SharedClock,
        grace: Duration,
    ) -> Self {
        Self {
            db,
            runtime,
            services,
            routing,
            builder,
            clock,
            grace,
            uploads: Locks::default(),
            activations: Locks::default(),
            files: Locks::default(),
            changes: Locks::default(),
            prepared: Prepared::default(),
            failing: Failing::default(),
            problems: Problems::default(),
            recompilation: Recompilation::default(),
            unreadable_secrets: UnreadableSecrets::default(),
            purged: Arc::default(),
            ended: CancellationToken::new(),
        }
    }
}
