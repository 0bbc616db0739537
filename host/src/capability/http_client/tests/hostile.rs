//! Tests of servers that send unrequested data, in any amount and in any pieces.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::super::super::bindings::types::Content;
use super::super::allowance::{HEAD_BYTES, OVERHEAD_BYTES, PIECES};
use super::super::breaker::FAILURES;
use super::server::{Server, read_request, response};
use super::*;
use crate::domain::units::{ByteSize, Span};

const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

/// Sends `first`, and then `again` until the client closes.
async fn endless(first: &'static str, again: &'static str) -> Server {
    // Each write is large, so that the server is not the bottleneck.
    let again = again.repeat(64 * 1024_usize.div_ceil(again.len()));
    Server::talking(move |mut stream| {
        let again = again.clone();
        async move {
            read_request(&mut stream).await;
            if stream.write_all(first.as_bytes()).await.is_ok() {
                while stream.write_all(again.as_bytes()).await.is_ok() {}
            }
        }
    })
    .await
}

/// Limits with so much CPU time that another limit ends the call.
fn patient() -> Limits {
    Limits {
        cpu: Span::s(1),
        ..Limits::default()
    }
}

async fn limit(server: &Server, limits: Limits) -> String {
    let mut guest = Guest::new(&clients(), limits, &[&server.origin]);
    match guest.get(&server.origin).await {
        Err(Error::Limit(reason)) => reason,
        other => panic!("{:?}", other.map(|response| response.status)),
    }
}

#[tokio::test]
async fn informational_responses_without_end_end_the_call() {
    for head in [
        CONTINUE,
        "HTTP/1.1 102 Processing\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\n",
        "HTTP/1.1 199 X\r\n\r\n",
    ] {
        let reason = limit(&endless(head, head).await, patient()).await;
        assert!(reason.contains("informational responses"), "{head}: {reason}");
    }
}

#[tokio::test]
async fn heads_are_read_up_to_exactly_their_bytes() {
    for (bytes, is_read) in [
        (HEAD_BYTES - 1, true),
        (HEAD_BYTES, true),
        (HEAD_BYTES + 1, false),
    ] {
        let last = response(200, "", "ok");
        let head = last.len() - "ok".len();
        let hint = "HTTP/1.1 103 Early Hints\r\nx: ";
        let padding = usize::try_from(bytes).unwrap() - head - hint.len() - 4;
        let continues = CONTINUE.repeat(padding / CONTINUE.len() - 40);
        let padding = "y".repeat(padding - continues.len());
        let answer = format!("{continues}{hint}{padding}\r\n\r\n{last}");
        let server = Server::answering(move |_| answer.clone()).await;
        let mut guest = Guest::new(&clients(), patient(), &[&server.origin]);
        let outcome = guest.get(&server.origin).await;
        assert_eq!(outcome.is_ok(), is_read, "{bytes}: {outcome:?}");
    }
}

#[tokio::test]
async fn framing_without_end_ends_the_call() {
    for (first, again, wanted) in [
        (CHUNKED, "1\r\nx\r\n", "too many reads or chunks"),
        (
            CHUNKED,
            "000000000000000000000000000000000000000000000001\r\nx\r\n",
            "too many reads or chunks",
        ),
        (CHUNKED, "0", "beyond the size of its body"),
    ] {
        let server = endless(first, again).await;
        let reason = limit(&server, patient()).await;
        assert!(reason.contains(wanted), "{again:?}: {reason}");
    }
    // The HTTP library bounds these.
    for first in [
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx: ",
        "HTTP/1.1 200 ",
        "HTTP/1.1 200 OK\r\nx: ",
    ] {
        let server = endless(first, "y").await;
        let outcome = Guest::new(&clients(), patient(), &[&server.origin])
            .get(&server.origin)
            .await;
        assert!(
            matches!(outcome, Err(Error::Protocol(_) | Error::Limit(_))),
            "{first}: {outcome:?}"
        );
    }
}

#[tokio::test]
async fn a_body_in_small_pieces_passes_where_it_is_a_body() {
    // Below the fixed number, pieces may have any size.
    let few = "1\r\nx\r\n".repeat(usize::try_from(PIECES).unwrap() - 1) + "0\r\n\r\n";
    // The number of larger pieces is not limited.
    let large = "200\r\n".to_owned() + &"x".repeat(512) + "\r\n";
    let many = large.repeat(2 * usize::try_from(PIECES).unwrap()) + "0\r\n\r\n";
    for (body, bytes) in [(few, PIECES - 1), (many, 2 * PIECES * 512)] {
        let answer = CHUNKED.to_owned() + &body;
        let server = Server::answering(move |_| answer.clone()).await;
        let mut guest = Guest::new(&clients(), patient(), &[&server.origin]);
        let response = guest.get(&server.origin).await;
        assert!(response.is_ok(), "{bytes}: {response:?}");
        assert_eq!(guest.invocation.usage.http_bytes, bytes);
    }
}

#[tokio::test]
async fn reading_a_response_is_charged_and_ends_with_the_cpu_time() {
    let large = "HTTP/1.1 200 OK\r\n\r\n";
    let budget = Duration::from_millis(4);
    let limits = Limits {
        cpu: Span(budget),
        http_response_body: ByteSize::mib(1_024),
        ..Limits::default()
    };
    let server = endless(large, "0123456789abcdef").await;
    let mut guest = Guest::new(&clients(), limits.clone(), &[&server.origin]);
    let error = guest.get(&server.origin).await.unwrap_err();
    assert!(
        matches!(&error, Error::Limit(reason) if reason.contains("CPU time")),
        "{error:?}"
    );
    let charged = guest.invocation.cpu_time.total();
    assert!(charged >= budget && charged < budget + SLACK, "{charged:?}");
    // The CPU time is used up: nothing more is read for this invocation.
    let before = server.connections();
    assert!(matches!(guest.get(&server.origin).await, Err(Error::Limit(_))));
    assert_eq!(guest.invocation.cpu_time.total(), charged);
    assert_eq!(server.connections(), before);
    // Concurrent requests share the CPU time.
    let mut guest = Guest::new(&clients(), limits, &[&server.origin]);
    let mut started = Vec::new();
    for _ in 0..6 {
        started.push(guest.start(request("GET", &server.origin)).await.unwrap());
    }
    for pending in &started {
        assert!(matches!(guest.wait(pending).await, Err(Error::Limit(_))));
    }
    let charged = guest.invocation.cpu_time.total();
    assert!(charged >= budget && charged < budget + 6 * SLACK, "{charged:?}");
}

#[tokio::test]
async fn an_origin_that_sends_too_much_is_left_alone_by_that_tenant_only() {
    let server = endless(CONTINUE, CONTINUE).await;
    let clients = clients();
    let mut guest = Guest::new(&clients, patient(), &[&server.origin]);
    for _ in 0..FAILURES {
        assert!(matches!(guest.get(&server.origin).await, Err(Error::Limit(_))));
    }
    assert!(matches!(guest.get(&server.origin).await, Err(Error::CircuitOpen)));
    let mut other = Guest::new(&clients, patient(), &[&server.origin]);
    assert!(matches!(other.get(&server.origin).await, Err(Error::Limit(_))));
}

#[tokio::test]
async fn what_comes_on_an_idle_connection_makes_no_work() {
    let (sent, mut was_sent) = tokio::sync::mpsc::channel(1);
    let server = Server::talking(move |mut stream| {
        let sent = sent.clone();
        async move {
            read_request(&mut stream).await;
            let answer = response(200, "", "ok");
            stream.write_all(answer.as_bytes()).await.unwrap();
            // Nothing is sent before the client has read the first response.
            sent.send(stream).await.unwrap();
        }
    })
    .await;
    let mut guest = Guest::alone(&[&server.origin]);
    for connections in 1..=3 {
        let response = guest.get(&server.origin).await.unwrap();
        assert!(matches!(&response.body, Content::Bytes(bytes) if bytes == b"ok"));
        assert_eq!(server.connections(), connections);
        let mut stream = was_sent.recv().await.unwrap();
        let charged = guest.invocation.cpu_time.total();
        let unasked = response_of_another().repeat(1_000);
        stream.write_all(unasked.as_bytes()).await.unwrap();
        tokio::task::yield_now().await;
        assert_eq!(guest.invocation.cpu_time.total(), charged);
    }
}

fn response_of_another() -> String {
    response(200, "", "stolen")
}

/// The most CPU time of one task beyond its limit: one poll of a connection on a busy machine.
const SLACK: Duration = Duration::from_millis(30);

/// A SplitMix64 random number generator, so that a seed reproduces a test.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end).unwrap()).unwrap()
    }

    fn of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }
}

/// What a server may send instead of a response.
const PARTS: [&str; 24] = [
    CONTINUE,
    "HTTP/1.1 102 Processing\r\nx: y\r\n\r\n",
    "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\nlink: </b>\r\n\r\n",
    "HTTP/1.1 200 OK\r\n\r\n",
    "HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n",
    "HTTP/1.1 204 No Content\r\n\r\n",
    "HTTP/1.0 200 OK\r\n\r\n",
    "HTTP/1.1 101 Switching Protocols\r\n\r\n",
    CHUNKED,
    CHUNKED,
    CHUNKED,
    "HTTP/1.1 200 ",
    "x: y\r\n",
    "\r\n",
    "\n",
    "0",
    "1\r\nx\r\n",
    "0001\r\nx\r\n",
    "5;a=b\r\nhello\r\n",
    "40\r\n0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\r\n",
    "0\r\n\r\n",
    "0\r\nx: y\r\n",
    ";a",
    "\0\u{1}binary",
];

/// A stream of parts, the last of them endless, and the sizes of the writes.
struct Script {
    text: String,
    again: String,
    piece: usize,
}

impl Script {
    fn new(random: &mut Random) -> Self {
        let mut text = String::new();
        for _ in 0..random.below(5) {
            let times = [1, 1, 1, 10, 500][random.below(5)];
            text.push_str(&random.of(&PARTS).repeat(times));
        }
        let again = match random.below(4) {
            // The stream ends.
            0 => String::new(),
            // A mixture.
            1 => (0..8).map(|_| random.of(&PARTS)).collect(),
            _ => random.of(&PARTS).to_owned(),
        };
        let piece = [1, 7, 100, 1_460, 64 * 1_024][random.below(5)];
        Self { text, again, piece }
    }

    async fn play(&self, mut stream: TcpStream) {
        stream.set_nodelay(true).unwrap();
        read_request(&mut stream).await;
        let again = match self.again.is_empty() {
            true => String::new(),
            false => self.again.repeat(self.piece.div_ceil(self.again.len()).max(16)),
        };
        let mut text = self.text.as_str();
        while !text.is_empty() {
            for piece in text.as_bytes().chunks(self.piece) {
                if stream.write_all(piece).await.is_err() {
                    return;
                }
            }
            text = &again;
        }
    }
}

/// Whatever a server sends, the call ends within its time and CPU time, with a response or a typed
/// error. Afterwards the host has only idle connections.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_stream_ends_within_its_limits() {
    let cpu = Duration::from_millis(50);
    let limits = Limits {
        cpu: Span(cpu),
        http_total: Span::ms(500),
        ..Limits::default()
    };
    let clients = clients();
    for seed in 0..150 {
        let script = Arc::new(Script::new(&mut Random(seed)));
        let server = {
            let script = script.clone();
            Server::talking(move |stream| {
                let script = script.clone();
                async move { script.play(stream).await }
            })
            .await
        };
        let mut guest = Guest::new(&clients, limits.clone(), &[&server.origin]);
        let began = Instant::now();
        let outcome = guest.get(&server.origin).await.map(|response| response.status);
        let what = || {
            let text: String = script.text.chars().take(200).collect();
            format!(
                "seed {seed}, {} bytes each: {text:?} then {:?}: {outcome:?}",
                script.piece, script.again
            )
        };
        assert!(
            matches!(
                outcome,
                Ok(_) | Err(Error::Limit(_) | Error::Protocol(_) | Error::TooLarge | Error::Timeout)
            ),
            "{}",
            what()
        );
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "{:?} {}",
            began.elapsed(),
            what()
        );
        let charged = guest.invocation.cpu_time.total();
        assert!(charged < cpu + SLACK, "{charged:?} {}", what());
        assert!(!charged.is_zero(), "{}", what());
        clients.forget_tenant(guest.invocation.active.tenant);
        drop(guest);
        let held = clients.held();
        assert_eq!((held.connections, held.requests), (0, 0), "{}", what());
    }
}

#[test]
fn the_overhead_covers_a_head() {
    const { assert!(OVERHEAD_BYTES > HEAD_BYTES) };
}
