//! What plugins can do besides computing: one folder for each interface that they may import.
//!
//! Each folder has the same files: `mod.rs` says what the capability is and holds its state,
//! `host.rs` answers the host calls (charge, check the grant, clamp what the guest gave, delegate).
//! Behind the traits of `database/engine.rs` and `cache/backend.rs` stands what keeps the data:
//! SQLite and memory.
//!
//! The life of a capability has two phases. [`Services`] is made once per host: pools, caches, clients. [`State`] is
//! made for each invocation and goes with its store. A host call sees the view of its own capability and nothing
//! else.

mod active_version;
pub mod bindings;
pub mod cache;
pub mod config;
pub mod content;
pub mod context;
mod cpu_time;
pub mod database;
pub mod http_client;
mod invocation;
mod last_calls;
pub mod log;
pub mod secrets;
#[cfg(test)]
pub mod testing;
mod unserved;

use std::sync::Arc;

use wasmtime::component::{Linker, ResourceTable};

pub use active_version::ActiveVersion;
pub use cpu_time::{CpuTime, thread_time};
pub use invocation::{HandlesSpent, HostCallRefused, Invocation};
pub use last_calls::LastCalls;

use crate::storage::vault::Vault;

/// What the capabilities share over the life of the host.
#[derive(Clone)]
pub struct Services {
    /// The caches of all tenants.
    pub caches: Arc<dyn cache::CacheBackend>,
    /// The databases of all tenants.
    pub databases: Arc<dyn database::DatabaseEngine>,
    /// Outbound connections.
    pub http: Arc<http_client::HttpClients>,
    /// Opens sealed secrets.
    pub vault: Arc<Vault>,
}

/// The capabilities of one invocation.
pub struct State {
    /// Who it is, and what it has used.
    pub invocation: Box<Invocation>,
    /// The resources that the guest holds.
    pub table: ResourceTable,
    services: Arc<Services>,
    /// Made when the guest first uses it, as is the next.
    database: Option<database::DatabaseState>,
    http_client: Option<http_client::ClientState>,
}

/// Store data that holds the capabilities.
pub trait HasCapabilities: Send + 'static {
    /// The capabilities of this store's invocation.
    fn capabilities(&mut self) -> &mut State;
}

impl State {
    /// The capabilities of a new invocation. `table` is that of the instance.
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

    /// The invocation with what it has used, once its guest is done, and the table of the instance.
    pub fn into_parts(mut self) -> (Box<Invocation>, ResourceTable) {
        if let Some(client) = &self.http_client {
            client.settle(&mut self.invocation.usage);
        }
        (self.invocation, self.table)
    }
}

/// The host could not do its part. It ends the invocation and is nobody else's fault.
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
    unserved::add_to_linker(linker)
}
