//! Slow callers, which connect and then send hardly anything.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::precedence::Precedence;

/// The number of sockets from one source address.
const PER_ADDRESS: usize = 500;

/// The default pause between two bytes of a socket.
const PAUSE: Duration = Duration::from_secs(5);

/// The pause before a rejected socket reconnects.
const AGAIN: Duration = Duration::from_millis(50);

/// Sockets that are kept open. Each sends the head of a request byte by byte and never completes
/// it. A closed socket is opened again. Their start times are spread over one pause, as with
/// independent callers.
///
/// On loopback they use many source addresses (127.0.1.1 and on), like external callers.
#[derive(Clone, Debug)]
pub struct SlowSockets {
    address: SocketAddr,
    count: usize,
    pause: Duration,
}

/// Open sockets.
pub struct OpenSockets {
    stop: Arc<Notify>,
    open: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl SlowSockets {
    /// Creates `count` slow sockets.
    pub fn new(address: SocketAddr, count: usize) -> Self {
        Self {
            address,
            count,
            pause: PAUSE,
        }
    }

    /// Sets the pause between two bytes of a socket.
    #[must_use]
    pub fn pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// Opens them and keeps them open.
    pub fn start(self) -> std::io::Result<OpenSockets> {
        let (stop, open) = (Arc::new(Notify::new()), Arc::new(AtomicU64::new(0)));
        let (stopped, opened) = (stop.clone(), open.clone());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let thread = std::thread::Builder::new()
            .name("load-slow".to_owned())
            .spawn(move || {
                Precedence::Behind.apply();
                runtime.block_on(async {
                    let mut sockets = JoinSet::new();
                    for index in 0..self.count {
                        let (socket, opened) = (self.socket(index), opened.clone());
                        sockets.spawn(async move { socket.keep(&opened).await });
                    }
                    // The remaining tasks are aborted when the set is dropped.
                    stopped.notified().await;
                });
            })?;
        Ok(OpenSockets { stop, open, thread })
    }

    fn socket(&self, index: usize) -> Socket {
        #[expect(clippy::cast_precision_loss, reason = "a few thousand sockets")]
        let part = index as f64 / self.count as f64;
        Socket {
            address: self.address,
            index,
            begin: self.pause.mul_f64(part),
            pause: self.pause,
        }
    }
}

impl OpenSockets {
    /// The number of open sockets.
    pub fn open(&self) -> u64 {
        self.open.load(Ordering::Relaxed)
    }

    /// Closes them.
    pub fn stop(self) {
        self.stop.notify_one();
        // The thread only holds sockets, so its result is ignored.
        let _ = self.thread.join();
    }
}

struct Socket {
    address: SocketAddr,
    index: usize,
    begin: Duration,
    pause: Duration,
}

impl Socket {
    async fn keep(self, open: &AtomicU64) {
        tokio::time::sleep(self.begin).await;
        loop {
            if let Ok(stream) = self.connect().await {
                open.fetch_add(1, Ordering::Relaxed);
                self.drip(stream).await;
                open.fetch_sub(1, Ordering::Relaxed);
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Sends a byte of a head after each pause, until the server closes the socket.
    async fn drip(&self, mut stream: TcpStream) {
        let mut head = b"GET / HTTP/1.1\r\nx: "
            .iter()
            .copied()
            .chain(std::iter::repeat(b'x'));
        loop {
            match tokio::time::timeout(self.pause, stream.read(&mut [0])).await {
                // Nothing was received, as expected: send one more byte.
                Err(_) => {
                    let byte = head.next().unwrap_or(b'x');
                    if stream.write_all(&[byte]).await.is_err() {
                        return;
                    }
                }
                Ok(Ok(1..)) => {}
                Ok(_) => return,
            }
        }
    }

    async fn connect(&self) -> std::io::Result<TcpStream> {
        let socket = if self.address.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        if self.address.ip() == IpAddr::V4(Ipv4Addr::LOCALHOST) {
            let last = u8::try_from(self.index / PER_ADDRESS % 250 + 1).unwrap_or(1);
            socket.bind(SocketAddr::from((Ipv4Addr::new(127, 0, 1, last), 0)))?;
        }
        socket.connect(self.address).await
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn sockets_are_kept_open_and_opened_again() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let held = SlowSockets::new(address, 3)
            .pause(Duration::from_millis(10))
            .start()
            .unwrap();
        // The first three are closed at once; three more replace them.
        let first: Vec<_> = (0..3).map(|_| listener.accept().unwrap()).collect();
        assert!(first.iter().all(|(_, peer)| peer.ip().to_string() == "127.0.1.1"));
        drop(first);
        let second: Vec<_> = (0..3).map(|_| listener.accept().unwrap()).collect();
        while held.open() < 3 {
            std::thread::yield_now();
        }
        drop(listener);
        held.stop();
        drop(second);
    }
}
