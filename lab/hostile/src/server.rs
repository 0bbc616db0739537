//! A misbehaving server for plugins' outbound requests; the path selects the behaviour.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;

/// Longer than any client waits.
const NEVER: Duration = Duration::from_secs(300);

/// A server. It lasts as long as the process.
pub struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Request>>>,
}

/// A received request.
#[derive(Clone, Debug)]
pub struct Request {
    /// The client's port, which identifies the connection.
    pub peer: u16,
    /// The request without its body.
    pub head: String,
}

impl Server {
    /// Starts a server on a free port. Paths:
    ///
    /// - `/never` does not answer, `/half` stops in the middle of its head, `/drip` sends a byte
    ///   a second,
    /// - `/endless` has an endless body, `/bomb` one that would unpack to a gigabyte, `/headers`
    ///   a million fields,
    /// - `/redirect/URL` redirects to the URL, `/lengths` sends two lengths,
    /// - `/continues` sends endless informational responses, `/bytes` sends one-byte chunks,
    ///   `/trailers` endless trailers,
    /// - `/raw/DIGITS` sends the bytes of the hexadecimal digits, and closes,
    /// - any other path is answered with 200 and the head of the request.
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = seen.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let log = log.clone();
                std::thread::spawn(move || serve(stream, &log));
            }
        });
        Ok(Self { address, seen })
    }

    /// Its origin, with its IP address.
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A URL on the server.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin())
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The requests since the last call.
    pub fn seen(&self) -> Vec<Request> {
        std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn serve(mut stream: TcpStream, seen: &Mutex<Vec<Request>>) {
    let peer = stream.peer_addr().map_or(0, |address| address.port());
    let mut bytes = Vec::new();
    let mut part = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut part) {
        bytes.extend_from_slice(&part[..count]);
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
            continue;
        };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length")
                .then(|| value.trim().parse::<usize>().ok())?
        });
        let whole = end + 4 + length.unwrap_or(0);
        if bytes.len() < whole {
            continue;
        }
        bytes.drain(..whole);
        let request = Request {
            peer,
            head: head.clone(),
        };
        seen.lock().unwrap_or_else(PoisonError::into_inner).push(request);
        // If the client has gone, there is nobody to answer.
        if answer(&mut stream, &head).is_err() {
            return;
        }
    }
}

fn answer(stream: &mut TcpStream, head: &str) -> std::io::Result<()> {
    let path = head.split(' ').nth(1).unwrap_or_default();
    let (what, rest) = path
        .trim_start_matches('/')
        .split_once('/')
        .unwrap_or((path.trim_start_matches('/'), ""));
    match what {
        "never" => wait(stream),
        "half" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-")?;
            wait(stream)
        }
        "drip" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")?;
            for _ in 0..1_000 {
                stream.write_all(b"x")?;
                std::thread::sleep(Duration::from_secs(1));
            }
            Ok(())
        }
        "endless" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")?;
            let chunk = [b"10000\r\n".as_slice(), &[b'x'; 0x10000], b"\r\n"].concat();
            loop {
                stream.write_all(&chunk)?;
            }
        }
        "bomb" => {
            // A DEFLATE block that repeats one byte as often as a few kilobytes can express.
            let body = gzip_bomb();
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all(head.as_bytes())?;
            stream.write_all(&body)
        }
        "headers" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n")?;
            let fields = "a: b\r\n".repeat(10_000);
            for _ in 0..100 {
                stream.write_all(fields.as_bytes())?;
            }
            stream.write_all(b"content-length: 0\r\n\r\n")
        }
        "redirect" => {
            let answer = format!("HTTP/1.1 302 Found\r\nlocation: {rest}\r\ncontent-length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes())
        }
        "lengths" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nabc")
        }
        "continues" => without_end(stream, b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        "bytes" => without_end(stream, CHUNKED, b"1\r\nx\r\n"),
        "trailers" => without_end(stream, &[CHUNKED, b"0\r\n"].concat(), b"t: v\r\n"),
        "raw" => {
            let digits: Vec<u8> = rest.bytes().filter(u8::is_ascii_hexdigit).collect();
            let bytes = digits
                .chunks(2)
                .filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
            stream.write_all(&bytes.collect::<Vec<u8>>())?;
            stream.shutdown(std::net::Shutdown::Both)
        }
        _ => {
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\r\n{head}",
                head.len()
            );
            stream.write_all(answer.as_bytes())
        }
    }
}

/// The head of a response in chunks.
const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

/// Sends a head, and then repeats the same bytes until the client closes.
fn without_end(stream: &mut TcpStream, head: &[u8], repeated: &[u8]) -> std::io::Result<()> {
    let many = repeated.repeat(1_000);
    stream.write_all(head)?;
    loop {
        stream.write_all(&many)?;
    }
}

/// Waits until the client closes.
fn wait(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(NEVER))?;
    stream.read(&mut [0]).map(|_| ())
}

/// A gzip member of zeros, in a block with fixed codes in which each match of 258 bytes takes 13
/// bits.
fn gzip_bomb() -> Vec<u8> {
    let mut bits = Bits::default();
    bits.push(1, 1); // the last block
    bits.push(0b01, 2); // with fixed codes
    bits.push_code(0x30, 8); // the literal 0
    for _ in 0..100_000 {
        bits.push_code(0b1100_0101, 8); // length 258
        bits.push_code(0, 5); // distance 1
    }
    bits.push_code(0, 7); // the end
    [b"\x1f\x8b\x08\0\0\0\0\0\0\xff".as_slice(), &bits.bytes].concat()
}

#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    free: u32,
}

impl Bits {
    /// Writes a number, lowest bit first, as DEFLATE does.
    fn push(&mut self, value: u32, count: u32) {
        for bit in 0..count {
            if self.free == 0 {
                self.bytes.push(0);
                self.free = 8;
            }
            if let Some(last) = self.bytes.last_mut().filter(|_| value >> bit & 1 == 1) {
                *last |= 1 << (8 - self.free);
            }
            self.free -= 1;
        }
    }

    /// Writes a code, highest bit first, as DEFLATE does.
    fn push_code(&mut self, code: u32, count: u32) {
        for bit in (0..count).rev() {
            self.push(code >> bit & 1, 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_answers_and_remembers() {
        let server = Server::start().unwrap();
        let client = rig::http::Http::new(server.address);
        let reply = client.post("/hello", &serde_json::json!({ "a": 1 })).unwrap();
        assert!(
            reply.text().starts_with("POST /hello HTTP/1.1"),
            "{}",
            reply.text()
        );
        assert_eq!(
            client.get("/redirect/http://x/").unwrap().header("location"),
            "http://x/"
        );
        assert_eq!(server.seen().len(), 2);
        assert!(server.seen().is_empty());
    }

    #[test]
    fn bits_are_packed_as_deflate_has_them() {
        let mut bits = Bits::default();
        bits.push(1, 1);
        bits.push(0b01, 2);
        bits.push_code(0b10000, 5);
        assert_eq!(bits.bytes, [0b0000_1011]);
    }
}
