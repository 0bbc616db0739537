//! Outbound HTTP to the origins that the tenant granted.
//!
//! The host parses the guest's URL once (`grant`), checks and rebuilds the request (`request`),
//! resolves the name once and connects to public addresses only (`resolve`, `address`, `connect`),
//! and reads the response within the limits (`response`). It attaches secrets, each for its own
//! origins only (`secret`). It never follows redirects: the guest gets the redirect, and a request
//! to its target is checked like any other. Retries (`retry`), circuit breakers (`breaker`) and the
//! invocation's budget (`budget`) apply to each attempt; `send` combines all of this.
//!
//! Three mechanisms bound the work that a remote server causes. The socket counts everything that
//! the server sends (`allowance`). All work runs in tasks that charge their CPU time to the
//! invocation and leave the threads of connections after a tick (`work`). An idle connection is not
//! read (`connection`).
//!
//! Each tenant has its own connections, TLS sessions and circuit breakers. Tenants share only the
//! limits that protect the host.

mod address;
mod allowance;
mod breaker;
mod budget;
mod connect;
mod connection;
mod error;
mod grant;
mod host;
mod host_request;
mod pool;
mod request;
mod resolve;
mod response;
mod retry;
mod secret;
mod send;
#[cfg(test)]
mod tests;
mod work;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;
use url::Host;

pub use host::{HttpClientView, add_to_linker};
pub use host_request::{HostRequest, HostResponse};
pub use request::{DEEPEST_CALL, DEPTH_HEADER};
pub use resolve::{Resolver, SystemResolver};

use super::Invocation;
use crate::domain::clock::SharedClock;
use crate::domain::id::TenantId;
use crate::domain::invocation::Usage;
use crate::fair_semaphore::{FairSemaphore, Lane};
use crate::metrics::Gauge;
use address::Reach;
use breaker::Breakers;
use budget::Budget;
use error::SendError;
use pool::Pool;
use resolve::Lookups;
use response::Received;
use work::{Background, Work};

/// After this time without a request, the connections, TLS sessions and circuit breakers of a
/// tenant are dropped.
const TENANT_IDLE: Duration = Duration::from_secs(10 * 60);

/// Most idle connections of all tenants together. Stops them from using up the host's file
/// descriptors.
const MOST_IDLE_CONNECTIONS: usize = 1_024;

/// Concurrent DNS look-ups, of all tenants and of one tenant. Each takes a thread. If all look-ups
/// of the host are in use, each tenant may still start one.
const MOST_LOOKUPS: usize = 64;
const MOST_LOOKUPS_PER_TENANT: usize = 8;

/// What the operator decides about outbound HTTP.
#[derive(Clone, Debug)]
pub struct HttpClientConfig {
    /// Whether plugins may reach the host's loopback addresses, and secrets may go there without
    /// TLS. For development and tests; off by default. No setting allows private or link-local
    /// addresses.
    pub allow_loopback: bool,
    /// Additional trusted certificate authorities; none by default.
    pub extra_ca: Vec<CertificateAuthority>,
    /// How long a response may pause between two pieces of its body; 10 s by default.
    pub idle: Duration,
}

/// Outbound connections of all tenants.
pub struct HttpClients {
    config: HttpClientConfig,
    tls: ClientConfig,
    resolver: Arc<dyn Resolver>,
    clock: SharedClock,
    background: Background,
    tenants: Cache<TenantId, Arc<TenantClient>>,
    lookups: Arc<FairSemaphore>,
    idle_slots: Arc<Semaphore>,
    requests: Gauge,
    connections: Gauge,
}

/// The resources that the outbound client holds now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HttpClientsHeld {
    /// Running requests.
    pub requests: u64,
    /// Connections that are open or being opened.
    pub connections: u64,
    /// The connections among these that are idle.
    pub idle_connections: u64,
}

/// A certificate authority that the operator trusts.
#[derive(Clone, Debug)]
pub struct CertificateAuthority {
    /// The file that it comes from.
    pub file: PathBuf,
    /// The certificate.
    pub certificate: CertificateDer<'static>,
}

/// A configured certificate authority that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the certificate authority {} cannot be used: {reason}", file.display())]
pub struct InvalidCertificateAuthority {
    /// The file that it comes from.
    pub file: PathBuf,
    /// The error of the TLS library.
    pub reason: rustls::Error,
}

/// The HTTP client of one invocation.
pub struct ClientState {
    clients: Arc<HttpClients>,
    tenant: Arc<TenantClient>,
    budget: Arc<Budget>,
    work: Arc<Work>,
}

/// A running request. Dropping it cancels the request.
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
    breakers: Arc<Breakers>,
    lookups: Lookups,
    /// The tenant's queue in the background runtime.
    lane: Arc<Lane>,
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
    /// Creates clients that use the operating system's resolver. Circuit breakers use `clock`. Long
    /// work runs on the threads of `background`.
    pub fn new(
        config: HttpClientConfig,
        clock: SharedClock,
        background: Handle,
    ) -> Result<Self, InvalidCertificateAuthority> {
        Self::with_resolver(config, clock, background, Arc::new(SystemResolver))
    }

    /// Creates clients that use `resolver`. The addresses it returns are checked like any other.
    pub fn with_resolver(
        config: HttpClientConfig,
        clock: SharedClock,
        background: Handle,
        resolver: Arc<dyn Resolver>,
    ) -> Result<Self, InvalidCertificateAuthority> {
        Ok(Self {
            tls: connect::tls_settings(&config.extra_ca)?,
            config,
            resolver,
            clock,
            background: Background::new(background),
            tenants: Cache::builder().time_to_idle(TENANT_IDLE).build(),
            lookups: FairSemaphore::oversubscribed(MOST_LOOKUPS),
            idle_slots: Arc::new(Semaphore::new(MOST_IDLE_CONNECTIONS)),
            requests: Gauge::default(),
            connections: Gauge::default(),
        })
    }

    /// The addresses at which plugins of a tenant may reach a host, for what does not speak HTTP:
    /// resolved once and checked, as for a request. The error is a sentence without addresses.
    pub async fn reachable(
        &self,
        tenant: TenantId,
        host: &str,
        port: u16,
    ) -> Result<Vec<SocketAddr>, String> {
        let parsed = Host::parse(host).map_err(|_| format!("`{host}` is no name of a host"))?;
        let reach = match self.config.allow_loopback {
            true => Reach::PublicAndLoopback,
            false => Reach::Public,
        };
        let found = resolve::reachable(&parsed, port, reach, &self.tenant(tenant).lookups).await;
        found.map_err(|error| error.to_string())
    }

    /// All addresses of a host that the operator named, whatever they are.
    pub async fn resolve(&self, host: &str, port: u16) -> std::io::Result<Vec<SocketAddr>> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let found = match bare.parse() {
            Ok(address) => vec![address],
            Err(_) => self.resolver.resolve(host).await?,
        };
        Ok(found
            .into_iter()
            .map(|address| SocketAddr::new(address, port))
            .collect())
    }

    /// The TLS settings, for what does not speak HTTP.
    pub fn tls(&self) -> ClientConfig {
        let mut settings = self.tls.clone();
        settings.alpn_protocols.clear();
        settings
    }

    /// The certificate authorities that the operator trusts beside the public ones.
    pub fn certificate_authorities(&self) -> &[CertificateAuthority] {
        &self.config.extra_ca
    }

    /// Closes the idle connections of a tenant and resets its circuit breakers.
    pub fn forget_tenant(&self, tenant: TenantId) {
        // The cache drops removed entries only some time later, so the connections are closed here.
        if let Some(client) = self.tenants.remove(&tenant) {
            client.pool.clear();
        }
        self.tenants.run_pending_tasks();
    }

    /// The resources in use now.
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
            let background = self.background.threads();
            let lookups = Lookups::new(
                self.resolver.clone(),
                background.clone(),
                self.lookups.clone(),
                Arc::new(Lane::new(1)),
                MOST_LOOKUPS_PER_TENANT,
            );
            Arc::new(TenantClient {
                tls: connect::tls_for_tenant(&self.tls),
                pool: Pool::new(self.idle_slots.clone(), background.clone()),
                breakers: Arc::default(),
                lookups,
                lane: Arc::new(Lane::new(1)),
            })
        })
    }
}

impl ClientState {
    /// Creates the client of an invocation. This happens at its first request, so nothing here may
    /// depend on the time of creation.
    pub fn new(clients: &Arc<HttpClients>, invocation: &Invocation) -> Self {
        let tenant = clients.tenant(invocation.active.tenant);
        let work = Work::new(
            invocation.cpu_time.clone(),
            invocation.limits().cpu.0,
            clients.background.clone(),
            tenant.lane.clone(),
        );
        Self {
            clients: clients.clone(),
            tenant,
            budget: Arc::new(Budget::new(invocation.limits())),
            work: Arc::new(work),
        }
    }

    /// Writes the current counts into `usage`. Running requests continue to count, so this is
    /// called once more at the end of the invocation.
    pub fn settle(&self, usage: &mut Usage) {
        self.budget.settle(usage);
    }
}
