//! An outbound connection and the future that drives it.
//!
//! A connection is polled only by the request that uses it. Bytes that arrive on an idle connection
//! stay in the kernel until the next request looks at the connection. So a server causes work only
//! within the limits of a request.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::SendRequest;

use super::allowance::{Allowance, Reading};
use super::error::SendError;
use super::work::Work;
use crate::metrics::GaugeGuard;

/// A connection that can take a request. Dropping it closes it.
pub struct Connection {
    /// Sends requests.
    pub sender: SendRequest<Full<Bytes>>,
    /// Drives the connection.
    pub line: Line,
    /// The address of the server.
    pub peer: SocketAddr,
    /// Counts the connection until it is closed.
    pub _held: GaugeGuard,
}

/// The future that reads and writes, with the allowance of the server.
pub struct Line {
    driver: Option<Driver>,
    allowance: Arc<Allowance>,
}

/// The connection future of hyper. It ends when the connection is closed.
pub type Driver = Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

impl Connection {
    /// Whether the connection can take another request. It cannot if the server has closed it or
    /// has sent data without a request.
    pub fn is_usable(&mut self) -> bool {
        self.line.poll(&mut Context::from_waker(Waker::noop()));
        self.line.driver.is_some() && self.sender.is_ready()
    }
}

impl Line {
    /// The line of a connection that `driver` drives.
    pub fn new(driver: Driver, allowance: Arc<Allowance>) -> Self {
        Self {
            driver: Some(driver),
            allowance,
        }
    }

    /// The remaining allowance of the server.
    pub fn allowance(&self) -> &Allowance {
        &self.allowance
    }

    /// Drives the connection until `future`, which depends on it, is ready.
    pub async fn wait_for<F: Future>(&mut self, work: &Work, future: F) -> Result<F::Output, SendError> {
        let allowance = self.allowance.clone();
        let mut future = pin!(future);
        let driven = poll_fn(|context| {
            self.poll(context);
            future.as_mut().poll(context)
        });
        within_bounds(&allowance, work, driven).await
    }

    fn poll(&mut self, context: &mut Context<'_>) {
        if let Some(driver) = &mut self.driver
            && let Poll::Ready(ended) = driver.as_mut().poll(context)
        {
            self.driver = None;
            if let Err(error) = ended {
                tracing::debug!(%error, "an outbound connection ended with an error");
            }
        }
    }
}

/// Polls `future`, which reads from a connection with this allowance. Fails if the server exceeds
/// the allowance or the invocation has used up its CPU time.
pub async fn within_bounds<F: Future>(
    allowance: &Allowance,
    work: &Work,
    future: F,
) -> Result<F::Output, SendError> {
    let mut future = pin!(future);
    poll_fn(|context| {
        loop {
            if work.is_spent() {
                return Poll::Ready(Err(SendError::CpuSpent(work.limit())));
            }
            if let Poll::Ready(output) = future.as_mut().poll(context) {
                return Poll::Ready(Ok(output));
            }
            match allowance.check() {
                Ok(Reading::Waits) => return Poll::Pending,
                Ok(Reading::Goes) => {}
                Err(excess) => return Poll::Ready(Err(excess.into())),
            }
        }
    })
    .await
}
