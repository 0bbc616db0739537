//! Writes and reads HTTP/2 frame by frame, including invalid frames.

use std::net::SocketAddr;

use super::wire::Wire;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GO_AWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const ACK: u8 = 1;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// The error code CANCEL.
const CANCEL: u32 = 8;

/// A frame that the host sent.
#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// A connection after its preface, with an empty SETTINGS frame.
pub fn connect(address: SocketAddr) -> Wire {
    connect_with(address, &[])
}

/// A connection after its preface, with these settings.
pub fn connect_with(address: SocketAddr, settings: &[(u16, u32)]) -> Wire {
    let mut wire = Wire::connect(address).unwrap();
    wire.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    let settings = settings
        .iter()
        .flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat());
    wire.send(frame(SETTINGS, 0, 0, &settings.collect::<Vec<_>>()));
    wire
}

/// The bytes of a frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The head of a request.
pub fn request(stream: u32, method: &str, path: &str, flags: u8) -> Vec<u8> {
    frame(HEADERS, flags | END_HEADERS, stream, &head(method, path))
}

/// Header fields with literal names, shorter than 128 bytes.
pub fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    let field = |(name, value): &(&str, &str)| [vec![0], text(name), text(value)].concat();
    fields.iter().flat_map(field).collect()
}

/// A RST_STREAM frame.
pub fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes())
}

/// The fields of a request head in HPACK without a table: literals with indexed names.
pub fn head(method: &str, path: &str) -> Vec<u8> {
    let mut fields = vec![0x86];
    for (index, value) in [(1, "host"), (2, method), (4, path)] {
        fields.extend([index, u8::try_from(value.len()).unwrap()]);
        fields.extend(value.as_bytes());
    }
    fields
}

/// The next frame, or `None` if the connection has ended.
#[track_caller]
pub fn next(wire: &mut Wire) -> Option<Frame> {
    let head = wire.read(9)?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    Some(Frame {
        kind: head[3],
        flags: head[4],
        stream: u32::from_be_bytes([head[5], head[6], head[7], head[8]]),
        payload: wire.read(usize::try_from(length).unwrap())?,
    })
}

/// Reads frames up to the first of this kind with these flags.
#[track_caller]
pub fn read_past(wire: &mut Wire, kind: u8, flags: u8) -> Frame {
    loop {
        let frame = next(wire).expect("the connection ended before that");
        if frame.kind == kind && frame.flags & flags == flags {
            return frame;
        }
    }
}

/// All frames to the end of the connection. Panics if it does not end.
#[track_caller]
pub fn rest(mut wire: Wire) -> Vec<Frame> {
    std::iter::from_fn(|| next(&mut wire)).collect()
}
