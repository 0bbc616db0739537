//! A connection on which the caller sends nothing more and waits for its response (RFC 9112, 9.6).
//!
//! The end of what a caller sends looks the same whether it waits or has gone. Only a reset tells
//! them apart, and a stream that has ended no longer reports one to who reads it.

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
    /// Watches the connection of `stream`. Takes a file descriptor until it is dropped.
    pub fn new(stream: &TcpStream) -> io::Result<Self> {
        // Watched apart from the stream, whose readiness stays as it is after its end.
        let watched = TcpStream::from_std(SockRef::from(stream).try_clone()?.into())?;
        Ok(Self(Box::pin(async move {
            // It fails only where the runtime ends, and the connection with it.
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
