//! A raw TCP connection, for tests that write every byte.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::SockRef;

/// Longer than any configured timeout.
const TIMEOUT: Duration = Duration::from_secs(20);

/// The connection.
pub struct Wire(TcpStream);

impl Wire {
    pub fn connect(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        Ok(Self(stream))
    }

    /// Sends these bytes. Returns false if the other side has closed.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.0.write_all(bytes.as_ref()).is_ok()
    }

    /// Closes the sending side.
    pub fn finish(&mut self) {
        self.0.shutdown(Shutdown::Write).unwrap();
    }

    /// Ends the connection with a reset, like a killed client.
    pub fn reset(self) {
        SockRef::from(&self.0).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Reads up to and including `end`, and returns everything.
    #[track_caller]
    pub fn read_past(&mut self, end: &str) -> String {
        let mut text = String::new();
        let mut byte = [0];
        while !text.ends_with(end) {
            let read = self
                .0
                .read(&mut byte)
                .unwrap_or_else(|error| panic!("{error} after {text:?}"));
            assert_eq!(read, 1, "it ended after {text:?}");
            text.push(byte[0].into());
        }
        text
    }

    /// Reads this many bytes, or returns `None` if the connection ends. Panics if neither happens.
    #[track_caller]
    pub fn read(&mut self, count: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; count];
        match self.0.read_exact(&mut bytes) {
            Ok(()) => Some(bytes),
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset
                ) =>
            {
                None
            }
            Err(error) => panic!("{error}: neither bytes nor an end"),
        }
    }

    /// Clones the connection, so that one thread can read while another one sends.
    pub fn share(&self) -> Self {
        Self(self.0.try_clone().unwrap())
    }

    /// Reads to the end of the connection. Panics if it is not closed.
    #[track_caller]
    pub fn rest(mut self) -> String {
        let mut bytes = Vec::new();
        let mut part = [0; 4096];
        loop {
            match self.0.read(&mut part) {
                Ok(0) => break,
                Ok(count) => bytes.extend_from_slice(&part[..count]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
                Err(error) => panic!("{error}: it was not closed"),
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Whether the other side closes the connection within `timeout`.
    pub fn is_closed_within(&mut self, timeout: Duration) -> bool {
        self.0.set_read_timeout(Some(timeout)).unwrap();
        let read = self.0.read(&mut [0]);
        self.0.set_read_timeout(Some(TIMEOUT)).unwrap();
        match read {
            Ok(count) => count == 0,
            Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        }
    }
}
