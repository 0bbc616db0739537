//! G: attacks on the public listener, before a plugin runs.

use rig::clock::{now, pass, spoken, until};
use rig::guest::Recipe;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use load::{Call, ClosedLoop};
use rig::process::{descriptors, resident};
use serde_json::json;

use super::frames::{CONTINUATION, HEADERS, PING, PREFACE, RESET, SETTINGS, frame, head_block};
use crate::catalogue::{Row, Seen};
use crate::stage::{GOOD_PATH, Stage, WithGoodTenant as _, at_once};
use rig::wasm;
use rig::wire::{Wire, status};

pub const ROWS: [Row; 9] = [
    Row {
        id: "G1",
        tried: "sockets that send nothing, or a byte now and then",
        run: g1,
    },
    Row {
        id: "G2",
        tried: "a body that comes slowly, and a response that is not taken",
        run: g2,
    },
    Row {
        id: "G3",
        tried: "200 headers, a head of a megabyte, an address of 100 KB",
        run: g3,
    },
    Row {
        id: "G4",
        tried: "HTTP/2: rapid reset, continuations, pings, settings and closed windows",
        run: g4,
    },
    Row {
        id: "G5",
        tried: "two lengths, length and chunks, folded lines, bare line feeds, no host and two",
        run: g5,
    },
    Row {
        id: "G6",
        tried: "CONNECT and Upgrade",
        run: g6,
    },
    Row {
        id: "G7",
        tried: "headers that claim another origin, host, tenant or id",
        run: g7,
    },
    Row {
        id: "G8",
        tried: "many times more callers than a tenant has places",
        run: g8,
    },
    Row {
        id: "G9",
        tried: "paths that can be read in two ways, other methods",
        run: g9,
    },
];

const GET: &str = "GET /good/echo/x HTTP/1.1\r\nhost: x\r\n";

fn g1(stage: &Stage) -> Seen {
    let host = stage.open()?;
    let count = stage.scaled(200, 900);
    let begin = now();
    let mut wires = Vec::new();
    for index in 0..count {
        let mut wire = Wire::connect(host.public)?;
        match index % 3 {
            0 => {}
            1 => {
                wire.send("G");
            }
            _ => {
                wire.send(GET);
            }
        }
        wires.push(wire);
    }
    host.serves_the_good_tenant()?;
    for (index, wire) in wires.iter_mut().enumerate() {
        // Some continue to send, but too little for a request.
        if index % 3 == 2 {
            wire.send("x");
        }
        ensure!(
            wire.is_closed_within(Duration::from_secs(30))?,
            "socket {index} was not closed"
        );
    }
    let took = begin.elapsed();
    ensure!(
        took < Duration::from_secs(30),
        "the last one was closed after {took:?}"
    );
    Ok(format!(
        "{count} closed within {} at a time-out of 2 s, the good tenant served meanwhile",
        spoken(took)
    ))
}

fn g2(stage: &Stage) -> Seen {
    let host = stage.open()?;
    let mut wire = Wire::connect(host.public)?;
    wire.send("POST /good/echo/x HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\nx");
    let answer = String::from_utf8_lossy(&wire.rest()?).into_owned();
    ensure!(status(&answer) == Some(408), "{answer}");

    // A response that is larger than the system's buffers for a client that does not read.
    let large = "(i32.store16 (i32.const 1024) (i32.const 200)) (i32.store8 (i32.const 1036) (i32.const 2))
        (drop (memory.grow (i32.const 160))) (i32.store (i32.const 1040) (i32.const 131072))
        (i32.store (i32.const 1044) (i32.const 10000000)) (i32.const 1024)";
    let tenant = host.tenant("g2")?;
    tenant.deploy(&Recipe::from_bytes("raw", wasm::handler("", large)?).guest())?;
    let whole = tenant.get("raw", "/")?.is("200")?;
    ensure!(whole.body.len() == 10_000_000, "{} bytes", whole.body.len());
    let (before, quiet) = (resident(host.id())?, descriptors(host.id())?);
    let mut wires = Vec::new();
    for _ in 0..8 {
        let mut wire = Wire::connect(host.public)?;
        wire.send(format!("GET /{}/raw/ HTTP/1.1\r\nhost: x\r\n\r\n", tenant.name));
        wires.push(wire);
    }
    let begin = now();
    host.serves_the_good_tenant()?;
    let held = until("the end of responses that nobody takes", || {
        let open = descriptors(host.id())?;
        Ok((open <= quiet).then(|| begin.elapsed()))
    })?;
    drop(wires);
    let grown = resident(host.id())?.saturating_sub(before);
    ensure!(grown < 128 << 20, "{grown} bytes more");
    Ok(format!(
        "slow body: 408; slow readers closed after {}",
        spoken(held)
    ))
}

fn g3(stage: &Stage) -> Seen {
    let host = stage.plain()?;
    let before = resident(host.id())?;
    let refused = |what: &str, bytes: String, wanted: &[u16]| -> Result<u16> {
        let (status, answer) = Wire::exchange(host.public, bytes)?;
        ensure!(wanted.contains(&status), "{what}: {answer}");
        Ok(status)
    };
    let headers: String = (0..200).map(|index| format!("x-{index}: y\r\n")).collect();
    let many = refused("200 headers", format!("{GET}{headers}\r\n"), &[431, 400])?;
    let large = refused(
        "a large head",
        format!("{GET}x: {}\r\n\r\n", "y".repeat(1 << 20)),
        &[431, 400, 0],
    )?;
    let uri = format!(
        "GET /good/echo/{} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        "y".repeat(100_000)
    );
    let long = refused("a long address", uri, &[414, 431, 400])?;
    let grown = resident(host.id())?.saturating_sub(before);
    ensure!(grown < 32 << 20, "{grown} bytes more");
    Ok(format!("{many}, {large}, {long}"))
}

fn g4(stage: &Stage) -> Seen {
    let host = stage.open()?;
    let block = head_block();
    let attack = |name: &str, frames: &dyn Fn(u32) -> Vec<u8>, count: u32| -> Result<String> {
        let mut wire = Wire::connect(host.public)?;
        wire.send(PREFACE);
        wire.send(frame(SETTINGS, 0, 0, &[]));
        let sent = (0..count).take_while(|index| wire.send(frames(*index))).count();
        host.serves_the_good_tenant().context(name.to_owned())?;
        // A remaining connection must be closed eventually, but an idle one may stay open for a
        // while.
        let closed = wire.is_closed_within(Duration::from_millis(10))? || sent < usize::try_from(count)?;
        Ok(format!("{name}: {}", if closed { "closed" } else { "withstood" }))
    };
    let count = stage.scaled(2_000, 50_000);
    let reset = |index: u32| {
        let stream = 2 * index + 1;
        [
            frame(HEADERS, 5, stream, &block),
            frame(RESET, 0, stream, &8_u32.to_be_bytes()),
        ]
        .concat()
    };
    let continuation = |index: u32| match index {
        0 => frame(HEADERS, 0, 1, &block),
        _ => frame(CONTINUATION, 0, 1, &[0x10, 1, b'x', 1, b'y']),
    };
    let ping = |_: u32| frame(PING, 0, 0, &[0; 8]);
    let settings = |_: u32| frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    let window = |index: u32| match index {
        0 => frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]),
        _ => frame(HEADERS, 5, 2 * index + 1, &block),
    };
    let seen = [
        attack("resets", &reset, count)?,
        attack("continuations", &continuation, count)?,
        attack("pings", &ping, count)?,
        attack("settings", &settings, count)?,
        attack("windows", &window, 60)?,
    ];
    Ok(seen.join(", "))
}

fn g5(stage: &Stage) -> Seen {
    let host = stage.plain()?;
    let post = "POST /good/echo/x HTTP/1.1\r\nhost: x\r\n";
    let smuggled = "GET /good/echo/smuggled HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let cases = [
        (
            BOTH,
            format!("{post}content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        ),
        (
            "two lengths",
            format!("{post}content-length: 0\r\ncontent-length: 5\r\n\r\n"),
        ),
        ("a list of lengths", format!("{post}content-length: 0, 5\r\n\r\n")),
        ("a signed length", format!("{post}content-length: +0\r\n\r\n")),
        (
            "a length with letters",
            format!("{post}content-length: 0x0\r\n\r\n"),
        ),
        (
            "an unknown coding",
            format!("{post}transfer-encoding: xchunked\r\n\r\n0\r\n\r\n"),
        ),
        (
            "chunked not last",
            format!("{post}transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
        ),
        (
            "a folded line",
            format!("{post}x: a\r\n b\r\ncontent-length: 0\r\n\r\n"),
        ),
        (
            "a blank before the colon",
            format!("{post}content-length : 0\r\n\r\n"),
        ),
        (
            "a bare carriage return",
            format!("{post}x: a\rb\r\ncontent-length: 0\r\n\r\n"),
        ),
        (
            "a zero byte",
            format!("{post}x: a\0b\r\ncontent-length: 0\r\n\r\n"),
        ),
        ("no host", "GET /good/echo/x HTTP/1.1\r\n\r\n".to_owned()),
        (
            "two hosts",
            "GET /good/echo/x HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n".to_owned(),
        ),
        (
            "chunks of nonsense",
            format!("{post}transfer-encoding: chunked\r\n\r\nZZ\r\n\r\n"),
        ),
        (
            "an endless chunk size",
            format!("{post}transfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n"),
        ),
    ];
    let mut served = Vec::new();
    for (name, bytes) in &cases {
        let mut wire = Wire::connect(host.public)?;
        wire.send(format!("{bytes}{smuggled}"));
        wire.finish();
        let answer = String::from_utf8_lossy(&wire.rest()?).into_owned();
        let responses = answer.matches("HTTP/1.1 ").count();
        let first = status(&answer).unwrap_or(0);
        // A request with an ambiguous end is the last one of its connection, with any response.
        ensure!(responses <= 1, "{name}: what follows was served: {answer}");
        ensure!(
            first == 0 || first >= 400 || *name == BOTH,
            "{name} was served: {answer}"
        );
        if first < 400 && first > 0 {
            served.push(*name);
        }
    }
    Ok(format!(
        "{} tried, {} answered 400 or closed, the only request where served: {served:?}",
        cases.len(),
        cases.len() - served.len()
    ))
}

/// This may be served as chunks if the connection is closed afterwards (RFC 9112, 6.1).
const BOTH: &str = "length and chunks";

fn g6(stage: &Stage) -> Seen {
    let host = stage.plain()?;
    let connect = |line: &str| {
        Wire::exchange(
            host.public,
            format!("{line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"),
        )
    };
    let (tunnel, answer) = connect("CONNECT 169.254.169.254:80")?;
    ensure!((400..600).contains(&tunnel), "{answer}");
    let (own, answer) = connect("CONNECT /good/echo/x")?;
    ensure!((400..600).contains(&own), "{answer}");
    let mut seen = vec![tunnel, own];
    for upgrade in ["websocket", "h2c", "TLS/1.2"] {
        let head = format!(
            "{GET}connection: upgrade, close\r\nupgrade: {upgrade}\r\nhttp2-settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n"
        );
        let (status, answer) = Wire::exchange(host.public, head)?;
        ensure!(status != 101 && status != 0, "{upgrade}: {answer}");
        seen.push(status);
    }
    Ok(format!("{seen:?}"))
}

fn g7(stage: &Stage) -> Seen {
    let host = stage.plain()?;
    let mut client = host.http();
    for (name, value) in [
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-host", "other"),
        ("forwarded", "for=127.0.0.1;host=other"),
        ("x-real-ip", "127.0.0.1"),
        ("x-tenant", "library"),
        ("x-mortise-tenant", "library"),
        ("x-original-url", "/library/echo/x"),
        ("x-rewrite-url", "/library/echo/x"),
        ("x-http-method-override", "DELETE"),
        ("x-request-id", "forged"),
    ] {
        client = client.header(name, value);
    }
    let reply = client.get(GOOD_PATH)?.is("200")?;
    let seen = reply.body()?;
    ensure!(seen["method"] == "GET" && seen["path"] == "/x", "{seen}");
    ensure!(
        reply.header("x-request-id") != "forged",
        "the id of the request is the caller's"
    );
    let record = host.known("good").record(&reply)?;
    ensure!(
        record["plugin"] == "echo" && record["method"] == "GET",
        "{record}"
    );
    let (other, answer) = Wire::exchange(
        host.public,
        "GET http://library/good/echo/x HTTP/1.1\r\nhost: library\r\nconnection: close\r\n\r\n",
    )?;
    ensure!(other == 200 || other == 400, "{answer}");
    Ok("10 headers and two names of a host, none believed".to_owned())
}

fn g8(stage: &Stage) -> Seen {
    let host = stage.plain()?;
    let tenant = host.tenant("g8")?;
    tenant.deploy(&stage.guests.faults)?;
    tenant.limit(&json!({ "concurrency": 2, "queue": 4, "cpu": stage.patient() }))?;
    let call = Call::get(host.public, &format!("/{}/faults/busy", tenant.name));
    let crowd = ClosedLoop::new(call, 64, Duration::from_secs(stage.scaled(3, 10))).start()?;
    pass(Duration::from_millis(200));
    let good = at_once(4, |_| (0..25).try_for_each(|_| host.serves_the_good_tenant()));
    let report = crowd.join();
    good.into_iter()
        .collect::<Result<()>>()
        .context("beside the crowd")?;
    let (served, refused) = (
        report.latency(200).count(),
        report.responses(|status| status == 503 || status == 429),
    );
    ensure!(served > 0 && refused > 0, "{}", report.trouble());
    ensure!(served + refused == report.requests(), "{}", report.trouble());
    Ok(format!(
        "{served} served, {refused} refused; 100 of 100 requests of the good tenant served"
    ))
}

fn g9(stage: &Stage) -> Seen {
    let host = stage.plain()?;
    let ask = |method: &str, path: &str| {
        Wire::exchange(
            host.public,
            format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"),
        )
    };
    let cases = [
        ("GET", "/good//echo/x", 400),
        ("GET", "//good/echo/x", 400),
        ("GET", "/good/echo/../echo/x", 400),
        ("GET", "/good/echo/%2e%2e/x", 400),
        ("GET", "/good/echo/.%2E/x", 400),
        ("GET", "/good/echo/a%2fb", 400),
        ("GET", "/good/echo/a%5cb", 400),
        ("GET", "/good/echo/a\\b", 400),
        ("GET", "/good/echo/%00", 400),
        ("GET", "/good/echo/%zz", 400),
        ("GET", "/./good/echo/x", 400),
        ("GET", "/Good/echo/x", 404),
        ("GET", "/good/ECHO/x", 404),
        ("GET", "/good%2Fecho/x", 400),
        ("GET", "/g%6fod/echo/x", 200),
        ("GET", "/api/v1/node", 404),
        ("GET", "/-/../api/v1/node", 400),
        ("GET", "/good/echo/x;a=b", 200),
        ("DELETE", "/good/echo/x", 405),
        ("TRACE", "/good/echo/x", 405),
        ("get", "/good/echo/x", 405),
        ("HEAD", "/good/echo/x", 200),
        ("OPTIONS", "*", 404),
        ("GET", "*", 404),
    ];
    for (method, path, wanted) in cases {
        let (status, answer) = ask(method, path)?;
        // `*` is not a path; any rejection is accepted.
        let is_wanted = status == wanted || (path == "*" && (400..500).contains(&status));
        ensure!(
            is_wanted,
            "{method} {path}: {status} where {wanted} was wanted: {answer}"
        );
    }
    let (_, answer) = ask("HEAD", "/good/echo/x")?;
    ensure!(answer.ends_with("\r\n\r\n"), "a body for HEAD: {answer}");
    Ok(format!("{} paths and methods, each as it is meant", cases.len()))
}
