//! What comes from a caller: read in turns with other connections, and only as long as it is for requests.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Bytes that a connection reads before others on its thread have their turn. Of the smallest frames of HTTP/2 these
/// are nearly a thousand; without a bound, a caller who sends them quickly keeps the thread for as long as it likes.
const TURN_BYTES: usize = 8 * 1024;

/// Bytes that are neither the beginning nor the body of a request: pings, settings, priorities. A body that nobody has
/// read yet looks the same, so this is more than the windows of a connection.
const MAX_NOISE_BYTES: usize = 2 * 1024 * 1024;

/// Bytes around a request or a part of its body: its frame, its line, and what the protocol says because of it.
const OVERHEAD_BYTES: usize = 512;

/// How much a connection has read. Shared by its stream and its requests.
#[derive(Debug, Default)]
pub struct Meter {
    turn: AtomicUsize,
    noise: AtomicUsize,
}

impl Meter {
    /// The connection has its turn.
    pub fn turn(&self) {
        self.turn.store(0, Ordering::Relaxed);
    }

    /// As much of what was read was for a request.
    pub fn useful(&self, count: usize) {
        let less = |noise: usize| Some(noise.saturating_sub(count + OVERHEAD_BYTES));
        // Nothing is refused here, so this cannot fail.
        let _ = self
            .noise
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    fn is_turn_over(&self) -> bool {
        self.turn.load(Ordering::Relaxed) >= TURN_BYTES
    }

    fn read(&self, count: usize) -> io::Result<()> {
        self.turn.fetch_add(count, Ordering::Relaxed);
        if self.noise.fetch_add(count, Ordering::Relaxed) + count > MAX_NOISE_BYTES {
            return Err(io::Error::other("it sends what belongs to no request"));
        }
        Ok(())
    }
}

/// The stream of a connection.
pub struct Receiving {
    stream: TcpStream,
    meter: Arc<Meter>,
}

/// The body of a request on the connection.
pub struct ReceivingBody {
    body: Incoming,
    meter: Arc<Meter>,
}

impl Receiving {
    /// The stream, counted by `meter`.
    pub fn new(stream: TcpStream, meter: Arc<Meter>) -> Self {
        Self { stream, meter }
    }
}

impl ReceivingBody {
    /// The body, counted by `meter`.
    pub fn new(body: Incoming, meter: Arc<Meter>) -> Self {
        Self { body, meter }
    }
}

impl AsyncRead for Receiving {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.meter.is_turn_over() {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        Poll::Ready(self.meter.read(buffer.filled().len() - before))
    }
}

impl AsyncWrite for Receiving {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl http_body::Body for ReceivingBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &frame {
            self.meter.useful(frame.data_ref().map_or(0, Bytes::len));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_sends_nothing_but_noise_is_not_read_for_ever() {
        let meter = Meter::default();
        meter.read(MAX_NOISE_BYTES).unwrap();
        meter.useful(1_000);
        meter.read(1_000 + OVERHEAD_BYTES).unwrap();
        assert!(meter.read(1).is_err());
    }

    #[test]
    fn who_sends_requests_is_read_for_ever() {
        let meter = Meter::default();
        for _ in 0..2 * MAX_NOISE_BYTES / TURN_BYTES {
            meter.read(TURN_BYTES).unwrap();
            meter.useful(TURN_BYTES);
        }
    }

    #[test]
    fn a_turn_ends_after_its_bytes() {
        let meter = Meter::default();
        meter.read(TURN_BYTES - 1).unwrap();
        assert!(!meter.is_turn_over());
        meter.read(1).unwrap();
        assert!(meter.is_turn_over());
        meter.turn();
        assert!(!meter.is_turn_over());
    }
}
