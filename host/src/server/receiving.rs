//! Reads from a caller in slices, so that other connections get their share, and ends a connection
//! that sends no useful data.

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

/// The bytes that a connection may read before other connections on its thread continue. They hold
/// nearly a thousand of HTTP/2's smallest frames. Without this bound, a caller that sends such
/// frames quickly could occupy the thread.
const SLICE_BYTES: usize = 8 * 1024;

/// The most bytes that belong to no request: pings, settings, priorities. Bytes of a body that is
/// not read yet count as well, so the limit exceeds the windows of a connection.
const MAX_NOISE_BYTES: usize = 2 * 1024 * 1024;

/// The overhead of a request or of a part of its body: frames, lines, and control messages that
/// they cause.
const OVERHEAD_BYTES: usize = 512;

/// The sender of an HTTP/2 body that nobody reads continues until it is told to stop. It sends up
/// to the window of the stream, and all streams together up to the window of the connection.
const MAX_UNREAD_OF_A_BODY: u64 = STREAM_WINDOW as u64;
const MAX_UNREAD_BYTES: usize = CONNECTION_WINDOW as usize;

/// Counts the bytes that a connection has read. Shared by its stream and its requests.
#[derive(Debug, Default)]
pub struct Meter {
    slice: AtomicUsize,
    noise: AtomicUsize,
    /// Bytes of discarded bodies that may still arrive.
    unread: AtomicUsize,
}

impl Meter {
    /// Starts a new slice of reading.
    pub fn begin_slice(&self) {
        self.slice.store(0, Ordering::Relaxed);
    }

    /// Records that `count` of the bytes belonged to a request.
    pub fn useful(&self, count: usize) {
        let less = |noise: usize| Some(noise.saturating_sub(count + OVERHEAD_BYTES));
        // The closure always returns a value, so this cannot fail.
        let _ = self
            .noise
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// Records that a body is discarded, of which `bytes` may have arrived or may still arrive.
    /// They do not count as useless.
    pub fn leaves_unread(&self, bytes: u64) {
        let bytes = usize::try_from(bytes.min(MAX_UNREAD_OF_A_BODY)).unwrap_or(usize::MAX);
        // The closures always return a value, so these updates cannot fail.
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

    fn is_slice_over(&self) -> bool {
        self.slice.load(Ordering::Relaxed) >= SLICE_BYTES
    }

    fn read(&self, count: usize) -> io::Result<()> {
        self.slice.fetch_add(count, Ordering::Relaxed);
        let count = match self.unread.load(Ordering::Relaxed) {
            0 => count,
            unread => {
                let passed_over = unread.min(count);
                self.unread.fetch_sub(passed_over, Ordering::Relaxed);
                count - passed_over
            }
        };
        if self.noise.fetch_add(count, Ordering::Relaxed) + count > MAX_NOISE_BYTES {
            return Err(io::Error::other(
                "the caller sent too many bytes that belong to no request",
            ));
        }
        Ok(())
    }
}

/// The stream of a connection, with its byte counts.
pub struct Receiving {
    /// `None` only while this is dropped.
    stream: Option<TcpStream>,
    line: Arc<Line>,
    half_closed: Option<HalfClosed>,
}

/// The body of a request on the connection.
pub struct ReceivingBody {
    /// `None` only while this is dropped.
    body: Option<Incoming>,
    line: Arc<Line>,
    is_http1: bool,
    /// Whether the caller sends the body only after `100 Continue`.
    is_held_back: bool,
    has_ended: bool,
}

impl Receiving {
    /// A stream that reports to `line`.
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

    /// Handles the end of the caller's data. While a completely received request is in progress,
    /// this is not the end of the connection, unless the connection is reset.
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
    /// A body that arrives over `line`. `is_held_back`: the caller sends it only after `100
    /// Continue`.
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
    /// Passes on the unread rest of the body, which decides whether the connection can continue.
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
        if self.line.meter.is_slice_over() {
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
            // After an error the connection ends, and no more of the body arrives.
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
            // Half of the body arrives before it is discarded, the other half afterwards.
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
        for _ in 0..2 * MAX_NOISE_BYTES / SLICE_BYTES {
            meter.read(SLICE_BYTES).unwrap();
            meter.useful(SLICE_BYTES);
        }
    }

    #[test]
    fn a_turn_ends_after_its_bytes() {
        let meter = Meter::default();
        meter.read(SLICE_BYTES - 1).unwrap();
        assert!(!meter.is_slice_over());
        meter.read(1).unwrap();
        assert!(meter.is_slice_over());
        meter.begin_slice();
        assert!(!meter.is_slice_over());
    }
}
