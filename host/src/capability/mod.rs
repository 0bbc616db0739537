//! The capabilities of plugins: one folder for each interface that they may import.
//!
//! Each folder has the same files. `mod.rs` describes the capability and holds its state. `host.rs`
//! implements the host calls: it counts the call, checks the grant, clamps the arguments and
//! delegates. The traits of `database/engine.rs` and `cache/backend.rs` hide the back ends.
//!
//! [`Services`] exists once per host and holds pools, caches and clients. [`State`] is created for
//! each invocation and lives in its store. A host call can use only the view of its own capability.

mod active_version;
pub mod bindings;
pub mod cache;
pub mod config;
pub mod content;
pub mod context;
mod cpu_time;
pub mod database;
pub mod email;
pub mod events;
pub mod http_client;
mod invocation;
pub mod jobs;
mod last_calls;
pub mod log;
mod renderer;
pub mod secrets;
pub mod steps;
#[cfg(test)]
pub mod testing;
mod unavailable;

use std::sync::Arc;

use wasmtime::component::{Linker, ResourceTable};

pub use active_version::ActiveVersion;
pub use cpu_time::{CpuTime, thread_time};
pub use invocation::{HandlesSpent, HostCallRefused, Invocation, RunningJob};
pub use last_calls::LastCalls;
pub use renderer::{RenderJob, RenderTemplates, Renderer};

use crate::metrics::MailCounters;
use crate::storage::vault::Vault;

/// The services that all invocations share.
#[derive(Clone)]
pub struct Services {
    /// The caches of all tenants.
    pub caches: Arc<dyn cache::CacheBackend>,
    /// The databases of all tenants.
    pub databases: Arc<dyn database::DatabaseEngine>,
    /// Outbound connections.
    pub http: Arc<http_client::HttpClients>,
    /// The job queue.
    pub jobs: Arc<dyn jobs::JobQueue>,
    /// Takes mail.
    pub mail: Arc<dyn email::MailQueue>,
    /// Counts what becomes of mail.
    pub mail_counters: Arc<MailCounters>,
    /// Renders mail templates.
    pub renderer: Arc<Renderer>,
    /// Decrypts secrets.
    pub vault: Arc<Vault>,
}

/// The capabilities of one invocation.
pub struct State {
    /// The invocation and its usage.
    pub invocation: Box<Invocation>,
    /// The guest's resources.
    pub table: ResourceTable,
    services: Arc<Services>,
    /// Created at the guest's first use, as is `http_client`.
    database: Option<database::DatabaseState>,
    http_client: Option<http_client::ClientState>,
}

/// Store data that holds the capabilities.
pub trait HasCapabilities: Send + 'static {
    /// The capabilities of this store's invocation.
    fn capabilities(&mut self) -> &mut State;
}

impl State {
    /// Creates the capabilities of a new invocation. `table` is the resource table of the instance.
    pub fn new(invocation: Box<Invocation>, services: Arc<Services>, mut table: ResourceTable) -> Self {
        table.set_max_capacity(usize::try_from(invocation.limits().handles).unwrap_or(usize::MAX));
        Self {
            invocation,
            table,
            services,
            database: None,
            http_client: None,
        }
    }

    /// Returns the invocation with its usage, and the table of the instance. Call it when the guest
    /// is done.
    pub fn into_parts(mut self) -> (Box<Invocation>, ResourceTable) {
        if let Some(client) = &self.http_client {
            client.settle(&mut self.invocation.usage);
        }
        (self.invocation, self.table)
    }
}

/// A failure of the host. It ends the invocation and is never the guest's fault.
#[derive(Debug, thiserror::Error)]
#[error("the host failed: {0}")]
pub struct HostFault(#[source] Box<dyn std::error::Error + Send + Sync>);

impl HostFault {
    /// Marks `error` as the host's fault.
    pub fn new(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(error.into())
    }
}

/// Links every interface of the contract.
pub fn add_to_linker<T: HasCapabilities>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    context::add_to_linker(linker)?;
    log::add_to_linker(linker)?;
    config::add_to_linker(linker)?;
    secrets::add_to_linker(linker)?;
    cache::add_to_linker(linker)?;
    database::add_to_linker(linker)?;
    http_client::add_to_linker(linker)?;
    jobs::add_to_linker(linker)?;
    email::add_to_linker(linker)?;
    events::add_to_linker(linker)?;
    steps::add_to_linker(linker)?;
    unavailable::add_to_linker(linker)
}
