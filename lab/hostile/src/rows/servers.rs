//! D14 to D18: servers that send malformed HTTP to plugins.

use anyhow::{Result, ensure};
use rig::clock::now;
use rig::process::resident;
use serde_json::{Value, json};
use std::time::Duration;

use super::egress::{send, sender};
use crate::catalogue::{Row, Seen};
use crate::stage::Stage;

pub const ROWS: [Row; 5] = [
    Row {
        id: "D14",
        tried: "responses that are no HTTP, and odd statuses",
        run: d14,
    },
    Row {
        id: "D15",
        tried: "responses with lengths and chunks that contradict each other",
        run: d15,
    },
    Row {
        id: "D16",
        tried: "a second response behind the first one",
        run: d16,
    },
    Row {
        id: "D17",
        tried: "upgrades, bodies where none may be, packed bodies",
        run: d17,
    },
    Row {
        id: "D18",
        tried: "numbers of a server that are too large for any type",
        run: d18,
    },
];

/// The body that the plugin got, as text.
fn text(told: &Value) -> String {
    let bytes = told["body"]["bytes"].as_array().into_iter().flatten();
    let bytes: Vec<u8> = bytes
        .filter_map(|byte| u8::try_from(byte.as_u64()?).ok())
        .collect();
    let bytes = String::from_utf8_lossy(&bytes).into_owned();
    told["body"]["text"].as_str().map_or(bytes, str::to_owned)
}

/// Makes a server send these bytes, and returns the plugin's result.
fn answer(stage: &Stage, name: &str, bytes: &[u8]) -> Result<Value> {
    let tenant = sender(stage, stage.open()?, name, &[])?;
    tenant.limit(&json!({ "http_first_byte": "1s", "http_total": "2s", "wall": "10s" }))?;
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    send(
        &tenant,
        &json!({ "url": stage.server.url(&format!("/raw/{digits}")), "timeout_ms": 1_500 }),
    )
}

fn d14(stage: &Stage) -> Seen {
    let cases: [(&str, &[u8]); 9] = [
        ("HTTP/0.9", b"hello\n"),
        ("nothing", b""),
        ("a line without a status", b"HTTP/1.1\r\n\r\n"),
        ("a status of two digits", b"HTTP/1.1 20 OK\r\n\r\n"),
        ("a status of four digits", b"HTTP/1.1 2000 OK\r\n\r\n"),
        ("HTTP/2 unasked", b"\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x80"),
        ("zeros", b"\0\0\0\0\0\0\0\0"),
        ("another protocol", b"SSH-2.0-OpenSSH_9.6\r\n"),
        ("a name that is none", b"HTTP/1.1 200 OK\r\na b: c\r\n\r\n"),
    ];
    for (index, (name, bytes)) in cases.iter().enumerate() {
        let told = answer(stage, &format!("d14-{index}"), bytes)?;
        ensure!(told["error"].is_string(), "{name}: {told}");
    }
    let odd = answer(stage, "d14-999", b"HTTP/1.1 999 Odd\r\ncontent-length: 0\r\n\r\n")?;
    ensure!(odd["status"] == 999 || odd["error"].is_string(), "{odd}");
    Ok(format!("{} of {} a typed error", cases.len(), cases.len()))
}

fn d15(stage: &Stage) -> Seen {
    let head = "HTTP/1.1 200 OK\r\n";
    let both =
        format!("{head}content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    let told = answer(stage, "d15-both", both.as_bytes())?;
    // If both are present, chunks take precedence (RFC 9112, 6.3), or it is an error.
    ensure!(text(&told) == "hello" || told["error"].is_string(), "{told}");
    let cases = [
        format!("{head}content-length: 3\r\ncontent-length: 4\r\n\r\nabcd"),
        format!("{head}content-length: 3, 4\r\n\r\nabcd"),
        format!("{head}content-length: -3\r\n\r\nabc"),
        format!("{head}content-length: 99999999999999999999\r\n\r\nabc"),
        format!("{head}content-length: 10\r\n\r\nabc"),
        format!("{head}transfer-encoding: chunked\r\n\r\nZZ\r\nabc\r\n0\r\n\r\n"),
        format!("{head}transfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\nabc"),
        format!("{head}transfer-encoding: chunked\r\n\r\n5\r\nabc"),
    ];
    for (index, bytes) in cases.iter().enumerate() {
        let told = answer(stage, &format!("d15-{index}"), bytes.as_bytes())?;
        ensure!(told["error"].is_string(), "{bytes}: {told}");
    }
    Ok(format!(
        "{} of {} a typed error; of chunks with a length the chunks count",
        cases.len(),
        cases.len()
    ))
}

fn d16(stage: &Stage) -> Seen {
    let tenant = sender(stage, stage.open()?, "d16", &[])?;
    let bytes = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfirstHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged";
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let first = send(
        &tenant,
        &json!({ "url": stage.server.url(&format!("/raw/{digits}")) }),
    )?;
    ensure!(text(&first) == "first", "{first}");
    for _ in 0..3 {
        let next = send(&tenant, &json!({ "url": stage.server.url("/x") }))?;
        ensure!(
            text(&next).starts_with("GET /x HTTP/1.1"),
            "the next request got {next}"
        );
    }
    Ok("the next three requests got their own answers".to_owned())
}

fn d17(stage: &Stage) -> Seen {
    let switched = answer(
        stage,
        "d17-101",
        b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: x\r\n\r\nraw",
    )?;
    ensure!(
        switched["error"].is_string() || switched["status"] == 101,
        "{switched}"
    );
    let mut seen = Vec::new();
    for status in [204, 304] {
        let bytes = format!("HTTP/1.1 {status} x\r\ncontent-length: 5\r\n\r\nhello");
        let told = answer(stage, &format!("d17-{status}"), bytes.as_bytes())?;
        ensure!(
            told["error"].is_string() || told["status"] == status && text(&told).is_empty(),
            "{told}"
        );
        seen.push(status);
    }
    let packed = [
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\n".as_slice(),
        b"\x1f\x8b\x08\0",
    ]
    .concat();
    let told = answer(stage, "d17-gzip", &packed)?;
    let length = told["body"]["bytes"].as_array().map(Vec::len);
    ensure!(
        told["error"].is_string() || length == Some(4),
        "it was unpacked: {told}"
    );
    Ok(format!("{seen:?} without bodies, a packed body as it is"))
}

fn d18(stage: &Stage) -> Seen {
    let host = stage.open()?;
    let before = resident(host.id())?;
    let huge = "9".repeat(40);
    let values = [
        "18446744073709551615",
        "9223372036854775807",
        "-1",
        huge.as_str(),
        "1e308",
    ];
    let names = ["retry-after", "age", "keep-alive", "x-ratelimit-reset"];
    let begin = now();
    for (index, name) in names.iter().enumerate() {
        for (number, value) in values.iter().enumerate() {
            let tenant = sender(stage, host, &format!("d18-{index}-{number}"), &[])?;
            tenant.limit(&json!({ "http_total": "2s", "wall": "10s" }))?;
            let bytes = format!("HTTP/1.1 503 x\r\n{name}: {value}\r\ncontent-length: 0\r\n\r\n");
            let digits: String = bytes.bytes().map(|byte| format!("{byte:02x}")).collect();
            // The request has retries, for which the number is used.
            let request = json!({
                "url": stage.server.url(&format!("/raw/{digits}")), "attempts": 3, "timeout_ms": 300,
            });
            let told = send(&tenant, &request)?;
            ensure!(
                told["status"] == 503 || told["error"].is_string(),
                "{name}: {value}: {told}"
            );
        }
    }
    let took = begin.elapsed();
    ensure!(took < Duration::from_secs(60), "it took {took:?}");
    let grown = resident(host.id())?.saturating_sub(before);
    ensure!(grown < 64 << 20, "{grown} bytes more");
    Ok(format!(
        "{} numbers in {} headers: typed, and nobody waits for them",
        values.len(),
        names.len()
    ))
}
