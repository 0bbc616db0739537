//! Outbound HTTP to the origins that the tenant granted.
//!
//! A guest's URL is parsed once (`grant`), its request is checked and built anew (`request`), its host is resolved once
//! and only addresses of the public internet are dialled (`resolve`, `address`, `connect`), and the answer is read as
//! far as the plan allows (`response`). Secrets are attached by the host (`secret`). Redirects are never followed: the
//! guest sees them, and a request to their target is a request like any other. Around this stand the retries (`retry`),
//! the circuit breakers (`breaker`) and the budget of the invocation (`budget`); `send` puts it together.
//!
//! Tenants share nothing here but the bounds that protect the host: each has its own connections, TLS sessions and
//! circuits.

mod address;
mod breaker;
mod budget;
mod connect;
mod error;
mod grant;
mod host;
mod pool;
mod request;
mod resolve;
mod response;
mod retry;
mod secret;
mod send;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;

pub use host::{HttpClientView, add_to_linker};
pub use request::{DEEPEST_CALL, DEPTH_HEADER};
pub use resolve::{Resolver, SystemResolver};

use super::Invocation;
use crate::domain::clock::SharedClock;
use crate::domain::id::TenantId;
use crate::domain::invocation::Usage;
use crate::metrics::Gauge;
use breaker::Breakers;
use budget::Budget;
use error::SendError;
use pool::Pool;
use resolve::Lookups;
use response::Received;

/// Connections, TLS sessions and circuits of a tenant that sent nothing for this long are given up.
const TENANT_IDLE: Duration = Duration::from_secs(10 * 60);

/// Idle connections of all tenants together. Stops them from using up the host's file descriptors.
const MOST_IDLE_CONNECTIONS: usize = 1_024;

/// Names that are resolved at once, for all tenants and for one: each takes a thread.
const MOST_LOOKUPS: usize = 64;
const MOST_LOOKUPS_PER_TENANT: usize = 8;

/// What the operator decides about outbound HTTP.
#[derive(Clone, Debug)]
pub struct HttpClientConfig {
    /// Whether plugins may reach the host's own loopback addresses, and secrets may go there without TLS. For
    /// development and tests; off by default. Nothing opens private or link-local addresses.
    pub allow_loopback: bool,
    /// Certificate authorities that are trusted besides those of the web; none by default.
    pub extra_ca: Vec<CertificateDer<'static>>,
    /// How long a response may pause between two pieces of its body; 10 s by default.
    pub idle: Duration,
}

/// Outbound connections of all tenants.
pub struct HttpClients {
    config: HttpClientConfig,
    tls: ClientConfig,
    resolver: Arc<dyn Resolver>,
    clock: SharedClock,
    tenants: Cache<TenantId, Arc<TenantClient>>,
    lookups: Arc<Semaphore>,
    idle_slots: Arc<Semaphore>,
    requests: Gauge,
    connections: Gauge,
}

/// What the outbound client holds at this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HttpClientsHeld {
    /// Requests under way.
    pub requests: u64,
    /// Open connections, and those that are being opened.
    pub connections: u64,
    /// Of these, the ones that wait for their next request.
    pub idle_connections: u64,
}

/// A certificate authority of the operator is not one.
#[derive(Debug, thiserror::Error)]
#[error("an additional certificate authority for outbound HTTP cannot be used: {0}")]
pub struct InvalidCertificateAuthority(#[from] rustls::Error);

/// The client as one invocation uses it.
pub struct ClientState {
    clients: Arc<HttpClients>,
    budget: Arc<Budget>,
}

/// A request under way. Dropping it ends the request.
pub struct Pending {
    task: Option<(
        AbortOnDropHandle<Result<Received, SendError>>,
        OwnedSemaphorePermit,
    )>,
}

/// What the requests of one tenant share.
struct TenantClient {
    tls: TlsConnector,
    pool: Arc<Pool>,
    breakers: Breakers,
    lookups: Lookups,
}

impl Default for HttpClientConfig {
    fn default() -> Self {
        Self {
            allow_loopback: false,
            extra_ca: Vec::new(),
            idle: Duration::from_secs(10),
        }
    }
}

impl HttpClients {
    /// Clients that resolve names as the operating system does. Circuits open and close by `clock`.
    pub fn new(config: HttpClientConfig, clock: SharedClock) -> Result<Self, InvalidCertificateAuthority> {
        Self::with_resolver(config, clock, Arc::new(SystemResolver))
    }

    /// Clients that resolve names by `resolver`. What it answers is checked like any other address.
    pub fn with_resolver(
        config: HttpClientConfig,
        clock: SharedClock,
        resolver: Arc<dyn Resolver>,
    ) -> Result<Self, InvalidCertificateAuthority> {
        Ok(Self {
            tls: connect::tls_settings(&config.extra_ca)?,
            config,
            resolver,
            clock,
            tenants: Cache::builder().time_to_idle(TENANT_IDLE).build(),
            lookups: Arc::new(Semaphore::new(MOST_LOOKUPS)),
            idle_slots: Arc::new(Semaphore::new(MOST_IDLE_CONNECTIONS)),
            requests: Gauge::default(),
            connections: Gauge::default(),
        })
    }

    /// Closes the idle connections of a tenant and forgets its circuits.
    pub fn forget_tenant(&self, tenant: TenantId) {
        // The cache drops what was removed when it tidies up, and that at some time after.
        if let Some(client) = self.tenants.remove(&tenant) {
            client.pool.clear();
        }
        self.tenants.run_pending_tasks();
    }

    /// What is held now.
    pub fn held(&self) -> HttpClientsHeld {
        let idle = MOST_IDLE_CONNECTIONS.saturating_sub(self.idle_slots.available_permits());
        HttpClientsHeld {
            requests: self.requests.get(),
            connections: self.connections.get(),
            idle_connections: u64::try_from(idle).unwrap_or(u64::MAX),
        }
    }

    fn tenant(&self, tenant: TenantId) -> Arc<TenantClient> {
        self.tenants.get_with(tenant, || {
            Arc::new(TenantClient {
                tls: connect::tls_for_tenant(&self.tls),
                pool: Pool::new(self.idle_slots.clone()),
                breakers: Breakers::default(),
                lookups: Lookups::new(self.lookups.clone(), MOST_LOOKUPS_PER_TENANT),
            })
        })
    }
}

impl ClientState {
    /// The state of an invocation that has not used it yet. It is made when the guest first does, so that nothing in it may
    /// depend on when that is.
    pub fn new(clients: &Arc<HttpClients>, invocation: &Invocation) -> Self {
        Self {
            clients: clients.clone(),
            budget: Arc::new(Budget::new(invocation.limits())),
        }
    }

    /// Writes what was sent and received so far into `usage`. Requests under way go on counting, so this is done once
    /// more when the invocation is over.
    pub fn settle(&self, usage: &mut Usage) {
        self.budget.settle(usage);
    }
}
