//! What comes from a caller: read in turns with other connections, and only as long as it is for requests.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::connection::{CONNECTION_WINDOW, STREAM_WINDOW};
use super::half_closed::HalfClosed;
use super::unread::{Line, Rest};

/// Bytes that a connection reads before others on its thread have their turn. Of the smallest frames of HTTP/2 these
/// are nearly a thousand; without a bound, a caller who sends them quickly keeps the thread for as long as it likes.
const TURN_BYTES: usize = 8 * 1024;

/// Bytes that are neither the beginning nor the body of a request: pings, settings, priorities. A body that nobody has
/// read yet looks the same, so this is more than the windows of a connection.
const MAX_NOISE_BYTES: usize = 2 * 1024 * 1024;

/// Bytes around a request or a part of its body: its frame, its line, and what the protocol says because of it.
const OVERHEAD_BYTES: usize = 512;

/// A body by HTTP/2 that nobody reads comes on until its sender learns of that: as much of it as
/// its window has room for, and of all such bodies, as much as that of the connection has.
const MAX_UNREAD_OF_A_BODY: u64 = STREAM_WINDOW as u64;
const MAX_UNREAD_BYTES: usize = CONNECTION_WINDOW as usize;

/// How much a connection has read. Shared by its stream and its requests.
#[derive(Debug, Default)]
pub struct Meter {
    turn: AtomicUsize,
    noise: AtomicUsize,
    /// Bytes of bodies that may still come though nobody reads them.
    unread: AtomicUsize,
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

    /// Nobody reads a body of which so many bytes may have come or still come: they are no noise.
    pub fn leaves_unread(&self, bytes: u64) {
        let bytes = usize::try_from(bytes.min(MAX_UNREAD_OF_A_BODY)).unwrap_or(usize::MAX);
        // Neither refuses anything, so they cannot fail.
        let less = |noise: usize| Some(noise.saturating_sub(bytes));
        let before = self
            .noise
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        let to_come = bytes.saturating_sub(before.unwrap_or(0));
        let more = |unread: usize| Some((unread + to_come).min(MAX_UNREAD_BYTES));
        let _ = self
            .unread
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }

    fn is_turn_over(&self) -> bool {
        self.turn.load(Ordering::Relaxed) >= TURN_BYTES
    }

    fn read(&self, count: usize) -> io::Result<()> {
        self.turn.fetch_add(count, Ordering::Relaxed);
        let count = match self.unread.load(Ordering::Relaxed) {
            0 => count,
            unread => {
                let passed_over = unread.min(count);
                self.unread.fetch_sub(passed_over, Ordering::Relaxed);
                count - passed_over
            }
        };
        if self.noise.fetch_add(count, Ordering::Relaxed) + count > MAX_NOISE_BYTES {
            return Err(io::Error::other("it sends what belongs to no request"));
        }
        Ok(())
    }
}

/// The stream of a connection.
pub struct Receiving {
    /// Until it is given back.
    stream: Option<TcpStream>,
    line: Arc<Line>,
    half_closed: Option<HalfClosed>,
}

/// The body of a request on the connection.
pub struct ReceivingBody {
    /// Until it is given back.
    body: Option<Incoming>,
    line: Arc<Line>,
    is_http1: bool,
    /// Whether the caller waits with it until the host asks for it.
    is_held_back: bool,
    has_ended: bool,
}

impl Receiving {
    /// The stream of this line.
    pub fn new(stream: TcpStream, line: Arc<Line>) -> Self {
        Self {
            stream: Some(stream),
            line,
            half_closed: None,
        }
    }

    fn stream(&mut self) -> Pin<&mut TcpStream> {
        let stream = self.stream.as_mut();
        Pin::new(stream.expect("the stream is taken out only when this is dropped"))
    }

    /// The caller sends nothing more. While a request that has come whole is under way, this is no
    /// end of the connection, unless it is reset.
    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.line.activity.half_closes() {
            return Poll::Ready(Ok(()));
        }
        if self.half_closed.is_none() {
            let stream = self.stream.as_ref();
            let stream = stream.expect("the stream is taken out only when this is dropped");
            self.half_closed = Some(HalfClosed::new(stream)?);
        }
        match &mut self.half_closed {
            Some(half_closed) => half_closed.poll_reset(context).map(Err),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        if let Some(stream) = self.stream.take() {
            self.line.give_back(stream);
        }
    }
}

impl ReceivingBody {
    /// The body, which comes over `line`. `is_held_back`: the caller waits with it until the host
    /// asks for it.
    pub fn new(body: Incoming, line: Arc<Line>, is_http1: bool, is_held_back: bool) -> Self {
        Self {
            body: Some(body),
            line,
            is_http1,
            is_held_back,
            has_ended: false,
        }
    }
}

impl Drop for ReceivingBody {
    /// What is left of it decides whether the connection can go on.
    fn drop(&mut self) {
        if let Some(body) = self.body.take()
            && !self.has_ended
            && !body.is_end_stream()
        {
            match self.is_http1 {
                true => self.line.leave_unread(Rest::new(body, self.is_held_back)),
                false => self.line.discard(body),
            }
        }
    }
}

impl AsyncRead for Receiving {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.line.meter.is_turn_over() {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        ready!(self.stream().poll_read(context, buffer))?;
        match buffer.filled().len() - before {
            0 => self.poll_end(context),
            count => {
                self.line.activity.bytes_came();
                Poll::Ready(self.line.meter.read(count))
            }
        }
    }
}

impl AsyncWrite for Receiving {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(context)
    }
}

impl http_body::Body for ReceivingBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.is_held_back = false;
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let Poll::Ready(frame) = Pin::new(body).poll_frame(context) else {
            if self.is_http1 {
                self.line.activity.waits_for_body(context.waker());
            }
            return Poll::Pending;
        };
        match &frame {
            Some(Ok(frame)) => self.line.meter.useful(frame.data_ref().map_or(0, Bytes::len)),
            // After an error the connection does not go on, and nothing more of the body comes.
            None | Some(Err(_)) => self.has_ended = true,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map_or_else(SizeHint::default, Incoming::size_hint)
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
    fn bodies_that_nobody_reads_are_no_noise_as_far_as_their_windows() {
        let meter = Meter::default();
        for _ in 0..20 {
            // A part of it has come before it was refused, and the rest comes after.
            meter.read(100_000).unwrap();
            meter.leaves_unread(200_000);
            meter.read(100_000).unwrap();
        }
        assert_eq!((meter.noise.into_inner(), meter.unread.into_inner()), (0, 0));
        let meter = Meter::default();
        for _ in 0..100 {
            meter.leaves_unread(u64::MAX);
        }
        meter.read(MAX_UNREAD_BYTES + MAX_NOISE_BYTES).unwrap();
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
