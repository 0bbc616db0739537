//! G17 to G22: invalid single HTTP/2 frames.

use std::time::Duration;

use anyhow::{Result, ensure};
use rig::host::Host;
use rig::process::resident;
use rig::wire::Wire;

use crate::catalogue::{Row, Seen};
use crate::stage::{Stage, WithGoodTenant as _};

pub const ROWS: [Row; 6] = [
    Row {
        id: "G17",
        tried: "HTTP/2: settings of wrong lengths and values",
        run: g17,
    },
    Row {
        id: "G18",
        tried: "HTTP/2: windows of zero, overflowing, of no stream",
        run: g18,
    },
    Row {
        id: "G19",
        tried: "HTTP/2: heads with missing, doubled and late pseudo fields",
        run: g19,
    },
    Row {
        id: "G20",
        tried: "HTTP/2: HPACK with indexes, sizes and integers that lead nowhere",
        run: g20,
    },
    Row {
        id: "G21",
        tried: "HTTP/2: frames on streams that are closed, idle, even or zero",
        run: g21,
    },
    Row {
        id: "G22",
        tried: "HTTP/2: lengths that lie, padding beyond the frame, unknown kinds",
        run: g22,
    },
];

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
pub const RESET: u8 = 3;
pub const SETTINGS: u8 = 4;
const PUSH: u8 = 5;
pub const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW: u8 = 8;
pub const CONTINUATION: u8 = 9;

/// The flags of a frame: END_STREAM, END_HEADERS and PADDED.
const END: u8 = 1;
const WHOLE: u8 = 4;
const PADDED: u8 = 8;

/// A frame of HTTP/2.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(0).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

fn literal(name: &[u8], value: &[u8]) -> Vec<u8> {
    let length = |bytes: &[u8]| u8::try_from(bytes.len()).unwrap_or(0);
    [&[0x10, length(name)], name, &[length(value)], value].concat()
}

/// The head of `GET /good/echo/x` as HPACK literals, without a table.
pub fn head_block() -> Vec<u8> {
    [
        vec![0x82, 0x86],
        literal(b":path", b"/good/echo/x"),
        literal(b":authority", b"x"),
    ]
    .concat()
}

fn get(stream: u32) -> Vec<u8> {
    frame(HEADERS, END | WHOLE, stream, &head_block())
}

/// The host's response: the kinds of its frames, and the first byte of each head.
struct Answer {
    kinds: Vec<u8>,
    statuses: Vec<u8>,
}

/// The silence after which no further data is expected: a response takes milliseconds.
const QUIET: Duration = Duration::from_millis(300);

/// The status 200 in HPACK's static table.
const OK: u8 = 0x88;

fn send(host: &Host, frames: &[Vec<u8>]) -> Result<Answer> {
    let mut wire = Wire::connect(host.public)?;
    wire.send(PREFACE);
    wire.send(frame(SETTINGS, 0, 0, &[]));
    for frame in frames {
        wire.send(frame);
    }
    // The connection stays open, because the host does not answer on a closed one.
    let bytes = wire.read_while_it_comes(QUIET)?;
    let mut answer = Answer {
        kinds: Vec::new(),
        statuses: Vec::new(),
    };
    let mut rest = bytes.as_slice();
    while let [a, b, c, kind, _, _, _, _, _, payload @ ..] = rest {
        let length = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
        let payload_length = length.min(payload.len());
        answer.kinds.push(*kind);
        if *kind == HEADERS {
            // A change of the table's size may come first.
            let first = payload[..payload_length]
                .iter()
                .find(|byte| **byte & 0xe0 != 0x20);
            answer.statuses.extend(first);
        }
        rest = &payload[payload_length..];
    }
    Ok(answer)
}

/// Sends each of these alone: none is answered with 200, and the host reports an error or closes.
fn all_refused(stage: &Stage, cases: &[(&str, Vec<Vec<u8>>)]) -> Seen {
    let host = stage.plain()?;
    let before = resident(host.id())?;
    let (mut goaway, mut reset) = (0, 0);
    for (name, frames) in cases {
        let answer = send(host, frames)?;
        ensure!(!answer.statuses.contains(&OK), "{name} was served");
        goaway += usize::from(answer.kinds.contains(&GOAWAY));
        reset += usize::from(answer.kinds.contains(&RESET));
    }
    host.serves_the_good_tenant()?;
    let grown = resident(host.id())?.saturating_sub(before);
    ensure!(grown < 32 << 20, "{grown} bytes more");
    Ok(format!(
        "{} tried, none served: {goaway} connections and {reset} streams ended by name",
        cases.len()
    ))
}

fn setting(name: u16, value: u32) -> Vec<u8> {
    [name.to_be_bytes().as_slice(), &value.to_be_bytes()].concat()
}

fn g17(stage: &Stage) -> Seen {
    let cases = [
        ("a length that is no multiple", frame(SETTINGS, 0, 0, &[0; 5])),
        ("an acknowledgement with content", frame(SETTINGS, 1, 0, &[0; 6])),
        ("settings of a stream", frame(SETTINGS, 0, 1, &[])),
        ("push of 2", frame(SETTINGS, 0, 0, &setting(2, 2))),
        (
            "a window beyond 2^31",
            frame(SETTINGS, 0, 0, &setting(4, u32::MAX)),
        ),
        ("frames of 0 bytes", frame(SETTINGS, 0, 0, &setting(5, 0))),
        ("frames of 4 GiB", frame(SETTINGS, 0, 0, &setting(5, u32::MAX))),
    ];
    let cases = cases.map(|(name, bytes)| (name, vec![bytes, get(1)]));
    all_refused(stage, &cases)
}

fn g18(stage: &Stage) -> Seen {
    let update = |stream, by: u32| frame(WINDOW, 0, stream, &by.to_be_bytes());
    let most = (1_u32 << 31) - 1;
    let cases = [
        ("an update of zero", vec![update(0, 0), get(1)]),
        (
            "an update that overflows",
            vec![update(0, most), update(0, most), get(1)],
        ),
        (
            "an update of three bytes",
            vec![frame(WINDOW, 0, 0, &[0, 0, 1]), get(1)],
        ),
        ("an update of an idle stream", vec![update(7, 1), get(1)]),
    ];
    all_refused(stage, &cases)
}

fn g19(stage: &Stage) -> Seen {
    let (method, scheme) = (vec![0x82_u8], vec![0x86_u8]);
    let path = literal(b":path", b"/good/echo/x");
    let authority = literal(b":authority", b"x");
    let whole = head_block();
    let with = |more: Vec<u8>| [whole.clone(), more].concat();
    let heads = [
        (
            "no method",
            [scheme.clone(), path.clone(), authority.clone()].concat(),
        ),
        (
            "no path",
            [method.clone(), scheme.clone(), authority.clone()].concat(),
        ),
        (
            "an empty path",
            [
                method.clone(),
                scheme.clone(),
                literal(b":path", b""),
                authority.clone(),
            ]
            .concat(),
        ),
        ("two paths", with(literal(b":path", b"/good/echo/y"))),
        ("two methods", with(vec![0x83])),
        (
            "a pseudo field behind a field",
            [
                method.clone(),
                scheme,
                literal(b"a", b"b"),
                path.clone(),
                authority,
            ]
            .concat(),
        ),
        ("a status", with(literal(b":status", b"200"))),
        ("an unknown pseudo field", with(literal(b":tenant", b"good"))),
        ("an upper case name", with(literal(b"Abc", b"d"))),
        ("connection", with(literal(b"connection", b"close"))),
        (
            "transfer-encoding",
            with(literal(b"transfer-encoding", b"chunked")),
        ),
        ("a line feed in a value", with(literal(b"a", b"b\nc"))),
        ("a zero byte in a value", with(literal(b"a", b"b\0c"))),
        ("a blank in a name", with(literal(b"a b", b"c"))),
        ("no name", with(literal(b"", b"c"))),
        (
            "a line feed in the path",
            [
                method,
                vec![0x86],
                literal(b":path", b"/good/echo/x\r\n"),
                literal(b":authority", b"x"),
            ]
            .concat(),
        ),
    ];
    let cases = heads.map(|(name, block)| (name, vec![frame(HEADERS, END | WHOLE, 1, &block)]));
    all_refused(stage, &cases)
}

fn g20(stage: &Stage) -> Seen {
    let whole = head_block();
    let with = |more: &[u8]| [whole.as_slice(), more].concat();
    let heads = [
        ("the index 0", with(&[0x80])),
        ("an index beyond the table", with(&[0xff, 0x80, 0x01])),
        (
            "an integer without an end",
            with(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        ),
        (
            "an integer that overflows",
            with(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]),
        ),
        ("a literal that is cut", with(&[0x10, 5, b'a'])),
        (
            "a length beyond the block",
            with(&[0x10, 1, b'a', 0x7f, 0xff, 0x7f]),
        ),
        (
            "a table of 4 GiB",
            [&[0x3f, 0xe1, 0xff, 0xff, 0xff, 0x0f], whole.as_slice()].concat(),
        ),
        ("a change of the table behind a field", with(&[0x20])),
        (
            "Huffman codes with the end in them",
            with(&[0x10, 1, b'a', 0x84, 0xff, 0xff, 0xff, 0xff]),
        ),
    ];
    let cases = heads.map(|(name, block)| (name, vec![frame(HEADERS, END | WHOLE, 1, &block)]));
    all_refused(stage, &cases)
}

fn g21(stage: &Stage) -> Seen {
    let block = head_block();
    let cases = [
        ("a head on stream 0", vec![frame(HEADERS, END | WHOLE, 0, &block)]),
        (
            "a head on an even stream",
            vec![frame(HEADERS, END | WHOLE, 2, &block)],
        ),
        ("a body on stream 0", vec![frame(DATA, END, 0, b"x"), get(1)]),
        (
            "a body on an idle stream",
            vec![frame(DATA, END, 5, b"x"), get(7)],
        ),
        (
            "a reset of an idle stream",
            vec![frame(RESET, 0, 5, &[0, 0, 0, 8]), get(7)],
        ),
        ("a reset of three bytes", vec![frame(RESET, 0, 1, &[0, 0, 8])]),
        (
            "a promise of the caller's",
            vec![frame(PUSH, WHOLE, 1, &block), get(3)],
        ),
        (
            "a continuation of nothing",
            vec![frame(CONTINUATION, WHOLE, 1, &block), get(3)],
        ),
        (
            "a body within a head",
            vec![frame(HEADERS, END, 1, &block), frame(DATA, END, 1, b"x")],
        ),
        (
            "another stream within a head",
            vec![frame(HEADERS, END, 1, &block), get(3)],
        ),
        ("a ping of a stream", vec![frame(PING, 0, 1, &[0; 8]), get(3)]),
        ("a ping of seven bytes", vec![frame(PING, 0, 0, &[0; 7]), get(1)]),
        (
            "a farewell of a stream",
            vec![frame(GOAWAY, 0, 1, &[0; 8]), get(3)],
        ),
        (
            "a priority on stream 0",
            vec![frame(PRIORITY, 0, 0, &[0; 5]), get(1)],
        ),
    ];
    all_refused(stage, &cases)
}

fn g22(stage: &Stage) -> Seen {
    let post = |length: &[u8]| {
        let block = [
            vec![0x83],
            head_block()[1..].to_vec(),
            literal(b"content-length", length),
        ]
        .concat();
        frame(HEADERS, WHOLE, 1, &block)
    };
    let cases = [
        (
            "more than was announced",
            vec![post(b"2"), frame(DATA, END, 1, b"abc")],
        ),
        (
            "less than was announced",
            vec![post(b"9"), frame(DATA, END, 1, b"abc")],
        ),
        (
            "padding beyond the frame",
            vec![post(b"1"), frame(DATA, END | PADDED, 1, &[9, b'x'])],
        ),
        (
            "padding of a head beyond it",
            vec![frame(
                HEADERS,
                END | WHOLE | PADDED,
                1,
                &[[200].as_slice(), &head_block()].concat(),
            )],
        ),
        (
            "a frame beyond the agreed size",
            vec![post(b"20000"), frame(DATA, END, 1, &[b'x'; 20_000])],
        ),
        (
            "a head that depends on itself",
            vec![frame(
                HEADERS,
                END | WHOLE | 0x20,
                1,
                &[[0, 0, 0, 1, 0].as_slice(), &head_block()].concat(),
            )],
        ),
    ];
    let seen = all_refused(stage, &cases)?;
    // Unknown kinds are skipped.
    let host = stage.plain()?;
    let answer = send(host, &[frame(0xbe, 0xff, 0, b"what is this"), get(1)])?;
    ensure!(
        answer.statuses.contains(&OK),
        "an unknown kind ended the connection"
    );
    Ok(format!("{seen}; an unknown kind is skipped"))
}
