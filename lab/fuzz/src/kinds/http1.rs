//! Generates HTTP/1 streams: valid requests, and requests that are nearly valid.

use std::time::Duration;

use rig::good::GOOD_PATH;
use rig::wire::Wire;

use crate::chance::Chance;
use crate::failure::Failure;
use crate::input::{Part, named};
use crate::target::Target;

const METHODS: [&str; 10] = [
    "GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT", "PRI", "get",
];

const PATHS: [&str; 16] = [
    "/standing/echo/x",
    "/standing/echo/",
    "/standing/echo/a%2fb",
    "/standing/echo/%61",
    "/standing/echo/../echo/x",
    "/",
    "*",
    "/-/healthz",
    "http://x/standing/echo/x",
    "standing:80",
    "/standing/echo/%00",
    "/standing/echo/?a=%ff&b",
    "//standing//echo//x",
    "/standing/echo/\u{fc}",
    "/standing/echo/x#y",
    "/%73tanding/echo/x",
];

const HEADERS: [&str; 30] = [
    "content-length: 3",
    "content-length: 0",
    "content-length: 18446744073709551616",
    "content-length: -1",
    "content-length: 3, 3",
    "transfer-encoding: chunked",
    "transfer-encoding: gzip, chunked",
    "transfer-encoding: chunked, chunked",
    "Transfer-Encoding : chunked",
    "transfer-encoding: identity",
    "connection: close",
    "connection: keep-alive, upgrade",
    "upgrade: h2c",
    "http2-settings: AAMAAABk",
    "expect: 100-continue",
    "expect: 200-ok",
    "host: y",
    "host:",
    "te: trailers",
    "trailer: x",
    "content-type: application/json",
    "content-encoding: gzip",
    "cookie: a=b",
    "accept-encoding: *;q=0",
    "range: bytes=0-",
    "if-none-match: *",
    "x-forwarded-for: ::1",
    "authorization: Bearer x",
    "traceparent: 00-x",
    "sec-websocket-key: x",
];

const BODIES: [&str; 8] = [
    "",
    "abc",
    "3\r\nabc\r\n0\r\n\r\n",
    "3;x=\"\r\n\"\r\nabc\r\n0\r\nt: v\r\n\r\n",
    "0\r\n\r\n",
    "ffffffffffffffff\r\n",
    "-1\r\n\r\n",
    "3\r\nab",
];

/// The silence after which no further data is expected: a response takes milliseconds.
pub const QUIET: Duration = Duration::from_millis(150);

/// Returns parts `write`, which are sent in order on one connection.
pub fn generate(chance: &mut Chance) -> Vec<Part> {
    let requests = chance.between(1, 6);
    let mut parts = Vec::new();
    for number in 0..requests {
        // An odd request often ends the connection, so the first one is usually valid.
        match number == 0 && chance.odds(1, 2) || chance.odds(1, 3) {
            true => parts.push(Part::new("write").text("GET /standing/echo/x HTTP/1.1\r\nhost: x\r\n\r\n")),
            false => parts.extend(odd(chance)),
        }
    }
    parts
}

fn odd(chance: &mut Chance) -> Vec<Part> {
    let method = chance.pick(&METHODS);
    let version = match chance.odds(9, 10) {
        true => "HTTP/1.1",
        false => chance.pick(&["HTTP/1.0", "HTTP/0.9", "HTTP/2.0", "HTTP/1.2", "http/1.1", ""]),
    };
    let end = match chance.odds(9, 10) {
        true => "\r\n",
        false => chance.pick(&["\n", "\r", "\r\r\n", "\n\r\n"]),
    };
    let mut head = Part::new("write").text(format!("{method} {} {version}{end}", chance.pick(&PATHS)));
    if chance.odds(9, 10) {
        head = head.text(format!("host: x{end}"));
    }
    for _ in 0..chance.below(5) {
        head = match chance.below(12) {
            0 => head.text(format!("{}: {}{end}", chance.word(), chance.text(30))),
            1 => head.bytes(chance.bytes(5)).text(end),
            2 => head.text(format!(" folded{end}")),
            3 => head.times(chance.size(300), format!("x-{{i}}: y{end}")),
            4 => head.text("x: ").times(chance.size(70_000), "y").text(end),
            _ => head.text(format!("{}{end}", chance.pick(&HEADERS))),
        };
    }
    let mut parts = vec![head.text(end)];
    let body = Part::new("write");
    match chance.below(12) {
        0 => parts.push(body.times(chance.size(5_000), "1\r\nx\r\n").text("0\r\n\r\n")),
        1 => parts.push(
            body.text("0\r\n")
                .times(chance.size(5_000), "t{i}: v\r\n")
                .text("\r\n"),
        ),
        2 => parts.push(
            body.text("1;")
                .times(chance.size(50_000), "e")
                .text("\r\nx\r\n0\r\n\r\n"),
        ),
        3 => parts.push(body.times(chance.size(3_000), "\r\n")),
        4 => {
            let length = chance.size(4_000);
            parts.push(body.bytes(chance.bytes(length)));
        }
        5..=8 => parts.push(body.text(chance.pick(&BODIES))),
        _ => {}
    }
    if chance.odds(1, 4) {
        let damaged = damage(&parts[0].content(), chance);
        parts[0] = Part::new("write").bytes(damaged);
    }
    parts
}

/// The bytes with one of them changed, removed or duplicated.
fn damage(bytes: &[u8], chance: &mut Chance) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let at = chance.below(bytes.len());
    match chance.below(3) {
        0 => bytes[at] = chance.byte(),
        1 => drop(bytes.remove(at)),
        _ => bytes.insert(at, bytes[at]),
    }
    bytes
}

/// Sends the bytes and reads all responses. The input is accepted if a plugin answered a request.
pub fn run(target: &Target, parts: &[Part]) -> Result<bool, Failure> {
    // The client does not close its side, like most clients.
    let answer = exchange(target, parts, |mut wire| wire.read_while_it_comes(QUIET))?;
    let text = String::from_utf8_lossy(&answer);
    if text.contains("HTTP/1.1 500 ") {
        return Err(Failure::Internal(format!("HTTP/1: {text}")));
    }
    Ok(text.contains("HTTP/1.1 200 "))
}

/// Sends the parts `write` over a connection, and returns the result of `read`. Afterwards a plain
/// request must be answered.
pub fn exchange(
    target: &Target,
    parts: &[Part],
    read: impl FnOnce(Wire) -> anyhow::Result<Vec<u8>>,
) -> Result<Vec<u8>, Failure> {
    let lost = |error: anyhow::Error| Failure::Unanswered(format!("a connection: {error:#}"));
    let mut wire = Wire::connect(target.host().public).map_err(lost)?;
    for part in named(parts, "write") {
        if !wire.send(part.content()) {
            break;
        }
    }
    let answer = read(wire).map_err(lost)?;
    crate::target::sound(target.public().get(GOOD_PATH), "the good tenant")?;
    Ok(answer)
}
