//! Tests of malicious HTTP/2 callers: each connection is closed, and no other caller is affected.

use serde_json::{Value, json};
use test_artifacts::ECHO;

use super::frames::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, Frame, GO_AWAY, HEADERS, PING, PRIORITY, RST_STREAM,
    SETTINGS, WINDOW_UPDATE, connect, connect_with, fields, frame, head, next, read_past, request, reset,
    rest,
};
use super::host::{HostProcess, until};
use super::plugin::{self, PLUGIN};
use super::wire::Wire;

/// The number of resets at once that the HTTP/2 library tolerates.
const BATCH: u32 = 16;

/// The setting of the window size of new streams.
const INITIAL_WINDOW_SIZE: u16 = 4;

fn host_with(variables: &[(&str, &str)]) -> (HostProcess, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let host = HostProcess::start_with(folder.path(), variables);
    plugin::tenant(&host.operator());
    plugin::deploy(&host.operator(), "1.0.0").unwrap();
    (host, folder)
}

#[track_caller]
fn serves_others(host: &HostProcess) {
    assert_eq!(
        plugin::version(&host.http().get(&format!("{PLUGIN}/context"))),
        "1.0.0"
    );
}

#[test]
fn a_connection_without_requests_is_asked_to_go_and_then_shown_out() {
    let (host, _folder) = host_with(&[
        ("MORTISE_SERVER__IDLE_TIMEOUT", "300ms"),
        ("MORTISE_SERVER__HEADER_TIMEOUT", "300ms"),
    ]);
    for answers_pings in [true, false] {
        let mut wire = connect(host.public);
        wire.send(request(1, "GET", "/-/healthz", END_STREAM));
        read_past(&mut wire, 0, END_STREAM);
        let go_away = read_past(&mut wire, GO_AWAY, 0);
        assert_eq!(&go_away.payload[4..8], [0; 4], "it is no error: {go_away:?}");
        // A graceful end sends a PING to learn whether everything has arrived.
        let ping = read_past(&mut wire, PING, 0);
        if answers_pings {
            wire.send(frame(PING, ACK, 0, &ping.payload));
        }
        assert!(rest(wire).iter().all(|frame| frame.kind == GO_AWAY));
    }
    serves_others(&host);
}

#[test]
fn a_window_that_never_opens_ends_the_connection() {
    let (host, _folder) = host_with(&[("MORTISE_SERVER__WRITE_TIMEOUT", "300ms")]);
    let mut wire = connect_with(host.public, &[(INITIAL_WINDOW_SIZE, 0)]);
    wire.send(request(1, "GET", &format!("{PLUGIN}/context"), END_STREAM));
    read_past(&mut wire, HEADERS, 0);
    let frames = rest(wire);
    // Nor did it end because of unanswered pings, which the host sends much later.
    assert!(
        frames.iter().all(|frame| ![PING, DATA].contains(&frame.kind)),
        "{frames:?}"
    );
    serves_others(&host);
}

#[test]
fn who_resets_request_after_request_is_shown_out() {
    let (host, _folder) = host_with(&[]);
    let mut wire = connect(host.public);
    let mut stream = 1;
    let mut batches = 0;
    loop {
        let streams: Vec<u32> = (0..BATCH).map(|number| stream + 2 * number).collect();
        stream += 2 * BATCH;
        // The requests wait for their bodies.
        let path = format!("{PLUGIN}/log");
        let heads = streams
            .iter()
            .flat_map(|stream| request(*stream, "POST", &path, 0));
        let resets = streams.iter().flat_map(|stream| reset(*stream));
        for burst in [heads.collect::<Vec<u8>>(), resets.collect()] {
            wire.send(burst);
            // The response to this PING follows when the host has read all frames.
            wire.send(frame(PING, 0, 0, &[0; 8]));
            let answer = std::iter::from_fn(|| next(&mut wire)).find(|frame| frame.kind == PING);
            if answer.is_none() {
                assert!(batches >= 6, "after {batches} batches already");
                return serves_others(&host);
            }
        }
        batches += 1;
        assert!(batches < 100, "it is still open");
    }
}

#[test]
fn resets_without_end_end_the_connection() {
    let (host, _folder) = host_with(&[]);
    let wire = connect(host.public);
    let mut sender = wire.share();
    let flood = std::thread::spawn(move || {
        let mut pairs = (0..1_000_000).map(|number| {
            let stream = 2 * number + 1;
            [
                request(stream, "GET", "/nobody/nothing", END_STREAM),
                reset(stream),
            ]
            .concat()
        });
        pairs.all(|pair| sender.send(pair))
    });
    assert!(rest(wire).iter().all(|frame| frame.kind != PING));
    assert!(!flood.join().unwrap(), "it was not closed");
    serves_others(&host);
}

#[test]
fn a_head_without_end_ends_the_connection() {
    let (host, _folder) = host_with(&[]);
    let wire = connect(host.public);
    let mut sender = wire.share();
    let flood = std::thread::spawn(move || {
        sender.send(frame(HEADERS, END_STREAM, 1, &head("GET", "/-/healthz")));
        // Each is a field outside the table: `a: b`.
        let more = frame(CONTINUATION, 0, 1, &[0x00, 1, b'a', 1, b'b'].repeat(100));
        (0..10_000).all(|_| sender.send(&more))
    });
    assert!(rest(wire).iter().any(|frame| frame.kind == GO_AWAY));
    assert!(!flood.join().unwrap(), "it was not closed");
    serves_others(&host);
}

#[test]
fn frames_that_ask_for_nothing_keep_no_connection_open() {
    let (host, _folder) = host_with(&[("MORTISE_SERVER__HEADER_TIMEOUT", "300ms")]);
    let mut wire = connect(host.public);
    until(|| (!wire.send(frame(PING, 0, 0, &[0; 8]))).then_some(()));
    serves_others(&host);
}

#[test]
fn a_flood_of_frames_ends_the_connection() {
    let (host, _folder) = host_with(&[]);
    for (kind, stream, payload) in [
        (PING, 0, &[0; 8][..]),
        (SETTINGS, 0, &[]),
        (PRIORITY, 3, &[0, 0, 0, 0, 1]),
    ] {
        let mut wire = connect(host.public);
        wire.send(request(1, "GET", "/-/healthz", END_STREAM));
        read_past(&mut wire, 0, END_STREAM);
        let mut sender = wire.share();
        let flood = std::thread::spawn(move || {
            let frames = frame(kind, 0, stream, payload).repeat(1_000);
            (0..10_000).all(|_| sender.send(&frames))
        });
        // The connection is read to its end, so that the flood does not block on responses.
        rest(wire);
        assert!(!flood.join().unwrap(), "it was not closed");
    }
    serves_others(&host);
}

#[test]
fn no_stream_becomes_a_tunnel() {
    let (host, _folder) = host_with(&[]);
    // The head has only `:method: CONNECT` and `:authority`.
    let connect_head = [&[0x02, 7][..], b"CONNECT", &[0x01, 9], b"host:1234"].concat();
    let mut wire = connect(host.public);
    wire.send(frame(HEADERS, END_HEADERS, 1, &connect_head));
    let answer = read_past(&mut wire, HEADERS, 0);
    // The index of `:status: 400` in the static table.
    assert_eq!(answer.payload[0], 0x8c, "{answer:?}");

    // Extended CONNECT (RFC 8441), which the host does not support: with a `:protocol` the request
    // is malformed.
    let extended = [
        &head("CONNECT", "/acme/x")[..],
        &[0x00, 9],
        b":protocol",
        &[9],
        b"websocket",
    ]
    .concat();
    let mut wire = connect(host.public);
    wire.send(frame(HEADERS, END_HEADERS, 1, &extended));
    let refusals = [RST_STREAM, GO_AWAY];
    let mut frames = std::iter::from_fn(|| next(&mut wire)).map(|frame| frame.kind);
    let answer = frames.find(|kind| *kind == HEADERS || refusals.contains(kind));
    assert!(answer.is_some_and(|kind| refusals.contains(&kind)), "{answer:?}");
    serves_others(&host);
}

#[test]
fn a_plugin_sees_the_host_and_the_cookies_as_by_http_1() {
    let (host, _folder) = host_with(&[]);
    plugin::deploy_guest(&host.operator(), "echo", ECHO);
    let ask = |more: &[(&str, &str)]| {
        let mut wire = connect(host.public);
        let head = [head("GET", "/acme/echo/x"), fields(more)].concat();
        wire.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, &head));
        let status = read_past(&mut wire, HEADERS, 0).payload[0];
        let body = read_past(&mut wire, DATA, 0).payload;
        (status, serde_json::from_slice::<Value>(&body).unwrap())
    };
    let cookies = [("cookie", "a=1"), ("cookie", "b=2"), ("cookie", "c=3")];
    for host_field in [&[][..], &[("host", "host")], &[("host", "HOST:80")]] {
        let (status, echo) = ask(&[host_field, &cookies].concat());
        // The index of `:status: 200` in the static table.
        assert_eq!(status, 0x88, "{echo}");
        let headers: Vec<&Value> = echo["headers"].as_array().unwrap().iter().collect();
        let values = |name: &str| {
            let named = headers.iter().filter(|header| header[0] == name);
            named.map(|header| header[1].clone()).collect::<Vec<_>>()
        };
        assert_eq!(values("host"), [json!("host")]);
        assert_eq!(values("cookie"), [json!("a=1; b=2; c=3")]);
    }
    let (status, problem) = ask(&[("host", "other")]);
    assert_eq!((status, &problem["code"]), (0x8c, &json!("invalid-request")));
}

#[test]
fn bodies_of_refused_requests_end_no_connection() {
    let (host, _folder) = host_with(&[]);
    let mut wire = connect(host.public);
    // More errors than a connection may cause.
    for number in 0..60 {
        let stream = 2 * number + 1;
        wire.send(request(stream, "POST", "/nobody/nothing", 0));
        for flags in [0, 0, END_STREAM] {
            wire.send(frame(DATA, flags, stream, &[b'x'; 14_000]));
        }
        // The index of `:status: 404` in the static table.
        assert_eq!(read_past(&mut wire, HEADERS, 0).payload[0], 0x8d);
    }
    wire.send(request(1_001, "GET", "/-/healthz", END_STREAM));
    assert_eq!(read_past(&mut wire, HEADERS, 0).payload[0], 0x88);
}

/// The flow control windows of the host: of the connection, and of the stream with the body.
struct Windows {
    connection: usize,
    stream: usize,
}

impl Windows {
    /// The windows of a new connection, from which nothing was read yet.
    fn read(wire: &mut Wire) -> Self {
        let settings = read_past(wire, SETTINGS, 0).payload;
        // The host applies its settings once they are acknowledged.
        wire.send(frame(SETTINGS, ACK, 0, &[]));
        let number = |bytes: &[u8]| {
            bytes
                .iter()
                .fold(0, |number, byte| (number << 8) | usize::from(*byte))
        };
        let mut settings = settings.chunks(6).map(|setting| setting.split_at(2));
        let initial = settings.find(|(id, _)| number(id) == usize::from(INITIAL_WINDOW_SIZE));
        Self {
            connection: 65_535,
            stream: initial.map_or(65_535, |(_, value)| number(value)),
        }
    }

    fn widen(&mut self, update: &Frame) {
        let more = update
            .payload
            .iter()
            .fold(0, |more, byte| (more << 8) | usize::from(*byte));
        match update.stream {
            0 => self.connection += more,
            _ => self.stream += more,
        }
    }
}

/// The outcome of a request with a body.
#[derive(Debug, Default)]
struct Sent {
    bytes: usize,
    /// The first byte of the response head, once the response is complete.
    answer: Option<u8>,
    /// The code of the reset.
    reset: Option<u8>,
}

/// Sends the body of a request as far as the windows allow, and reads the response meanwhile.
fn send_body(wire: &mut Wire, stream: u32, length: usize) -> Sent {
    let mut windows = Windows::read(wire);
    wire.send(request(stream, "POST", "/nobody/nothing", 0));
    let (mut sent, mut status) = (Sent::default(), 0);
    while sent.reset.is_none() && (sent.bytes < length || sent.answer.is_none()) {
        let room = windows.connection.min(windows.stream).min(length - sent.bytes);
        if room > 0 {
            let count = room.min(16_000);
            sent.bytes += count;
            windows.connection -= count;
            windows.stream -= count;
            let flags = if sent.bytes == length { END_STREAM } else { 0 };
            wire.send(frame(DATA, flags, stream, &vec![b'x'; count]));
            continue;
        }
        let frame = next(wire).expect("the connection goes on");
        match frame.kind {
            WINDOW_UPDATE => windows.widen(&frame),
            HEADERS => status = frame.payload[0],
            RST_STREAM => sent.reset = Some(frame.payload[3]),
            kind => assert_ne!(kind, GO_AWAY, "{frame:?}"),
        }
        if [HEADERS, DATA].contains(&frame.kind) && frame.flags & END_STREAM != 0 {
            sent.answer = Some(status);
        }
    }
    sent
}

#[test]
fn of_a_refused_body_so_much_is_discarded_before_its_stream_is_reset() {
    const DISCARDED: usize = 4 << 20;
    let (host, _folder) = host_with(&[]);
    // The index of `:status: 404` in the static table.
    let refusal = Some(0x8d);
    let healthy = |mut wire: Wire| {
        wire.send(request(3, "GET", "/-/healthz", END_STREAM));
        assert_eq!(read_past(&mut wire, HEADERS, 0).payload[0], 0x88);
    };

    let mut wire = connect(host.public);
    let sent = send_body(&mut wire, 1, DISCARDED - 1);
    assert_eq!((sent.answer, sent.reset), (refusal, None));
    healthy(wire);

    let mut wire = connect(host.public);
    let window = Windows::read(&mut connect(host.public)).stream;
    let sent = send_body(&mut wire, 1, 4 * DISCARDED);
    // The response was complete, so the reset has the code NO_ERROR.
    assert_eq!((sent.answer, sent.reset), (refusal, Some(0)));
    assert!(
        (DISCARDED..=DISCARDED + window).contains(&sent.bytes),
        "{} of {DISCARDED} with a window of {window}",
        sent.bytes
    );
    healthy(wire);
}
