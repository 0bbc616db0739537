//! Generates HTTP/2 streams: valid frames, and frames that are nearly valid.

use crate::chance::Chance;
use crate::failure::Failure;
use crate::input::Part;
use crate::target::Target;

use super::http1::{QUIET, exchange};

const PREFACE: &str = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(0).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A header field as a literal that is not indexed.
fn literal(name: &[u8], value: &[u8]) -> Vec<u8> {
    let length = |bytes: &[u8]| u8::try_from(bytes.len().min(126)).unwrap_or(0);
    [&[0x10, length(name)], name, &[length(value)], value].concat()
}

/// The head of a plain request.
fn head(path: &str) -> Vec<u8> {
    [
        vec![0x82, 0x86],
        literal(b":path", path.as_bytes()),
        literal(b":authority", b"x"),
    ]
    .concat()
}

/// Returns parts `write`: the preface, then frames.
pub fn generate(chance: &mut Chance) -> Vec<Part> {
    let mut parts = vec![Part::new("write").text(PREFACE)];
    let first = match chance.odds(1, 4) {
        true => settings(chance),
        false => Vec::new(),
    };
    parts.push(Part::new("write").bytes(frame(SETTINGS, 0, 0, &first)));
    let mut stream = 1;
    // In half of all inputs every frame is valid, however unusual.
    let is_allowed = chance.odds(1, 2);
    for _ in 0..chance.between(1, 12) {
        if chance.odds(2, 5) || is_allowed && chance.odds(1, 3) {
            let request = frame(
                HEADERS,
                END_STREAM | END_HEADERS,
                stream,
                &head("/standing/echo/x"),
            );
            parts.push(Part::new("write").bytes(request));
            stream += 2;
            continue;
        }
        if is_allowed {
            parts.push(Part::new("write").bytes(allowed(chance, &mut stream)));
            continue;
        }
        let mut bytes = odd(chance, &mut stream);
        if chance.odds(1, 6) {
            let at = chance.below(bytes.len());
            bytes[at] = chance.byte();
        }
        let part = Part::new("write");
        parts.push(match chance.odds(1, 10) {
            // Bytes that are not text cannot be repeated, so floods use frames that happen to be
            // text.
            true => part.times(
                chance.size(3_000),
                String::from_utf8_lossy(&frame(PING, 0, 0, b"12345678")),
            ),
            false => part.bytes(bytes),
        });
    }
    parts
}

fn settings(chance: &mut Chance) -> Vec<u8> {
    let mut payload = Vec::new();
    for _ in 0..chance.below(3) {
        let name = u16::try_from(chance.below(9)).unwrap_or(0);
        let value: u32 = [0, 1, 100, 16_384, 65_535, 1 << 20, u32::MAX][chance.below(7)];
        payload.extend(name.to_be_bytes());
        payload.extend(value.to_be_bytes());
    }
    payload
}

/// A valid but unusual frame.
fn allowed(chance: &mut Chance, stream: &mut u32) -> Vec<u8> {
    let length = chance.size(100);
    match chance.below(6) {
        0 => frame(PING, 0, 0, &chance.bytes(8)),
        1 => frame(PRIORITY, 0, *stream + 2, &[0, 0, 0, 0, chance.byte()]),
        2 => frame(WINDOW, 0, 0, &[0, 0, chance.byte(), 1]),
        3 => frame(SETTINGS, 0, 0, &[0, 4, 0, 0, chance.byte(), chance.byte()]),
        4 => frame(0x10 | chance.byte(), chance.byte(), 0, &chance.bytes(length)),
        _ => posted(chance, stream),
    }
}

/// A request whose body is sent in pieces.
fn posted(chance: &mut Chance, stream: &mut u32) -> Vec<u8> {
    let block = [vec![0x83], head("/standing/echo/x")[1..].to_vec()].concat();
    let mut frames = frame(HEADERS, END_HEADERS, *stream, &block);
    for _ in 0..chance.below(20) {
        let length = chance.size(300);
        frames.extend(frame(DATA, 0, *stream, &vec![b'x'; length]));
    }
    frames.extend(frame(DATA, END_STREAM, *stream, b"{}"));
    *stream += 2;
    frames
}

fn odd(chance: &mut Chance, stream: &mut u32) -> Vec<u8> {
    let id = match chance.below(6) {
        0 => 0,
        1 => 2,
        2 => u32::MAX >> 1,
        _ => *stream,
    };
    let flags = match chance.odds(2, 3) {
        true => END_HEADERS | u8::from(chance.odds(1, 2)),
        false => chance.byte(),
    };
    match chance.below(12) {
        0 => frame(DATA, flags, id, &chance.bytes(20)),
        1 | 2 => {
            *stream += 2;
            frame(HEADERS, flags, id, &odd_head(chance))
        }
        3 => frame(PRIORITY, 0, id, &chance.bytes(5)),
        4 => frame(RESET, 0, id, &8_u32.to_be_bytes()),
        5 => frame(SETTINGS, chance.byte() & 1, id & 1, &settings(chance)),
        6 => frame(PING, chance.byte() & 1, 0, &chance.bytes(8)),
        7 => frame(GOAWAY, 0, 0, &chance.bytes(8)),
        8 => frame(
            WINDOW,
            0,
            id,
            &[0_u32, 1, 1 << 30, u32::MAX][chance.below(4)].to_be_bytes(),
        ),
        9 => frame(CONTINUATION, flags, id, &odd_head(chance)),
        10 => posted(chance, stream),
        _ => {
            let length = chance.size(200);
            frame(chance.byte(), chance.byte(), id, &chance.bytes(length))
        }
    }
}

/// A request head with an oddity.
fn odd_head(chance: &mut Chance) -> Vec<u8> {
    let mut block = head("/standing/echo/x");
    match chance.below(10) {
        0 => block.extend(literal(b"connection", b"close")),
        1 => block.extend(literal(b"X-Upper", b"y")),
        2 => block.extend(literal(b":path", b"/good/echo/x")),
        3 => block.extend(literal(b"te", b"gzip")),
        4 => block.extend(literal(b"content-length", b"7")),
        // Endless indexes and integers, and a table that changes its size.
        5 => block.extend([0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]),
        6 => block.extend([0x3f, 0xe1, 0xff, 0x03]),
        7 => block.extend(literal(b"x", &chance.bytes(20))),
        8 => block.extend([0x40, 0x81, 0xff, 0x81, 0xff]),
        _ => block = chance.bytes(30),
    }
    block
}

/// Sends the frames and reads all responses. The input is accepted if a request was answered with
/// 200.
pub fn run(target: &Target, parts: &[Part]) -> Result<bool, Failure> {
    // The connection stays open, because the host does not answer on a closed one.
    let answer = exchange(target, parts, |mut wire| wire.read_while_it_comes(QUIET))?;
    Ok(answered(&answer))
}

/// Whether one of these frames is a response head with the status 200, which is index 8 of the
/// static table.
fn answered(mut bytes: &[u8]) -> bool {
    while let [a, b, c, kind, _, _, _, _, _, rest @ ..] = bytes {
        let length = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
        let payload = &rest[..length.min(rest.len())];
        // Changes of the table's size may precede it.
        let first = payload.iter().find(|byte| **byte & 0xe0 != 0x20);
        if *kind == HEADERS && first == Some(&0x88) {
            return true;
        }
        bytes = &rest[payload.len()..];
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_found_between_frames() {
        let bytes = [
            frame(SETTINGS, 0, 0, &[]),
            frame(HEADERS, 4, 1, &[0x88, 0x40]),
            frame(DATA, 1, 1, b"x"),
        ]
        .concat();
        assert!(answered(&bytes));
        assert!(!answered(&bytes[..9]));
        assert!(!answered(&frame(HEADERS, 4, 1, &[0x8d])));
    }
}
