//! Serves one connection by HTTP/1.1 or HTTP/2, within limits and timeouts that the caller cannot
//! change.

use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header::{CONNECTION, EXPECT};
use axum::http::{HeaderValue, StatusCode, Version};
use hyper::body::Incoming;
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::time::Instant;
use tower::ServiceExt as _;

use super::activity::{Order, Ticket, Timeouts};
use super::connections::ConnectionSlot;
use super::normalize::normalize;
use super::receiving::{Receiving, ReceivingBody};
use super::sending::Sending;
use super::unread::{Line, linger};
use crate::http::head;
use crate::http::problem;
use crate::sandbox::deferred_drop;

/// The most bytes and fields of a head. `head.rs` rejects a head of half this size with a problem;
/// beyond this limit the response has no body.
const MAX_HEAD_BYTES: usize = 64 * 1024;
const MAX_FIELDS: usize = 128;

/// The most concurrent requests of one HTTP/2 connection.
const MAX_STREAMS: u32 = 64;

/// The most requests that the caller reset before the host accepted them (rapid reset), and the
/// most that the host reset because of the caller's errors. Beyond these the connection ends.
const MAX_PENDING_RESETS: usize = 20;
const MAX_ERROR_RESETS: usize = 64;

/// The flow-control windows of HTTP/2, of one request and of a whole connection. They bound the
/// memory of a connection, and a body of the default size takes few round trips.
pub const STREAM_WINDOW: u32 = 256 * 1024;
pub const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// The most bytes of one response that HTTP/2 buffers.
const MAX_SEND_BUFFER: usize = 128 * 1024;

/// The interval between two pings of an HTTP/2 connection, and the time to answer one.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// The least time between two checks of a connection, even if its timeouts are shorter.
const SHORTEST_LOOK: Duration = Duration::from_millis(10);

/// The address of the caller, in the extensions of a request. Behind a proxy it is the proxy's
/// address.
#[derive(Clone, Copy, Debug)]
pub struct RemoteAddress(pub IpAddr);

/// Serves a connection until it ends.
pub async fn serve(stream: std::net::TcpStream, router: Router, timeouts: Timeouts, slot: ConnectionSlot) {
    // If the peer is already gone, the connection is still served; it ends soon.
    let remote = stream.peer_addr().ok().map(|peer| RemoteAddress(peer.ip()));
    let stream = match tokio::net::TcpStream::from_std(stream) {
        Ok(stream) => stream,
        Err(error) => {
            tracing::warn!(%error, "a connection could not be served");
            return;
        }
    };
    let activity = slot.activity();
    let line = Arc::new(Line::new(activity.clone()));
    let is_over = serve_requests(stream, remote, router, timeouts, &line).await;
    if !is_over && let Some(stream) = line.take_lingering() {
        activity.lingers();
        // Boxed, because few connections need this future, and all would reserve memory for it.
        Box::pin(linger(stream, activity, timeouts.header)).await;
    }
}

/// Serves the requests of a connection. Returns true if it was told to end at once.
async fn serve_requests(
    stream: tokio::net::TcpStream,
    remote: Option<RemoteAddress>,
    router: Router,
    timeouts: Timeouts,
    line: &Arc<Line>,
) -> bool {
    let activity = &line.activity;
    let stream = TokioIo::new(Receiving::new(stream, line.clone()));
    let service = {
        let line = line.clone();
        hyper::service::service_fn(move |mut request: Request<Incoming>| {
            if let Some(remote) = remote {
                request.extensions_mut().insert(remote);
            }
            line.meter.useful(head::size(request.uri(), request.headers()));
            // Begun here, not in the future: the future is first polled after the connection has
            // read what the caller sends next, which may be its end.
            let ticket = line.activity.begin(Instant::now(), request.version());
            respond(router.clone(), line.clone(), ticket, request)
        })
    };
    let builder = builder();
    let mut connection = pin!(builder.serve_connection(stream, service));
    let mut look = pin!(tokio::time::sleep(timeouts.header.min(timeouts.age)));
    let mut finishing = false;
    let ended = poll_fn(|context| {
        let mut order = activity.order(context.waker());
        while look.as_mut().poll(context).is_ready() {
            let now = Instant::now();
            let (due, next) = activity.check(now, &timeouts);
            order = order.max(due);
            if order == Order::End {
                break;
            }
            look.as_mut().reset(next.max(now + SHORTEST_LOOK));
        }
        if order == Order::End {
            return Poll::Ready(None);
        }
        if order == Order::Finish && !finishing {
            finishing = true;
            connection.as_mut().graceful_shutdown();
        }
        line.meter.begin_slice();
        let poll = deferred_drop::polling(|| connection.as_mut().poll(context));
        if poll.is_pending() {
            line.poll_discard(context);
            activity.note_part(Instant::now);
        }
        poll.map(Some)
    });
    match ended.await {
        None => true,
        Some(Ok(())) => false,
        Some(Err(error)) => {
            tracing::debug!(%error, "a connection ended early");
            false
        }
    }
}

async fn respond(
    router: Router,
    line: Arc<Line>,
    ticket: Ticket,
    request: Request<Incoming>,
) -> Result<Response<Sending>, std::convert::Infallible> {
    let is_http1 = request.version() < Version::HTTP_2;
    if request.method() == Method::HEAD {
        // The caller expects no body.
        ticket.done();
    }
    let is_held_back = request.headers().contains_key(EXPECT);
    let receiving = |body| ReceivingBody::new(body, line.clone(), is_http1, is_held_back);
    let mut request = request.map(|body| Body::new(receiving(body)));
    let mut response = match normalize(&mut request) {
        Ok(()) => router.oneshot(request).await?,
        Err(problem) => {
            drop(request);
            problem::refused(problem)
        }
    };
    if is_http1 {
        go_on_or_close(&line, &mut response);
    }
    Ok(response.map(|body| Sending::new(body, ticket)))
}

/// Decides whether the connection continues after this response. If not, the response announces it,
/// because a caller loses a request that it sends on a closing connection.
fn go_on_or_close<B>(line: &Line, response: &mut Response<B>) {
    let closes = line.activity.is_last_answer()
        || response.status() == StatusCode::REQUEST_TIMEOUT
        || response.headers().contains_key(CONNECTION);
    let closes = match line.take_unread() {
        None => closes,
        Some(rest) if !closes && rest.is_small() => {
            line.drain(rest);
            false
        }
        Some(_) => {
            line.linger();
            true
        }
    };
    if closes {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // `activity.rs` enforces the time for a head, with one timer per connection instead of one
        // per request.
        .header_read_timeout(None)
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_FIELDS);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_local_error_reset_streams(MAX_ERROR_RESETS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(MAX_SEND_BUFFER)
        .max_header_list_size(u32::try_from(MAX_HEAD_BYTES).unwrap_or(u32::MAX))
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    builder
}
