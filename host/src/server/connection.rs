//! One connection: HTTP/1.1 or HTTP/2, and how long it may take over what.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::Watcher;
use tower::ServiceExt as _;

/// Bytes of the head of a request, and fields in it.
const MAX_HEAD_BYTES: usize = 64 * 1024;
const MAX_HEADERS: usize = 100;

/// Requests at once on one HTTP/2 connection, and resets that may be pending on it (rapid reset).
const MAX_STREAMS: u32 = 64;
const MAX_PENDING_RESETS: usize = 20;

/// An HTTP/2 connection is asked for a sign of life this often, and given this long to answer.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// What a connection may take.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// Open connections of the listener.
    pub connections: u32,
    /// Until the head of a request has come, and until an idle connection is closed.
    pub header_timeout: Duration,
}

/// Serves a connection until it ends.
pub async fn serve(stream: std::net::TcpStream, router: Router, limits: ConnectionLimits, watcher: Watcher) {
    let stream = match tokio::net::TcpStream::from_std(stream) {
        Ok(stream) => stream,
        Err(error) => {
            tracing::warn!(%error, "a connection could not be served");
            return;
        }
    };
    let has_asked = Arc::new(AtomicBool::new(false));
    let asked = has_asked.clone();
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        asked.store(true, Ordering::Relaxed);
        respond(router.clone(), request)
    });
    let builder = builder(limits);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(watcher.watch(connection));

    // The header timeout of HTTP/1 begins once the protocol is known. A caller that sends nothing, or the beginning
    // of an HTTP/2 preface, is shown out here.
    let ended = tokio::time::timeout(limits.header_timeout, &mut connection).await;
    let result = match ended {
        Ok(result) => result,
        Err(_) if has_asked.load(Ordering::Relaxed) => connection.await,
        Err(_) => return,
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection ended early");
    }
}

async fn respond(
    router: Router,
    request: Request<Incoming>,
) -> Result<Response<Body>, std::convert::Infallible> {
    router.oneshot(request).await
}

fn builder(limits: ConnectionLimits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_header_list_size(u32::try_from(MAX_HEAD_BYTES).unwrap_or(u32::MAX))
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    builder
}
