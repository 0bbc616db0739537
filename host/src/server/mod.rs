//! Listeners: accept connections and serve them by a router, within limits and timeouts that
//! callers cannot change.

mod activity;
mod bearer;
pub mod body;
mod connection;
mod connections;
pub mod descriptors;
mod half_closed;
mod normalize;
mod receiving;
mod sending;
mod unread;

pub use activity::Timeouts;
pub use bearer::bearer;
pub use connection::RemoteAddress;
pub use connections::Connections;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use socket2::SockRef;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use activity::Order;

use crate::metrics::Gauge;

/// The pause after a failed accept, which usually means that no file descriptors are left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The least time between two log messages about refused or failed connections.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(10);

/// The bytes of a response that the kernel buffers beyond the caller's receive window. The number
/// is small, because buffered bytes look as if the caller had received them, and this memory is not
/// counted.
const UNSENT_BYTES: u32 = 128 * 1024;

/// The limits of a listener's connections.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// The most open connections of the listener.
    pub connections: u32,
    /// The most open connections from one address.
    pub per_address: u32,
    /// The timeouts of each connection.
    pub timeouts: Timeouts,
}

/// A listening socket.
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    timeouts: Timeouts,
    connections: Arc<Connections>,
}

/// Why the host cannot listen on an address.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {error}{hint}", hint = hint(error))]
pub struct ListenError {
    address: SocketAddr,
    error: std::io::Error,
}

impl Listener {
    /// Listens on `address`. Callers can connect from now on; they are served once
    /// [`Listener::serve`] runs.
    pub async fn bind(address: SocketAddr, limits: ConnectionLimits) -> Result<Self, ListenError> {
        let failed = |error| ListenError { address, error };
        let socket = TcpListener::bind(address).await.map_err(failed)?;
        prepare(&socket, limits.timeouts.write).map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        Ok(Self {
            socket,
            address,
            timeouts: limits.timeouts,
            connections: Arc::new(Connections::new(limits.connections, limits.per_address)),
        })
    }

    /// The address that it listens on, with the port that the system chose if the configured port
    /// is 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The open connections, for metrics.
    pub fn connections(&self) -> Arc<Connections> {
        self.connections.clone()
    }

    /// Accepts connections on the current runtime and serves them on `threads` until `stop` is
    /// cancelled. Then it closes idle connections, waits up to `drain_timeout` for requests in
    /// progress, and ends the rest. After `draining` is cancelled, each HTTP/1.1 response announces
    /// that it is the last one of its connection. `open` counts the connections.
    pub async fn serve(
        self,
        router: Router,
        threads: Handle,
        draining: CancellationToken,
        stop: CancellationToken,
        drain_timeout: Duration,
        open: Gauge,
    ) {
        let Self {
            socket,
            address,
            timeouts,
            connections,
        } = self;
        let served = TaskTracker::new();
        let mut complaint = Complaint::new(address);
        let mut announces = false;
        loop {
            let accepted = tokio::select! {
                accepted = socket.accept() => accepted,
                () = draining.cancelled(), if !announces => {
                    announces = true;
                    connections.tell(Order::Announce);
                    continue;
                }
                () = stop.cancelled() => break,
            };
            // Detached from the accepting runtime, so that another runtime can serve it.
            match accepted.and_then(|(stream, caller)| Ok((stream.into_std()?, caller))) {
                Ok((stream, caller)) => match connections.enter(caller.ip(), Instant::now()) {
                    Ok(slot) => {
                        if announces {
                            slot.activity().tell(Order::Announce);
                        }
                        let serving = connection::serve(stream, router.clone(), timeouts, slot);
                        let held = open.hold();
                        served.spawn_on(
                            async move {
                                let _held = held;
                                serving.await;
                            },
                            &threads,
                        );
                    }
                    Err(refused) => complaint.about(&refused),
                },
                Err(error) => {
                    complaint.about(&error);
                    // If file descriptors ran out, closing an idle connection frees one.
                    connections.shed_one();
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(socket);
        connections.tell(Order::Finish);
        served.close();
        if tokio::time::timeout(drain_timeout, served.wait()).await.is_err() {
            tracing::warn!(listener = %address, "some requests did not finish in time and were cut off");
        }
        connections.tell(Order::End);
    }
}

/// Logs connections that could not be accepted, but not each of them, because callers choose their
/// number.
struct Complaint {
    listener: SocketAddr,
    last: Option<Instant>,
    unsaid: u64,
}

impl Complaint {
    fn new(listener: SocketAddr) -> Self {
        Self {
            listener,
            last: None,
            unsaid: 0,
        }
    }

    fn about(&mut self, reason: &(dyn std::error::Error + 'static)) {
        let now = Instant::now();
        if self.last.is_some_and(|last| now - last < COMPLAINT_INTERVAL) {
            self.unsaid += 1;
            return;
        }
        tracing::warn!(
            listener = %self.listener,
            error = reason,
            not_logged_before = self.unsaid,
            "a connection could not be accepted"
        );
        (self.last, self.unsaid) = (Some(now), 0);
    }
}

/// Sets options that accepted connections inherit on Linux, which saves system calls per
/// connection.
fn prepare(socket: &TcpListener, write_timeout: Duration) -> std::io::Result<()> {
    let socket = SockRef::from(socket);
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_notsent_lowat(UNSENT_BYTES)?;
    // The kernel does not keep unsent data of a closed connection for longer either.
    socket.set_tcp_user_timeout(Some(write_timeout))
}

fn hint(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            "; stop what uses it, or choose another address in the configuration"
        }
        std::io::ErrorKind::PermissionDenied => "; ports below 1024 need a privilege",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;

    const LIMITS: ConnectionLimits = ConnectionLimits {
        connections: 1,
        per_address: 1,
        timeouts: Timeouts {
            header: Duration::from_secs(1),
            keep_alive: Duration::from_secs(1),
            idle: Duration::from_secs(1),
            write: Duration::from_secs(7),
            age: Duration::from_secs(1),
        },
    };

    #[tokio::test]
    async fn accepted_connections_have_the_options_of_their_listener() {
        let listener = Listener::bind(([127, 0, 0, 1], 0).into(), LIMITS).await.unwrap();
        let _caller = TcpStream::connect(listener.address()).await.unwrap();
        let (stream, _) = listener.socket.accept().await.unwrap();
        let stream = SockRef::from(&stream);
        assert!(stream.tcp_nodelay().unwrap());
        assert_eq!(stream.tcp_notsent_lowat().unwrap(), UNSENT_BYTES);
        assert_eq!(stream.tcp_user_timeout().unwrap(), Some(LIMITS.timeouts.write));
    }
}
