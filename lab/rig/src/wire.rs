//! A raw TCP connection, for tests that choose every byte.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

/// Longer than any configured timeout.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The connection.
pub struct Wire(TcpStream);

impl Wire {
    /// Connects.
    pub fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).context("a connection")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        Ok(Self(stream))
    }

    /// Sends these bytes. Returns false if the other side has closed.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.0.write_all(bytes.as_ref()).is_ok()
    }

    /// Closes the sending side.
    pub fn finish(&mut self) {
        // This fails if the other side has gone, which the next read reports.
        let _ = self.0.shutdown(Shutdown::Write);
    }

    /// Ends the connection with a reset, like a killed client.
    pub fn reset(self) {
        // This fails if the other side has gone already.
        let _ = socket2::SockRef::from(&self.0).set_linger(Some(Duration::ZERO));
    }

    /// Reads up to and including `end`, and returns everything.
    pub fn read_past(&mut self, end: &str) -> Result<String> {
        let mut bytes = Vec::new();
        let mut byte = [0];
        while !bytes.ends_with(end.as_bytes()) {
            match self.0.read(&mut byte) {
                Ok(1) => bytes.push(byte[0]),
                Ok(_) => bail!("it ended after {:?}", String::from_utf8_lossy(&bytes)),
                Err(error) => bail!("{error} after {:?}", String::from_utf8_lossy(&bytes)),
            }
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Reads this many bytes.
    pub fn read_exactly(&mut self, count: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        self.0.read_exact(&mut bytes).context("the rest of a message")?;
        Ok(bytes)
    }

    /// Reads until the connection is closed or nothing arrives for `timeout`.
    pub fn read_while_it_comes(&mut self, timeout: Duration) -> Result<Vec<u8>> {
        self.0.set_read_timeout(Some(timeout))?;
        let mut bytes = Vec::new();
        let mut part = [0; 4096];
        while let Ok(count @ 1..) = self.0.read(&mut part) {
            bytes.extend_from_slice(&part[..count]);
        }
        self.0.set_read_timeout(Some(TIMEOUT))?;
        Ok(bytes)
    }

    /// Reads to the end of the connection. A connection that is not closed is an error.
    pub fn rest(mut self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut part = [0; 4096];
        loop {
            match self.0.read(&mut part) {
                Ok(0) => return Ok(bytes),
                Ok(count) => bytes.extend_from_slice(&part[..count]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(bytes),
                Err(error) => bail!("the connection was not closed: {error}"),
            }
        }
    }

    /// Sends these bytes as one request. Returns the status and the whole response.
    pub fn exchange(address: SocketAddr, bytes: impl AsRef<[u8]>) -> Result<(u16, String)> {
        let mut wire = Self::connect(address)?;
        wire.send(bytes);
        let answer = String::from_utf8_lossy(&wire.rest()?).into_owned();
        Ok((status(&answer).unwrap_or(0), answer))
    }

    /// Whether the other side closes the connection within `timeout`.
    pub fn is_closed_within(&mut self, timeout: Duration) -> Result<bool> {
        self.0.set_read_timeout(Some(timeout))?;
        let read = self.0.read(&mut [0]);
        self.0.set_read_timeout(Some(TIMEOUT))?;
        Ok(match read {
            Ok(count) => count == 0,
            Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        })
    }
}

/// The status of an HTTP/1 response.
pub fn status(answer: &str) -> Option<u16> {
    answer
        .strip_prefix("HTTP/1.1 ")
        .or(answer.strip_prefix("HTTP/1.0 "))?
        .get(..3)?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read() {
        assert_eq!(
            status("HTTP/1.1 431 Request Header Fields Too Large\r\n"),
            Some(431)
        );
        assert_eq!(status(""), None);
    }
}
