//! The life of a plugin's versions: upload, activation, and the way back.
//!
//! What is stored on disk is named by its digest and written whole; what is active is a row. So a crash at any moment
//! leaves the old state or the new one: a component without a row is found by nobody, and a row never points to a
//! component that is not there.

mod activate;
mod api_keys;
mod bounds;
mod error;
mod health;
mod locks;
mod refresh;
mod sweep;
mod upload;

pub use error::LifecycleError;
pub use health::AilingRoute;
pub use locks::Locks;

use std::sync::Arc;

use crate::capability::Services;
use crate::domain::clock::SharedClock;
use crate::domain::id::{TenantId, VersionDigest};
use crate::domain::plugin::{Activation, Version};
use crate::sandbox::Runtime;
use crate::storage::Repository;
use crate::tenants::{Builder, Routing};

/// Uploads, activates and goes back.
pub struct Lifecycle {
    db: Arc<dyn Repository>,
    runtime: Arc<Runtime>,
    services: Services,
    routing: Arc<Routing>,
    builder: Builder,
    clock: SharedClock,
    /// Changes to one tenant happen one after the other, so that what serves is never older than what is stored. Held
    /// for as long as the database takes, never while something is compiled: a revocation must not wait for that.
    changes: Locks<TenantId>,
    /// A tenant's uploads happen one after the other.
    uploads: Locks<TenantId>,
    /// Tenants share the files of equal components. They are written, and removed, by one at a time.
    files: Locks<VersionDigest>,
}

/// What an upload made.
#[derive(Debug)]
pub struct Uploaded {
    /// The version.
    pub version: Version,
    /// False where the same bytes had been uploaded before.
    pub created: bool,
}

/// What an activation did.
#[derive(Debug)]
pub struct Activated {
    /// The change, as it was recorded.
    pub activation: Activation,
    /// Names of the migrations that were applied for it.
    pub migrations: Vec<String>,
    /// What the caller should know: going back past migrations, for instance.
    pub warnings: Vec<String>,
}

impl Lifecycle {
    /// Ties together what the life of a version touches.
    pub fn new(
        db: Arc<dyn Repository>,
        runtime: Arc<Runtime>,
        services: Services,
        routing: Arc<Routing>,
        builder: Builder,
        clock: SharedClock,
    ) -> Self {
        Self {
            db,
            runtime,
            services,
            routing,
            builder,
            clock,
            changes: Locks::default(),
            uploads: Locks::default(),
            files: Locks::default(),
        }
    }
}
