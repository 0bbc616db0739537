//! A kept-alive connection, which is opened again if the server closed it.

use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::call::Call;
use crate::report::Fault;

/// A connection to the server of a call.
pub struct Connection {
    call: Arc<Call>,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Connection {
    /// Creates a connection that is not open yet.
    pub fn new(call: Arc<Call>) -> Self {
        Self { call, sender: None }
    }

    /// Opens the connection, unless it is open. A failure occurs again when a request is sent, and
    /// is counted then.
    pub async fn open(&mut self, deadline: Instant) {
        if self.sender.is_none() {
            self.sender = timeout_at(deadline, connect(&self.call))
                .await
                .ok()
                .and_then(Result::ok);
        }
    }

    /// Sends the call once. Returns the status of a response that is complete before `deadline`.
    pub async fn send(&mut self, deadline: Instant) -> Result<u16, Fault> {
        let sent = timeout_at(deadline, self.exchange()).await;
        let outcome = sent.unwrap_or(Err(Fault::Timeout));
        if outcome.is_err() {
            self.sender = None;
        }
        outcome
    }

    async fn exchange(&mut self) -> Result<u16, Fault> {
        let mut request = self.call.request();
        // A server may close an idle connection at any time, even while the next request is being
        // sent. If hyper returns the request, the server has not seen it, so this is not a failure.
        if let Some(sender) = self.sender.as_mut().filter(|sender| sender.is_ready()) {
            match attempt(sender, request).await {
                Err(Attempt::Unsent(unsent)) => request = *unsent,
                Err(Attempt::Failed(fault)) => return Err(fault),
                Ok(status) => return Ok(status),
            }
        }
        let sender = self.sender.insert(connect(&self.call).await?);
        match attempt(sender, request).await {
            Ok(status) => Ok(status),
            Err(Attempt::Failed(fault)) => Err(fault),
            Err(Attempt::Unsent(_)) => Err(Fault::Closed),
        }
    }
}

enum Attempt {
    Unsent(Box<Request<Full<Bytes>>>),
    Failed(Fault),
}

async fn attempt(
    sender: &mut SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> Result<u16, Attempt> {
    let response = match sender.try_send_request(request).await {
        Ok(response) => response,
        Err(mut error) => {
            return Err(match error.take_message() {
                Some(request) => Attempt::Unsent(Box::new(request)),
                None => Attempt::Failed(Fault::Closed),
            });
        }
    };
    let status = response.status().as_u16();
    let mut body = response.into_body();
    while let Some(frame) = body.frame().await {
        frame.map_err(|_| Attempt::Failed(Fault::Closed))?;
    }
    // If the connection stays open, it is ready once the body was read.
    let _ = sender.ready().await;
    Ok(status)
}

async fn connect(call: &Call) -> Result<SendRequest<Full<Bytes>>, Fault> {
    let stream = TcpStream::connect(call.address)
        .await
        .map_err(|_| Fault::Connect)?;
    stream.set_nodelay(true).map_err(|_| Fault::Connect)?;
    let (sender, connection) = handshake(TokioIo::new(stream))
        .await
        .map_err(|_| Fault::Connect)?;
    // It ends with its sender, or when the server closes it.
    tokio::spawn(connection);
    Ok(sender)
}
