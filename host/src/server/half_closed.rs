//! Detects the reset of a half-closed connection, whose caller has sent everything and waits for
//! its response (RFC 9112, 9.6).
//!
//! The end of the caller's data looks the same whether the caller waits or has gone. Only a reset
//! tells the two apart, and a stream that was read to its end reports no reset to its reader.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;

/// Waits for a reset of the connection.
pub struct HalfClosed(Pin<Box<dyn Future<Output = ()> + Send>>);

impl HalfClosed {
    /// Watches the connection of `stream`. It uses a file descriptor until it is dropped.
    pub fn new(stream: &TcpStream) -> io::Result<Self> {
        // Watched through a second descriptor, because the stream's own readiness no longer changes
        // after its end.
        let watched = TcpStream::from_std(SockRef::from(stream).try_clone()?.into())?;
        Ok(Self(Box::pin(async move {
            // It fails only if the runtime ends, which ends the connection as well.
            let _ = watched.ready(Interest::ERROR).await;
        })))
    }

    /// The error of a connection that was reset.
    pub fn poll_reset(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        self.0
            .as_mut()
            .poll(context)
            .map(|()| io::ErrorKind::ConnectionReset.into())
    }
}
