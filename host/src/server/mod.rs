//! Listeners: connections are accepted here and served by a router, within limits and times that no caller chooses.

mod bearer;
pub mod body;
mod connection;

pub use bearer::bearer;
pub use connection::ConnectionLimits;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::metrics::Gauge;

/// After an accept that failed: the usual cause is that no file descriptors are left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A socket that callers connect to.
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
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
    pub async fn bind(address: SocketAddr) -> Result<Self, ListenError> {
        let failed = |error| ListenError { address, error };
        let socket = TcpListener::bind(address).await.map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        Ok(Self { socket, address })
    }

    /// Where it listens, with the port that the system chose where none was given.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts connections on the current runtime and serves them on `threads`, until `stop` is cancelled. Then it
    /// closes what is idle, lets requests under way finish for `drain_timeout`, and ends the rest. `open` counts them.
    pub async fn serve(
        self,
        router: Router,
        limits: ConnectionLimits,
        threads: Handle,
        stop: CancellationToken,
        drain_timeout: Duration,
        open: Gauge,
    ) {
        let graceful = GracefulShutdown::new();
        let cut_off = CancellationToken::new();
        let places = Arc::new(Semaphore::new(
            usize::try_from(limits.connections).unwrap_or(Semaphore::MAX_PERMITS),
        ));
        while let Some((stream, place)) = self.next(&places, &stop).await {
            let (router, watcher, cut_off) = (router.clone(), graceful.watcher(), cut_off.clone());
            let open = open.hold();
            threads.spawn(async move {
                let _held = (place, open);
                tokio::select! {
                    () = connection::serve(stream, router, limits, watcher) => {}
                    () = cut_off.cancelled() => {}
                }
            });
        }
        drop(self.socket);
        if tokio::time::timeout(drain_timeout, graceful.shutdown())
            .await
            .is_err()
        {
            tracing::warn!(listener = %self.address, "some requests did not finish in time and were cut off");
        }
        cut_off.cancel();
    }

    /// The next connection and its place among those allowed, or `None` once `stop` is cancelled.
    async fn next(
        &self,
        places: &Arc<Semaphore>,
        stop: &CancellationToken,
    ) -> Option<(std::net::TcpStream, tokio::sync::OwnedSemaphorePermit)> {
        loop {
            let accept = async {
                let place = places.clone().acquire_owned().await.ok()?;
                Some((
                    self.socket.accept().await.and_then(|(stream, _)| detach(stream)),
                    place,
                ))
            };
            let accepted = tokio::select! {
                accepted = accept => accepted?,
                () = stop.cancelled() => return None,
            };
            match accepted {
                (Ok(stream), place) => return Some((stream, place)),
                (Err(error), _) => {
                    tracing::warn!(listener = %self.address, %error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// The stream without the runtime that accepted it, so that another one can serve it.
fn detach(stream: TcpStream) -> std::io::Result<std::net::TcpStream> {
    stream.set_nodelay(true)?;
    stream.into_std()
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
