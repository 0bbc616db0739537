//! The life of a plugin's versions: upload, activation, and rollback.
//!
//! What is stored is named by its digest and written whole; what is active is a row. So a crash at
//! any moment leaves the old state or the new one: a component without a row is found by nobody and
//! named for removal, and a row never points to a component that is not there.
//!
//! # Lock order
//!
//! A task that holds one of these locks takes only locks further down in this list. `changes` is
//! the last: while a task holds it, it only reads or writes the control plane's database and swaps
//! the tenant's snapshot. So a revocation never waits for a compile, a migration or a file.
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
mod locks;
mod maintenance;
mod named;
mod prepared;
mod problems;
mod recompile;
mod reconcile;
mod refresh;
mod secrets;
mod stored;
mod sweep;
mod unavailable;
mod upload;

pub use component_usage::ListedComponent;
pub use error::LifecycleError;
pub use health::{AilingCallee, CalleeName};
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

/// Uploads, activates and rolls back.
pub struct Lifecycle {
    db: Arc<dyn Repository>,
    runtime: Arc<Runtime>,
    services: Services,
    routing: Arc<Routing>,
    builder: Builder,
    clock: SharedClock,
    /// How long a deleted tenant or plugin can be restored.
    grace: Duration,
    /// A tenant's uploads happen one after the other.
    uploads: Locks<TenantId>,
    /// A tenant's activations happen one after the other: each migrates the tenant's database and then
    /// switches.
    activations: Locks<TenantId>,
    /// Tenants share the compiled code of equal components. On this node one upload at a time
    /// compiles a component, and nobody removes its code meanwhile. What other nodes may do to the
    /// component, leases decide.
    files: Locks<VersionDigest>,
    /// A tenant is read back and swapped by one at a time, so that what serves is never older than what is
    /// stored.
    changes: Locks<TenantId>,
    prepared: Prepared,
    failing: Failing,
    problems: Problems,
    recompilation: Recompilation,
    unreadable_secrets: UnreadableSecrets,
    /// Wakes the maintenance task after a purge.
    purged: Arc<Notify>,
    /// Cancelled when the tasks beside the requests are to end.
    ended: CancellationToken,
}

/// What an upload made.
#[derive(Debug)]
pub struct Uploaded {
    /// The version.
    pub version: Version,
    /// False where the same bytes had been uploaded before.
    pub created: bool,
    /// What the caller should know.
    pub warnings: Vec<String>,
}

/// What an activation did.
#[derive(Debug)]
pub struct Activated {
    /// The change, as it was recorded.
    pub activation: Activation,
    /// Names of the migrations that were applied for it.
    pub migrations: Vec<String>,
    /// What the caller should know: a rollback past migrations, for instance.
    pub warnings: Vec<String>,
    /// The author's name for the version.
    pub author_version: String,
}

impl Lifecycle {
    /// Ties together what the life of a version touches. What is deleted can be restored for `grace`.
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
