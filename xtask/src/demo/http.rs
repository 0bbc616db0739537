//! A minimal HTTP client for the demo.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::steps::Result;

const TIMEOUT: Duration = Duration::from_secs(30);

/// A response of a host on this machine.
#[derive(Debug, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub body: String,
}

/// Sends one request with a key and reads the response.
pub fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    key: Option<&str>,
    body: &str,
) -> Result<Response> {
    let bearer = key.map(|key| format!("Bearer {key}"));
    let header = bearer.as_deref().map(|bearer| ("authorization", bearer));
    request_with(address, method, path, header, body)
}

/// Sends one request with a header and reads the response.
pub fn request_with(
    address: SocketAddr,
    method: &str,
    path: &str,
    header: Option<(&str, &str)>,
    body: &str,
) -> Result<Response> {
    let failed = |error: std::io::Error| format!("http://{address}{path}: {error}");
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT).map_err(failed)?;
    stream.set_read_timeout(Some(TIMEOUT)).map_err(failed)?;
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
    if let Some((name, value)) = header {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        head.push_str(&format!(
            "content-type: application/json\r\ncontent-length: {}\r\n",
            body.len()
        ));
    }
    stream
        .write_all(format!("{head}\r\n{body}").as_bytes())
        .map_err(failed)?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).map_err(failed)?;
    parse(&String::from_utf8_lossy(&bytes))
        .ok_or_else(|| format!("http://{address}{path}: this is not an HTTP response"))
}

fn parse(text: &str) -> Option<Response> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    Some(Response {
        status,
        body: body.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_read() {
        let response = parse("HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\n{}");
        assert_eq!(
            response,
            Some(Response {
                status: 201,
                body: "{}".to_owned()
            })
        );
        assert_eq!(parse("SSH-2.0-OpenSSH\r\n\r\n"), None);
    }
}
