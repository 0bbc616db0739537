//! An HTTP server that receives webhooks, keeps them, and answers as it is told.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;

/// A server. It lasts as long as the process.
pub struct Receiver {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

/// A received request.
#[derive(Clone, Debug)]
pub struct Received {
    /// Its path.
    pub path: String,
    /// Its headers, with names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Its body.
    pub body: String,
    /// The status with which the server answered it.
    pub status: u16,
}

struct State {
    status: u16,
    delay: Duration,
    seen: Vec<Received>,
}

impl Receiver {
    /// Starts a server on a free port of the loopback interface, which answers 204.
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let state = Arc::new(Mutex::new(State {
            status: 204,
            delay: Duration::ZERO,
            seen: Vec::new(),
        }));
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = shared.clone();
                std::thread::spawn(move || {
                    // A client that is gone needs no answer.
                    let _ = serve(stream, &shared);
                });
            }
        });
        Ok(Self { address, state })
    }

    /// A URL on the server.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Sets the status of the next answers.
    pub fn answer(&self, status: u16) {
        lock(&self.state).status = status;
    }

    /// Sets how long the next answers take.
    pub fn delay(&self, delay: Duration) {
        lock(&self.state).delay = delay;
    }

    /// The requests so far.
    pub fn seen(&self) -> Vec<Received> {
        lock(&self.state).seen.clone()
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Answers the requests of a connection.
fn serve(mut stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    while let Some(mut request) = read(&mut reader)? {
        let (status, delay) = {
            let mut state = lock(state);
            request.status = state.status;
            let answer = (state.status, state.delay);
            state.seen.push(request);
            answer
        };
        std::thread::sleep(delay);
        stream.write_all(format!("HTTP/1.1 {status} Answer\r\ncontent-length: 0\r\n\r\n").as_bytes())?;
    }
    Ok(())
}

/// Reads a request; `None` at the end of the connection.
fn read(reader: &mut BufReader<TcpStream>) -> std::io::Result<Option<Received>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let Some((name, value)) = line.trim().split_once(':') else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length: Option<u64> = headers
        .get("content-length")
        .and_then(|length| length.parse().ok());
    let mut body = Vec::new();
    reader.take(length.unwrap_or(0)).read_to_end(&mut body)?;
    Ok(Some(Received {
        path,
        headers,
        body: String::from_utf8_lossy(&body).into_owned(),
        status: 0,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Http;

    #[test]
    fn requests_are_kept_and_answered_as_told() {
        let receiver = Receiver::start().unwrap();
        let client = Http::new(receiver.address);
        let sent = serde_json::json!({ "a": 1 });
        assert_eq!(client.post("/hook", &sent).unwrap().status, 204);
        receiver.answer(503);
        assert_eq!(client.post("/hook", &sent).unwrap().status, 503);
        let seen = receiver.seen();
        assert_eq!(
            (seen[0].path.as_str(), seen[0].body.as_str()),
            ("/hook", r#"{"a":1}"#)
        );
        assert_eq!(seen[1].headers["content-type"], "application/json");
        assert_eq!([seen[0].status, seen[1].status], [204, 503]);
    }
}
