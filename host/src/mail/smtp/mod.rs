//! Speaks with mail servers. Connections are kept for a while and used again.
//!
//! A tenant chooses its server, and a server may answer whatever it wants. So the name is resolved
//! once and only checked addresses are dialled, as for outbound HTTP; what a server may send is
//! bounded (`stream`), and so is the time of a transaction.

mod pool;
mod reply;
mod session;
mod stream;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Failure, Server, Verdict};
use crate::capability::http_client::HttpClients;
use crate::domain::id::TenantId;
use crate::domain::mail_address::Address;
use pool::{Key, Pool};
use session::Session;

/// The time to connect to one address.
const CONNECT: Duration = Duration::from_secs(10);

/// The time for the greeting, TLS and the login.
const GREETING: Duration = Duration::from_secs(20);

/// The time for one message.
const TRANSACTION: Duration = Duration::from_secs(70);

/// The most addresses of a server that are tried.
const ADDRESSES: usize = 3;

/// Hands mail over to servers.
pub struct Smtp {
    clients: Arc<HttpClients>,
    /// The name that the host gives in its greeting.
    hello: String,
    pool: Pool,
}

impl Smtp {
    /// Uses the look-ups and the certificate authorities of `clients`. `hello` is the name of this
    /// host; empty for one that says nothing.
    pub fn new(clients: Arc<HttpClients>, hello: String) -> Self {
        Self {
            clients,
            hello,
            pool: Pool::default(),
        }
    }

    /// Hands a message over, and returns what the server said about each receiver. If a connection
    /// fails before the message is on its way, another one is tried at once.
    pub(super) async fn send(
        &self,
        tenant: TenantId,
        server: &Server,
        from: &Address,
        receivers: &[Address],
        source: &[u8],
    ) -> Result<Vec<Verdict>, Failure> {
        let key = Key::of(server);
        let kept = self.pool.take(&key);
        match self.attempt(tenant, server, kept, from, receivers, source).await {
            Err(failure) if failure.is_repeatable => {
                tracing::debug!(%tenant, %failure, "a connection to a mail server failed and is opened again");
                self.attempt(tenant, server, None, from, receivers, source).await
            }
            other => other,
        }
    }

    async fn attempt(
        &self,
        tenant: TenantId,
        server: &Server,
        kept: Option<Session>,
        from: &Address,
        receivers: &[Address],
        source: &[u8],
    ) -> Result<Vec<Verdict>, Failure> {
        let mut session = match kept {
            Some(session) => session,
            None => self.connect(tenant, server).await?,
        };
        let transaction = timeout(TRANSACTION, session.transact(from, receivers, source)).await;
        let verdicts = transaction.map_err(|_| {
            Failure::lasting(format!(
                "the mail server did not take the message within {} s",
                TRANSACTION.as_secs()
            ))
        })??;
        if session.is_usable() {
            self.pool.put(Key::of(server), session);
        }
        Ok(verdicts)
    }

    async fn connect(&self, tenant: TenantId, server: &Server) -> Result<Session, Failure> {
        let addresses = self.addresses(tenant, server).await?;
        let stream = dial(&addresses).await?;
        let begun = timeout(
            GREETING,
            Session::begin(stream, server, &self.hello, &self.clients),
        )
        .await;
        begun.map_err(|_| {
            Failure::connection(format!(
                "the mail server did not greet within {} s",
                GREETING.as_secs()
            ))
        })?
    }

    /// The addresses of a server. Those of a tenant's server are checked; the host's own server is
    /// where the operator says.
    async fn addresses(&self, tenant: TenantId, server: &Server) -> Result<Vec<SocketAddr>, Failure> {
        let host = &server.host;
        if server.owner.is_some() {
            let reachable = self.clients.reachable(tenant, host, server.port).await;
            return reachable.map_err(Failure::lasting);
        }
        let found = self.clients.resolve(host, server.port).await;
        match found
            .map_err(|error| Failure::lasting(format!("the name `{host}` could not be resolved: {error}")))?
        {
            found if found.is_empty() => Err(Failure::lasting(format!("the name `{host}` has no address"))),
            found => Ok(found),
        }
    }
}

/// Connects to the first address that answers.
async fn dial(addresses: &[SocketAddr]) -> Result<TcpStream, Failure> {
    let mut reason = std::io::ErrorKind::TimedOut;
    for address in addresses.iter().take(ADDRESSES) {
        match timeout(CONNECT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "TCP_NODELAY cannot be set on a connection to a mail server");
                }
                return Ok(stream);
            }
            Ok(Err(error)) => reason = error.kind(),
            Err(_) => reason = std::io::ErrorKind::TimedOut,
        }
    }
    Err(Failure::connection(format!(
        "no connection to the mail server: {reason}"
    )))
}
