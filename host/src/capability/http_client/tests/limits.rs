//! Tests of servers and guests that try to use up time, memory or connections.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::super::{MOST_LOOKUPS, MOST_LOOKUPS_PER_TENANT, Resolver};
use super::server::{Server, read_request, response};
use super::*;
use crate::domain::units::{ByteSize, Span};

/// Each call has to end within this time, long before the default limit.
const SOON: Duration = Duration::from_secs(4);

async fn is_a_timeout(server: &Server, limits: Limits, timeout_ms: Option<u32>) {
    let guest = Guest::new(&clients(), limits, &[&server.origin]);
    let request = OutgoingRequest {
        timeout_ms,
        ..request("GET", &server.origin)
    };
    times_out(guest, request).await;
}

async fn times_out(mut guest: Guest, request: OutgoingRequest) {
    let began = Instant::now();
    let outcome = guest.send(request).await;
    assert!(matches!(outcome, Err(Error::Timeout)), "{outcome:?}");
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
}

fn impatient_clients() -> Arc<HttpClients> {
    let config = HttpClientConfig {
        allow_loopback: true,
        idle: Duration::from_millis(50),
        ..HttpClientConfig::default()
    };
    let clock = Arc::new(ManualClock::new(Timestamp(0)));
    Arc::new(HttpClients::new(config, clock, Handle::current()).unwrap())
}

async fn begin(stream: &mut TcpStream, head: &str) {
    read_request(stream).await;
    stream.write_all(head.as_bytes()).await.unwrap();
}

/// Sends the body one byte at a time until the client closes.
async fn drip(mut stream: TcpStream) {
    begin(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n").await;
    while stream.write_all(b"x").await.is_ok() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_head_that_never_comes_times_out() {
    let server =
        Server::talking(|mut stream| async move { while read_request(&mut stream).await.is_some() {} }).await;
    let limits = Limits {
        http_first_byte: Span::ms(50),
        ..Limits::default()
    };
    is_a_timeout(&server, limits, None).await;
}

#[tokio::test]
async fn a_body_that_stops_times_out() {
    let server = Server::talking(|mut stream| async move {
        begin(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc").await;
        read_request(&mut stream).await;
    })
    .await;
    let guest = Guest::new(&impatient_clients(), Limits::default(), &[&server.origin]);
    times_out(guest, request("GET", &server.origin)).await;
}

#[tokio::test]
async fn a_body_that_drips_ends_with_the_request_the_guest_or_the_invocation() {
    let server = Server::talking(drip).await;
    let limits = Limits {
        http_total: Span::ms(80),
        ..Limits::default()
    };
    is_a_timeout(&server, limits, None).await;
    is_a_timeout(&server, Limits::default(), Some(80)).await;
    let limits = Limits {
        wall: Span::ms(80),
        ..Limits::default()
    };
    is_a_timeout(&server, limits, Some(u32::MAX)).await;
    is_a_timeout(&server, Limits::default(), Some(0)).await;
}

#[tokio::test]
async fn a_tls_handshake_that_never_ends_times_out() {
    let server =
        Server::talking(|mut stream| async move { while read_request(&mut stream).await.is_some() {} }).await;
    let origin = format!("https://127.0.0.1:{}", server.port);
    let limits = Limits {
        http_connect: Span::ms(50),
        ..Limits::default()
    };
    times_out(
        Guest::new(&clients(), limits, &[&origin]),
        request("GET", &origin),
    )
    .await;
}

/// A resolver that never answers and counts its calls.
#[derive(Default)]
struct Stuck(AtomicUsize);

#[async_trait::async_trait]
impl Resolver for Stuck {
    async fn resolve(&self, _: &str) -> std::io::Result<Vec<std::net::IpAddr>> {
        self.0.fetch_add(1, Ordering::SeqCst);
        std::future::pending().await
    }
}

#[tokio::test]
async fn names_that_never_resolve_time_out_and_delay_no_other_tenant() {
    let resolver = Arc::new(Stuck::default());
    let clock = Arc::new(ManualClock::new(Timestamp(0)));
    let config = HttpClientConfig::default();
    let clients = HttpClients::with_resolver(config, clock, Handle::current(), resolver.clone());
    let clients = Arc::new(clients.unwrap());
    let limits = Limits {
        http_connect: Span::ms(20),
        http_concurrency: 16,
        ..Limits::default()
    };
    let origin = "https://slow.example";
    let asked = || resolver.0.load(Ordering::SeqCst);
    // These tenants use all look-ups of the host, each up to its own limit.
    for tenant in 1..=MOST_LOOKUPS / MOST_LOOKUPS_PER_TENANT {
        let mut guest = Guest::new(&clients, limits.clone(), &[origin]);
        let mut started = Vec::new();
        for _ in 0..MOST_LOOKUPS_PER_TENANT + 2 {
            started.push(guest.start(request("GET", origin)).await.unwrap());
        }
        for pending in &started {
            assert!(matches!(guest.wait(pending).await, Err(Error::Timeout)));
        }
        assert_eq!(
            asked(),
            tenant * MOST_LOOKUPS_PER_TENANT,
            "look-ups that were given up count until they end"
        );
    }
    // One more tenant is not delayed by them.
    times_out(Guest::new(&clients, limits, &[origin]), request("GET", origin)).await;
    assert_eq!(asked(), MOST_LOOKUPS + 1);
}

#[tokio::test]
async fn a_body_without_end_is_read_only_as_far_as_the_plan_allows() {
    let server = Server::talking(|mut stream| async move {
        begin(&mut stream, "HTTP/1.1 200 OK\r\n\r\n").await;
        while stream.write_all(&[b'x'; 16 * 1024]).await.is_ok() {}
    })
    .await;
    let limits = Limits {
        http_response_body: ByteSize::kib(100),
        ..Limits::default()
    };
    let mut guest = Guest::new(&clients(), limits, &[&server.origin]);
    assert!(matches!(guest.get(&server.origin).await, Err(Error::TooLarge)));
}

#[tokio::test]
async fn the_body_limit_is_exact() {
    let server = Server::answering(|number| response(200, "", &"x".repeat(10 + number))).await;
    let limits = Limits {
        http_response_body: ByteSize(10),
        ..Limits::default()
    };
    let mut guest = Guest::new(&clients(), limits, &[&server.origin]);
    assert_eq!(guest.get(&server.origin).await.unwrap().status, 200);
    assert!(matches!(guest.get(&server.origin).await, Err(Error::TooLarge)));
}

#[tokio::test]
async fn an_announced_length_is_refused_before_it_is_read() {
    let server = Server::talking(|mut stream| async move {
        begin(
            &mut stream,
            "HTTP/1.1 200 OK\r\ncontent-length: 9999999999999\r\n\r\n",
        )
        .await;
        read_request(&mut stream).await;
    })
    .await;
    let mut guest = Guest::alone(&[&server.origin]);
    assert!(matches!(guest.get(&server.origin).await, Err(Error::TooLarge)));
}

#[tokio::test]
async fn requests_under_way_and_responses_not_fetched_are_bounded() {
    let server = Server::answering(|_| response(200, "", "ok")).await;
    let limits = Limits {
        http_concurrency: 2,
        ..Limits::default()
    };
    let mut guest = Guest::new(&clients(), limits, &[&server.origin]);
    let first = guest.start(request("GET", &server.origin)).await.unwrap();
    let second = guest.start(request("GET", &server.origin)).await.unwrap();
    for _ in 0..2 {
        let error = guest.get(&server.origin).await.unwrap_err();
        assert!(
            matches!(error, Error::Limit(reason) if reason.starts_with("this invocation has 2 requests under way"))
        );
    }
    guest.wait(&first).await.unwrap();
    guest.get(&server.origin).await.unwrap();
    guest.give_up(second).await;
    let third = guest.start(request("GET", &server.origin)).await.unwrap();
    guest.get(&server.origin).await.unwrap();
    guest.give_up(third).await;
}

#[tokio::test]
async fn host_calls_and_handles_are_bounded() {
    let server = Server::answering(|_| response(200, "", "ok")).await;
    let limits = Limits {
        host_calls: 1,
        ..Limits::default()
    };
    let mut guest = Guest::new(&clients(), limits, &[&server.origin]);
    let pending = guest.start(request("GET", &server.origin)).await.unwrap();
    assert!(matches!(guest.wait(&pending).await, Err(Error::Limit(_))));
    assert!(matches!(guest.get(&server.origin).await, Err(Error::Limit(_))));

    let mut guest = Guest::alone(&[&server.origin]);
    guest.table.set_max_capacity(0);
    let error = guest.start(request("GET", &server.origin)).await.unwrap_err();
    assert!(matches!(error, Error::Limit(reason) if reason.contains("resources")));
}
