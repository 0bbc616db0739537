//! One connection: HTTP/1.1 or HTTP/2, within limits and times that its caller does not choose.

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

use super::activity::{Order, Patience, Ticket};
use super::connections::Place;
use super::normalize::normalize;
use super::receiving::{Receiving, ReceivingBody};
use super::sending::Sending;
use super::unread::{Line, linger};
use crate::http::head;
use crate::http::problem;
use crate::sandbox::deferred_drop;

/// What is read of a head. `head.rs` refuses one of half as much with a problem; beyond this, the answer has no body.
const MAX_HEAD_BYTES: usize = 64 * 1024;
const MAX_FIELDS: usize = 128;

/// Requests at once on one HTTP/2 connection.
const MAX_STREAMS: u32 = 64;

/// Requests of an HTTP/2 connection that the caller reset before the host saw them (rapid reset), and that the host
/// reset because of errors of the caller. Beyond these the connection ends.
const MAX_PENDING_RESETS: usize = 20;
const MAX_ERROR_RESETS: usize = 64;

/// What an HTTP/2 caller may send ahead of what the host has read: of one request, and of all on a connection. With
/// this a connection cannot fill the memory, and a body of the default size takes few round trips.
pub const STREAM_WINDOW: u32 = 256 * 1024;
pub const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// Bytes of one response that wait inside HTTP/2 for their turn.
const MAX_SEND_BUFFER: usize = 128 * 1024;

/// An HTTP/2 connection is asked for a sign of life this often, and given this long to answer.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// However short its times are, a connection is looked at no more often than this.
const SHORTEST_LOOK: Duration = Duration::from_millis(10);

/// The address that a request came from, among its extensions. Behind a proxy it is the proxy's.
#[derive(Clone, Copy, Debug)]
pub struct RemoteAddress(pub IpAddr);

/// Serves a connection until it ends.
pub async fn serve(stream: std::net::TcpStream, router: Router, patience: Patience, place: Place) {
    // A connection that has no peer any more is served to its end, which is near.
    let remote = stream.peer_addr().ok().map(|peer| RemoteAddress(peer.ip()));
    let stream = match tokio::net::TcpStream::from_std(stream) {
        Ok(stream) => stream,
        Err(error) => {
            tracing::warn!(%error, "a connection could not be served");
            return;
        }
    };
    let activity = place.activity();
    let line = Arc::new(Line::new(activity.clone()));
    let is_over = serve_requests(stream, remote, router, patience, &line).await;
    if !is_over && let Some(stream) = line.take_lingering() {
        activity.lingers();
        // In a box, so that the many connections that need none of this have no room for it.
        Box::pin(linger(stream, activity, patience.header)).await;
    }
}

/// Serves the requests of a connection. True where it was told to end at once.
async fn serve_requests(
    stream: tokio::net::TcpStream,
    remote: Option<RemoteAddress>,
    router: Router,
    patience: Patience,
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
            // Here and not in the future, which is polled only when the connection has looked for
            // what the caller sends next, be it an end.
            let ticket = line.activity.begin(Instant::now(), request.version());
            respond(router.clone(), line.clone(), ticket, request)
        })
    };
    let builder = builder();
    let mut connection = pin!(builder.serve_connection(stream, service));
    let mut look = pin!(tokio::time::sleep(patience.header.min(patience.age)));
    let mut finishing = false;
    let ended = poll_fn(|context| {
        let mut order = activity.order(context.waker());
        while look.as_mut().poll(context).is_ready() {
            let now = Instant::now();
            let (due, next) = activity.check(now, &patience);
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
        line.meter.turn();
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
        // Nobody asks for the body of the response.
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

/// Decides whether the connection goes on after this response, and has the response say so if it
/// does not: a caller that sends its next request on a connection that is being closed loses it.
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
        // `activity.rs` keeps the time for a head, with one timer for the whole connection instead of one for each request.
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
