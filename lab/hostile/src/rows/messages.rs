//! G10 to G16: HTTP/1 messages that two parsers could read differently.

use std::time::Duration;

use anyhow::{Result, ensure};
use rig::host::Host;
use rig::process::resident;
use rig::wire::{Wire, status};

use crate::catalogue::{Row, Seen};
use crate::stage::{Stage, WithGoodTenant as _};

pub const ROWS: [Row; 7] = [
    Row {
        id: "G10",
        tried: "transfer codings in odd spellings",
        run: g10,
    },
    Row {
        id: "G11",
        tried: "content lengths in odd spellings",
        run: g11,
    },
    Row {
        id: "G12",
        tried: "chunks with odd sizes, extensions and trailers",
        run: g12,
    },
    Row {
        id: "G13",
        tried: "request lines of other versions, forms and methods",
        run: g13,
    },
    Row {
        id: "G14",
        tried: "header names and values that are no text, and folded lines",
        run: g14,
    },
    Row {
        id: "G15",
        tried: "200 pipelined requests, 10,000 empty lines, 90 cookies",
        run: g15,
    },
    Row {
        id: "G16",
        tried: "bodies behind requests that are refused, and Expect",
        run: g16,
    },
];

const POST: &str = "POST /good/echo/x HTTP/1.1\r\nhost: x\r\n";

/// The request after each message. It may be answered only if the end of the message is
/// unambiguous.
const NEXT: &str = "GET /good/echo/smuggled HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

/// The silence after which no further data is expected: a response takes milliseconds.
const QUIET: Duration = Duration::from_millis(300);

/// The responses to a message and to the one after it.
struct Answer {
    first: u16,
    is_next_served: bool,
    text: String,
}

fn send(host: &Host, bytes: &[u8]) -> Result<Answer> {
    let mut wire = Wire::connect(host.public)?;
    wire.send([bytes, NEXT.as_bytes()].concat());
    // The connection stays open, because the host does not answer on a closed one.
    let text = String::from_utf8_lossy(&wire.read_while_it_comes(QUIET)?).into_owned();
    ensure!(!text.contains("HTTP/1.1 500 "), "the host is at fault: {text}");
    Ok(Answer {
        first: status(&text).unwrap_or(0),
        is_next_served: text.contains("\"/smuggled\""),
        text,
    })
}

/// Sends messages with an ambiguous end: the request after them must not be answered.
fn all_last(stage: &Stage, messages: &[(&str, Vec<u8>)]) -> Seen {
    let host = stage.plain()?;
    let mut refused = 0;
    for (name, bytes) in messages {
        let answer = send(host, bytes)?;
        ensure!(
            !answer.is_next_served,
            "{name}: what follows was served: {}",
            answer.text
        );
        refused += usize::from(!(200..300).contains(&answer.first));
    }
    host.serves_the_good_tenant()?;
    Ok(format!(
        "{} tried, {refused} refused, nothing behind them was served",
        messages.len()
    ))
}

/// A request with these header lines and this body.
fn post(head: &str, body: &str) -> Vec<u8> {
    format!("{POST}{head}\r\n\r\n{body}").into_bytes()
}

fn g10(stage: &Stage) -> Seen {
    let chunked = "0\r\n\r\n";
    let spellings = [
        "transfer-encoding: \u{b}chunked",
        "transfer-encoding: \"chunked\"",
        "transfer-encoding: chunked;q=1",
        "transfer-encoding: xchunked",
        "transfer-encoding: chunked, identity",
        "transfer-encoding: chunked, gzip",
        "transfer-encoding: cow",
        "transfer-encoding : chunked",
        "transfer-encoding:\n chunked",
        "x: y\rtransfer-encoding: chunked",
        "content-length: 30\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 30",
    ];
    let mut messages: Vec<(&str, Vec<u8>)> = spellings
        .iter()
        .map(|spelling| (*spelling, post(spelling, chunked)))
        .collect();
    let old = "POST /good/echo/x HTTP/1.0\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
    messages.push(("chunks in HTTP/1.0", old.as_bytes().to_vec()));
    all_last(stage, &messages)
}

fn g11(stage: &Stage) -> Seen {
    let spellings = [
        "content-length: 3, 4",
        "content-length: 3\r\ncontent-length: 4",
        "content-length: +3",
        "content-length: -3",
        "content-length: 3 3",
        "content-length: 0x3",
        "content-length: 3e0",
        "content-length: 3.0",
        "content-length: \u{663}",
        "content-length:",
        "content-length: 18446744073709551616",
        "content-length: 99999999999999999999999",
        "content-length: 3;",
        "content-length : 3",
        "content-length: 3\u{b}",
    ];
    let messages: Vec<(&str, Vec<u8>)> = spellings
        .iter()
        .map(|spelling| (*spelling, post(spelling, "abc")))
        .collect();
    all_last(stage, &messages)
}

fn g12(stage: &Stage) -> Seen {
    let host = stage.plain()?;
    let chunked = |body: &str| post("transfer-encoding: chunked", body);
    let long = "e".repeat(20_000);
    let many: String = (0..4_000)
        .map(|index| format!("t{index}: {}\r\n", "v".repeat(20)))
        .collect();
    let before = resident(host.id())?;
    let messages = [
        ("a size with 0x", chunked("0x3\r\nabc\r\n0\r\n\r\n")),
        ("a negative size", chunked("-3\r\nabc\r\n0\r\n\r\n")),
        ("a size with a plus", chunked("+3\r\nabc\r\n0\r\n\r\n")),
        (
            "a size that overflows",
            chunked("10000000000000003\r\nabc\r\n0\r\n\r\n"),
        ),
        ("a size that is none", chunked("\r\nabc\r\n0\r\n\r\n")),
        ("a size behind a bare line feed", chunked("3\nabc\n0\n\n")),
        (
            "a bare carriage return behind the size",
            chunked("3\rabc\r\n0\r\n\r\n"),
        ),
        (
            "a chunk that is longer than its size",
            chunked("3\r\nabcd\r\n0\r\n\r\n"),
        ),
        ("a chunk without an end", chunked("3\r\nabc0\r\n\r\n")),
        ("a blank in front of the size", chunked(" 3\r\nabc\r\n0\r\n\r\n")),
        (
            "extensions of 20 KB",
            chunked(&format!("3;{long}\r\nabc\r\n0\r\n\r\n")),
        ),
        ("trailers of 100 KB", chunked(&format!("0\r\n{many}\r\n"))),
    ];
    let seen = all_last(stage, &messages)?;
    for trailer in [
        "content-length: 30",
        "transfer-encoding: chunked",
        "host: other",
        "authorization: Bearer x",
    ] {
        let answer = send(host, &chunked(&format!("3\r\nabc\r\n0\r\n{trailer}\r\n\r\n")))?;
        // A forbidden trailer is dropped; it must not reach the plugin or change the next request.
        let name = trailer.split(':').next().unwrap_or_default();
        ensure!(
            answer.first != 200 || !answer.text.contains(&format!("[\"{name}\",\"30\"]")),
            "{trailer}: {}",
            answer.text
        );
    }
    let grown = resident(host.id())?.saturating_sub(before);
    ensure!(grown < 32 << 20, "{grown} bytes more");
    Ok(format!("{seen}; 4 forbidden trailers without effect"))
}

fn g13(stage: &Stage) -> Seen {
    let host = stage.plain()?;
    let method = "M".repeat(20_000);
    let lines = [
        "GET /good/echo/x",
        "GET /good/echo/x HTTP/0.9",
        "GET /good/echo/x HTTP/1.2",
        "GET /good/echo/x HTTP/2.0",
        "GET /good/echo/x HTTP/1.10",
        "GET /good/echo/x http/1.1",
        "GET  /good/echo/x HTTP/1.1",
        "GET\t/good/echo/x HTTP/1.1",
        "GET /good/echo/x  HTTP/1.1",
        "GET good/echo/x HTTP/1.1",
        "GET /good/echo/x y HTTP/1.1",
        " GET /good/echo/x HTTP/1.1",
        "PRI * HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "TRACE /good/echo/x HTTP/1.1",
        "CONNECT good:80 HTTP/1.1",
        &format!("{method} /good/echo/x HTTP/1.1"),
    ];
    let mut seen = Vec::new();
    for line in lines {
        let (status, answer) = Wire::exchange(
            host.public,
            format!("{line}\r\nhost: x\r\nconnection: close\r\n\r\n"),
        )?;
        let name: String = line.chars().take(40).collect();
        // A higher minor version is treated as the highest known one (RFC 9110, 2.5).
        let is_newer = line.ends_with("HTTP/1.2");
        ensure!(
            is_newer || status == 0 || (400..600).contains(&status) && status != 500 || status == 204,
            "{name}: {answer}"
        );
        seen.push(status);
    }
    seen.sort_unstable();
    seen.dedup();
    host.serves_the_good_tenant()?;
    Ok(format!("{} tried, statuses {seen:?}", lines.len()))
}

fn g14(stage: &Stage) -> Seen {
    let host = stage.plain()?;
    let lines: [(&str, &[u8]); 12] = [
        ("a zero byte in a name", b"a\0b: c"),
        ("a zero byte in a value", b"a: b\0c"),
        ("eight bits in a name", b"\xffa: b"),
        ("no name", b": b"),
        ("no colon", b"abc"),
        ("a blank in a name", b"a b: c"),
        ("a blank before the colon", b"a : b"),
        ("a folded line", b"a: b\r\n c"),
        ("a folded first line", b" a: b"),
        ("a bare carriage return", b"a: b\rc"),
        ("a parenthesis in a name", b"a(b): c"),
        ("a delete in a value", b"a: \x7f"),
    ];
    for (name, line) in lines {
        let head = format!("{POST}content-length: 0\r\n");
        let bytes = [head.as_bytes(), line, b"\r\n\r\n"].concat();
        let answer = send(host, &bytes)?;
        ensure!(
            (400..500).contains(&answer.first) || answer.first == 0,
            "{name}: {}",
            answer.text
        );
        ensure!(!answer.is_next_served, "{name}: {}", answer.text);
    }
    // Other alphabets are allowed in values, and must be returned unchanged or not at all.
    let answer = send(
        host,
        &[POST.as_bytes(), b"a: \xc3\xbc\xff\r\ncontent-length: 0\r\n\r\n"].concat(),
    )?;
    ensure!(answer.first != 500, "{}", answer.text);
    host.serves_the_good_tenant()?;
    Ok(format!("{} of {} refused", lines.len(), lines.len()))
}

fn g15(stage: &Stage) -> Seen {
    let host = stage.plain()?;
    let mut wire = Wire::connect(host.public)?;
    let requests: String = (0..200)
        .map(|index| format!("GET /good/echo/{index} HTTP/1.1\r\nhost: x\r\n\r\n"))
        .collect();
    wire.send(requests);
    let text = String::from_utf8_lossy(&wire.read_while_it_comes(QUIET)?).into_owned();
    let mut from = 0;
    for index in 0..200 {
        let wanted = format!("\"path\":\"/{index}\"");
        let at = text[from..].find(&wanted);
        ensure!(
            at.is_some(),
            "the answer to request {index} is missing or out of order"
        );
        from += at.unwrap_or(0);
    }
    let mut wire = Wire::connect(host.public)?;
    wire.send("\r\n".repeat(10_000));
    wire.finish();
    let lines = wire.rest()?;
    ensure!(
        !String::from_utf8_lossy(&lines).contains(" 500 "),
        "empty lines ended in a 500"
    );
    let cookies: String = (0..90).map(|index| format!("cookie: c{index}=v\r\n")).collect();
    let (status, answer) = Wire::exchange(
        host.public,
        format!("GET /good/echo/x HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{cookies}\r\n"),
    )?;
    ensure!(status == 200 || status == 431, "{answer}");
    host.serves_the_good_tenant()?;
    Ok(format!("200 answered in order; 90 cookies: {status}"))
}

fn g16(stage: &Stage) -> Seen {
    let host = stage.plain()?;
    let body = NEXT.len();
    let mut seen = Vec::new();
    // The body of a request that is rejected before it is read looks like another request.
    for (name, line, wanted) in [
        ("an absent tenant", "POST /nobody/echo/x HTTP/1.1", 404),
        ("an absent plugin", "POST /good/nothing/x HTTP/1.1", 404),
        ("a method that is not there", "DELETE /good/echo/x HTTP/1.1", 405),
    ] {
        let head = format!("{line}\r\nhost: x\r\ncontent-length: {body}\r\n\r\n");
        let answer = send(host, head.as_bytes())?;
        ensure!(answer.first == wanted, "{name}: {}", answer.text);
        ensure!(
            !answer.is_next_served,
            "{name}: its body was taken for a request: {}",
            answer.text
        );
        seen.push(answer.first);
    }
    let large = format!("{POST}content-length: 99999999\r\n\r\n");
    let answer = send(host, large.as_bytes())?;
    ensure!(answer.first == 413 && !answer.is_next_served, "{}", answer.text);
    seen.push(answer.first);
    for expect in ["200-ok", "100-continue, x", ""] {
        let head = format!("{POST}expect: {expect}\r\ncontent-length: {body}\r\n\r\n");
        let answer = send(host, head.as_bytes())?;
        ensure!(!answer.is_next_served, "{expect}: {}", answer.text);
    }
    host.serves_the_good_tenant()?;
    Ok(format!(
        "{seen:?}, no body was taken for a request; 3 odd expectations"
    ))
}
