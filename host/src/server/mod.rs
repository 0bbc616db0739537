//! Listeners: connections are accepted here and served by a router, within limits and times that no caller chooses.

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

pub use activity::Patience;
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

/// After an accept that failed: the usual cause is that no file descriptors are left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Refused and failed connections are logged this often at most.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(10);

/// Bytes that the kernel takes of a response before the caller's window has room for them. Few: what waits in the
/// kernel looks as if the caller had taken it, and is memory that nobody counts.
const UNSENT_BYTES: u32 = 128 * 1024;

/// What the connections of a listener may take.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// Open connections of the listener.
    pub connections: u32,
    /// Of these, from one address.
    pub per_address: u32,
    /// How long each may take over what.
    pub patience: Patience,
}

/// A socket that callers connect to.
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    patience: Patience,
    connections: Arc<Connections>,
}

/// Why a host does not listen.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {error}{hint}", hint = hint(error))]
pub struct ListenError {
    address: SocketAddr,
    error: std::io::Error,
}

impl Listener {
    /// Listens on `address`. From now on callers can connect; they are served once [`Listener::serve`] runs.
    pub async fn bind(address: SocketAddr, limits: ConnectionLimits) -> Result<Self, ListenError> {
        let failed = |error| ListenError { address, error };
        let socket = TcpListener::bind(address).await.map_err(failed)?;
        prepare(&socket, limits.patience.write).map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        Ok(Self {
            socket,
            address,
            patience: limits.patience,
            connections: Arc::new(Connections::new(limits.connections, limits.per_address)),
        })
    }

    /// Where it listens, with the port that the system chose where none was given.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its open connections, to be counted.
    pub fn connections(&self) -> Arc<Connections> {
        self.connections.clone()
    }

    /// Accepts connections on the current runtime and serves them on `threads`, until `stop` is
    /// cancelled. Then it closes what is idle, lets requests under way finish for `drain_timeout`,
    /// and ends the rest. From `draining` on, each answer by HTTP/1.1 says that it is the last one
    /// of its connection. `open` counts them.
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
            patience,
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
            // Without the runtime that accepted it, so that another one can serve it.
            match accepted.and_then(|(stream, caller)| Ok((stream.into_std()?, caller))) {
                Ok((stream, caller)) => match connections.enter(caller.ip(), Instant::now()) {
                    Ok(place) => {
                        if announces {
                            place.activity().tell(Order::Announce);
                        }
                        let serving = connection::serve(stream, router.clone(), patience, place);
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
                    // Where descriptors are short, those of idle connections are to be had.
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

/// Complains about connections that could not be taken, and not about each: callers choose how many there are.
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

/// Sets what Linux hands on to each accepted connection, so that accepting takes no further system call.
fn prepare(socket: &TcpListener, write_timeout: Duration) -> std::io::Result<()> {
    let socket = SockRef::from(socket);
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_notsent_lowat(UNSENT_BYTES)?;
    // What a closed connection leaves to be sent does not stay in the kernel for longer either.
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
        patience: Patience {
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
        assert_eq!(stream.tcp_user_timeout().unwrap(), Some(LIMITS.patience.write));
    }
}
