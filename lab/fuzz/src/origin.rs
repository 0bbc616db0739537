//! The server for the plugins' outbound requests, which answers with the bytes of an input.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;

/// A connection that nobody uses for this long is closed.
const IDLE: Duration = Duration::from_secs(5);

/// The response to one request.
#[derive(Clone, Debug, Default)]
pub struct Script {
    /// The bytes to write, in order.
    pub writes: Vec<Vec<u8>>,
    /// The pause between two writes.
    pub pause: Duration,
    /// Whether the connection stays open afterwards.
    pub stays: bool,
}

/// The server. It lasts as long as the process.
pub struct Origin {
    address: SocketAddr,
    scripts: Arc<Mutex<HashMap<String, Script>>>,
}

impl Origin {
    /// Starts the server on a free port.
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let scripts: Arc<Mutex<HashMap<String, Script>>> = Arc::default();
        let shared = scripts.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let scripts = shared.clone();
                // A connection fails only if the host has closed it.
                std::thread::spawn(move || drop(serve(stream, &scripts)));
            }
        });
        Ok(Self { address, scripts })
    }

    /// Its origin.
    pub fn address(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sets the response to requests for `path`.
    pub fn set(&self, path: &str, script: Script) {
        self.scripts().insert(path.to_owned(), script);
    }

    /// Removes the response of a path.
    pub fn forget(&self, path: &str) {
        self.scripts().remove(path);
    }

    fn scripts(&self) -> std::sync::MutexGuard<'_, HashMap<String, Script>> {
        self.scripts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn serve(mut stream: TcpStream, scripts: &Mutex<HashMap<String, Script>>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(IDLE))?;
    stream.set_write_timeout(Some(IDLE))?;
    stream.set_nodelay(true)?;
    let mut received = Vec::new();
    let mut part = [0; 4096];
    loop {
        let count = stream.read(&mut part)?;
        if count == 0 {
            return Ok(());
        }
        received.extend_from_slice(&part[..count]);
        let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") else {
            continue;
        };
        let head = String::from_utf8_lossy(&received[..end]).into_owned();
        // Bodies are not parsed: the rest of a body is read as a request head, which has no script.
        received.clear();
        let path = head.split(' ').nth(1).unwrap_or_default();
        let found = scripts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(path)
            .cloned();
        let Some(script) = found else {
            stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")?;
            continue;
        };
        for (index, bytes) in script.writes.iter().enumerate() {
            if index > 0 && !script.pause.is_zero() {
                std::thread::sleep(script.pause);
            }
            stream.write_all(bytes)?;
        }
        if !script.stays {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_written_to_who_asks_for_it() {
        let origin = Origin::start().unwrap();
        let script = Script {
            writes: vec![
                b"HTTP/1.1 200 OK\r\n".to_vec(),
                b"content-length: 2\r\n\r\nhi".to_vec(),
            ],
            ..Script::default()
        };
        origin.set("/a", script);
        let client = rig::http::Http::new(origin.address);
        assert_eq!(client.get("/a").unwrap().text(), "hi");
        origin.forget("/a");
        assert_eq!(client.get("/a").unwrap().status, 404);
    }
}
