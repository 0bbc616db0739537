//! B15 to B20: malformed responses of plugins.

use std::fmt::Write as _;

use anyhow::{Context as _, Result, ensure};
use rig::guest::Recipe;
use rig::process::resident;
use rig::wasm::{self, ANSWER};
use rig::wire::{Wire, status};

use crate::catalogue::{Row, Seen};
use crate::stage::{GOOD_PATH, Stage};

pub const ROWS: [Row; 6] = [
    Row {
        id: "B15",
        tried: "responses with every odd status",
        run: b15,
    },
    Row {
        id: "B16",
        tried: "response headers with line ends, blanks and pseudo names",
        run: b16,
    },
    Row {
        id: "B17",
        tried: "response headers that frame the message",
        run: b17,
    },
    Row {
        id: "B18",
        tried: "bodies where none may be",
        run: b18,
    },
    Row {
        id: "B19",
        tried: "pointers of responses that lead out of the memory",
        run: b19,
    },
    Row {
        id: "B20",
        tried: "a million headers that are one, and a body of all memory",
        run: b20,
    },
];

/// A component that responds with this status, these headers and this text.
fn answering(status: u16, headers: &[(&str, &str)], body: Option<&str>) -> Result<Vec<u8>> {
    const LIST: usize = 4_096;
    const TEXTS: usize = 8_192;
    let (mut parts, mut at) = (String::new(), TEXTS);
    let escaped = |text: &str| -> String { text.bytes().map(|byte| format!("\\{byte:02x}")).collect() };
    let mut stores = format!("(i32.store16 (i32.const 1024) (i32.const {status}))");
    for (index, (name, value)) in headers.iter().enumerate() {
        for (place, text) in [name, value].into_iter().enumerate() {
            // Writing to a string does not fail.
            let _ = write!(parts, "(data (i32.const {at}) \"{}\")", escaped(text));
            let slot = LIST + index * 16 + place * 8;
            let _ = write!(
                stores,
                "(i32.store (i32.const {slot}) (i32.const {at})) (i32.store (i32.const {}) (i32.const {}))",
                slot + 4,
                text.len()
            );
            at += text.len();
        }
    }
    let _ = write!(
        stores,
        "(i32.store (i32.const 1028) (i32.const {LIST})) (i32.store (i32.const 1032) (i32.const {}))",
        headers.len()
    );
    if let Some(body) = body {
        let _ = write!(parts, "(data (i32.const {at}) \"{}\")", escaped(body));
        let _ = write!(
            stores,
            "(i32.store8 (i32.const 1036) (i32.const 1)) (i32.store (i32.const 1040) (i32.const {at}))
             (i32.store (i32.const 1044) (i32.const {}))",
            body.len()
        );
    }
    wasm::handler(&parts, &format!("{stores} (i32.const 1024)"))
}

/// Calls a plugin and then the good tenant on the same connection. Returns the first status and
/// head.
fn ask(stage: &Stage, name: &str, component: Vec<u8>) -> Result<(u16, String)> {
    let host = stage.plain()?;
    let tenant = host.tenant(name)?;
    tenant.deploy(&Recipe::from_bytes("raw", component).guest())?;
    let mut wire = Wire::connect(host.public)?;
    wire.send(format!("GET /{}/raw/ HTTP/1.1\r\nhost: x\r\n\r\n", tenant.name));
    let head = wire.read_past("\r\n\r\n")?;
    let length = head.to_lowercase().lines().find_map(|line| {
        line.strip_prefix("content-length: ")?
            .trim()
            .parse::<usize>()
            .ok()
    });
    wire.read_exactly(length.unwrap_or(0))?;
    let first = status(&head).context("a status")?;
    // The plugin's response must not affect the next response of the connection.
    wire.send(format!(
        "GET {GOOD_PATH} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    ));
    let next = String::from_utf8_lossy(&wire.rest()?).into_owned();
    ensure!(
        status(&next) == Some(200) && next.contains("\"path\":\"/x\""),
        "behind {head:?} came {next:?}"
    );
    Ok((first, head))
}

fn b15(stage: &Stage) -> Seen {
    let statuses = [0, 1, 99, 100, 101, 102, 103, 199, 600, 999, 1_000, 65_535];
    for code in statuses {
        let (seen, head) = ask(stage, &format!("b15-{code}"), answering(code, &[], Some("x"))?)?;
        ensure!(seen == 502, "{code}: {head}");
    }
    Ok(format!("{} of {} answered 502", statuses.len(), statuses.len()))
}

fn b16(stage: &Stage) -> Seen {
    let headers = [
        ("a", "b\r\nc: d"),
        ("a", "b\nc"),
        ("a", "b\rc"),
        ("a", "b\0c"),
        ("a\r\nb", "c"),
        ("a b", "c"),
        ("a:", "c"),
        ("", "c"),
        (":status", "200"),
        (":path", "/"),
        ("\u{fc}", "c"),
        ("(a)", "c"),
    ];
    for (index, header) in headers.iter().enumerate() {
        let (seen, head) = ask(
            stage,
            &format!("b16-{index}"),
            answering(200, &[*header], Some("x"))?,
        )?;
        ensure!(seen == 502 && !head.contains("c: d"), "{header:?}: {head}");
    }
    Ok(format!("{} of {} answered 502", headers.len(), headers.len()))
}

fn b17(stage: &Stage) -> Seen {
    let headers = [
        ("content-length", "0"),
        ("content-length", "1000"),
        ("content-length", "-1"),
        ("transfer-encoding", "chunked"),
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("keep-alive", "timeout=1000"),
        ("te", "trailers"),
        ("trailer", "x"),
        ("proxy-authenticate", "Basic"),
        ("x-request-id", "forged"),
    ];
    let (mut refused, mut left_out) = (0, 0);
    for (index, (name, value)) in headers.iter().enumerate() {
        let component = answering(200, &[(name, value)], Some("hello"))?;
        let (seen, head) = ask(stage, &format!("b17-{index}"), component)?;
        let told = head.to_lowercase().contains(&format!("{name}: {value}\r\n"));
        ensure!(seen == 502 || seen == 200 && !told, "{name}: {value}: {head}");
        refused += usize::from(seen == 502);
        left_out += usize::from(seen == 200);
    }
    Ok(format!(
        "{refused} refused, {left_out} left out, each next response right"
    ))
}

fn b18(stage: &Stage) -> Seen {
    let mut seen = Vec::new();
    for code in [204, 205, 304] {
        let (status, head) = ask(
            stage,
            &format!("b18-{code}"),
            answering(code, &[], Some("not to be sent"))?,
        )?;
        ensure!(status == code || status == 502, "{code}: {head}");
        seen.push(status);
    }
    let host = stage.plain()?;
    let tenant = host.tenant("b18-head")?;
    let guest = Recipe::from_bytes("raw", answering(200, &[], Some("not to be sent"))?)
        .route("HEAD", "/", "'public'")
        .guest();
    tenant.deploy(&guest)?;
    let (status, answer) = Wire::exchange(
        host.public,
        format!(
            "HEAD /{}/raw/ HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
            tenant.name
        ),
    )?;
    ensure!(status == 200 && !answer.contains("not to be sent"), "{answer}");
    Ok(format!("{seen:?}, and HEAD without the body"))
}

fn b19(stage: &Stage) -> Seen {
    let response =
        |fields: &str| format!("(i32.store16 (i32.const 1024) (i32.const 200)) {fields} (i32.const 1024)");
    let store = |at: u32, value: &str| format!("(i32.store (i32.const {at}) (i32.const {value}))");
    let list = |pointer: &str, length: &str| format!("{}{}", store(1_028, pointer), store(1_032, length));
    let body = |kind: u32, pointer: &str, length: &str| {
        format!(
            "(i32.store8 (i32.const 1036) (i32.const {kind})) {}{}",
            store(1_040, pointer),
            store(1_044, length)
        )
    };
    let cases = [
        ("the response", "(i32.const -4)".to_owned()),
        ("a response that is not aligned", "(i32.const 1025)".to_owned()),
        ("a list of headers", response(&list("-16", "1"))),
        ("a list of 2^31 headers", response(&list("0", "2147483647"))),
        ("a list that wraps", response(&list("16", "268435455"))),
        ("a list that is not aligned", response(&list("4097", "1"))),
        ("a body", response(&body(1, "-1", "100"))),
        ("a body of 4 GiB", response(&body(2, "0", "-1"))),
        ("a body of no kind", response(&body(7, "0", "0"))),
        (
            "text that is none",
            response(&format!(
                "(i32.store (i32.const 5000) (i32.const -1)) {}",
                body(1, "5000", "4")
            )),
        ),
        ("channels", response(&body(3, "-8", "2"))),
    ];
    for (index, (name, handler)) in cases.iter().enumerate() {
        let (seen, head) = ask(stage, &format!("b19-{index}"), wasm::handler("", handler)?)?;
        ensure!(seen == 502, "{name}: {head}");
    }
    for (index, realloc) in [
        "(i32.const 0)",
        "(i32.const -1)",
        "(i32.const 131072)",
        "(i32.const 131071)",
    ]
    .iter()
    .enumerate()
    {
        let realloc = format!("(func (export \"realloc\") (param i32 i32 i32 i32) (result i32) {realloc})");
        let module = format!(
            "{} {realloc} {} {}",
            wasm::MEMORY,
            wasm::DONE,
            wasm::handle(ANSWER)
        );
        let (seen, head) = ask(stage, &format!("b19-realloc-{index}"), wasm::module(&module)?)?;
        ensure!(seen == 502 || seen == 200, "realloc {index}: {head}");
    }
    Ok(format!(
        "{} of {} answered 502; 4 odd allocators harm nobody",
        cases.len(),
        cases.len()
    ))
}

fn b20(stage: &Stage) -> Seen {
    let host = stage.plain()?;
    let before = resident(host.id())?;
    // All headers are the same sixteen bytes, and the body is the whole memory.
    let grow = "(drop (memory.grow (i32.const 900)))";
    let cases = [
        (
            "headers",
            "(i32.store16 (i32.const 1024) (i32.const 200)) (i32.store (i32.const 1028) (i32.const 65536))
             (i32.store (i32.const 1032) (i32.const 3600000)) (i32.const 1024)",
        ),
        (
            "body",
            "(i32.store16 (i32.const 1024) (i32.const 200)) (i32.store8 (i32.const 1036) (i32.const 2))
             (i32.store (i32.const 1040) (i32.const 0)) (i32.store (i32.const 1044) (i32.const 58000000)) (i32.const 1024)",
        ),
    ];
    let mut seen = Vec::new();
    for (name, body) in cases {
        let component = wasm::handler("", &format!("{grow} {body}"))?;
        let (status, head) = ask(stage, &format!("b20-{name}"), component)?;
        ensure!(status == 502 || status == 504, "{name}: {head}");
        seen.push(status);
    }
    let grown = resident(host.id())?.saturating_sub(before);
    ensure!(grown < 192 << 20, "{} MiB more", grown >> 20);
    Ok(format!("{seen:?}, {} MiB more", grown >> 20))
}
