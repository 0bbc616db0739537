//! The limit on what a server may send for one response beyond its body.
//!
//! HTTP lets a server send much besides a body: informational responses, one-byte chunks, leading
//! zeros in a chunk size, extensions, trailers, empty TLS records. The socket counts all bytes
//! without parsing them. Each response has a fixed allowance of bytes and pieces, which grows with
//! each received byte of the body. If a server exceeds it, the request fails.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf, Take};

use crate::domain::units::as_u64;

/// Most bytes of a TLS handshake. Certificates are the largest part of it.
pub const HANDSHAKE_BYTES: u64 = 128 * 1024;

/// Most bytes before the body: the informational responses and the response head.
pub const HEAD_BYTES: u64 = 128 * 1024;

/// Bytes of a response besides its body, the head included. Each byte of the body allows one more.
pub const OVERHEAD_BYTES: u64 = 256 * 1024;

/// Most pieces of a handshake or a response: reads from the socket, or chunks.
pub const PIECES: u64 = 4_096;

/// Each such number of bytes of the body allows one more piece.
pub const BYTES_PER_PIECE: u64 = 256;

/// What a server sent too much of. The texts are shown to the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Excess {
    /// The TLS handshake is too long.
    #[error("the server sent {HANDSHAKE_BYTES} bytes without completing the TLS handshake")]
    Handshake,
    /// Too many bytes came before the body.
    #[error("the server sent {HEAD_BYTES} bytes of informational responses and heads before its response")]
    Head,
    /// More framing than body.
    #[error(
        "the response has more than {OVERHEAD_BYTES} bytes of headers, chunk framing and trailers \
         beyond the size of its body"
    )]
    Overhead,
    /// Too many small pieces.
    #[error(
        "the response came in too many reads or chunks (at most {PIECES} of each, and one more for each \
         {BYTES_PER_PIECE} bytes of its body); the server has to send larger ones"
    )]
    Pieces,
}

/// The remaining allowance of a connection. The socket counts reads; the reader of the response
/// raises the allowance.
#[derive(Debug)]
pub struct Allowance(Mutex<Count>);

/// A socket that returns no more than its allowance. A read beyond it is pending and registers no
/// waker, so the caller must call [`Allowance::check`] after each poll.
#[derive(Debug)]
pub struct Metered<S> {
    socket: Take<S>,
    allowance: Arc<Allowance>,
}

/// The result of [`Allowance::check`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// The allowance is not exceeded; wait for the server.
    Waits,
    /// A read was rejected, but the allowance has grown since. Poll the connection again.
    Goes,
}

#[derive(Debug)]
struct Count {
    phase: Excess,
    bytes: u64,
    allowed_bytes: u64,
    reads: u64,
    chunks: u64,
    body: u64,
    was_refused: bool,
}

impl Count {
    fn of(phase: Excess, allowed_bytes: u64) -> Self {
        Self {
            phase,
            bytes: 0,
            allowed_bytes,
            reads: 0,
            chunks: 0,
            body: 0,
            was_refused: false,
        }
    }

    /// Bytes that the next read may return; zero if no read is allowed.
    fn readable(&self) -> u64 {
        match self.reads < self.pieces() {
            true => self.allowed_bytes.saturating_sub(self.bytes),
            false => 0,
        }
    }

    fn pieces(&self) -> u64 {
        PIECES.saturating_add(self.body / BYTES_PER_PIECE)
    }
}

impl Allowance {
    /// The allowance of a new connection.
    pub fn for_handshake() -> Self {
        Self(Mutex::new(Count::of(Excess::Handshake, HANDSHAKE_BYTES)))
    }

    /// Starts counting the response to a new request.
    pub fn begin_response(&self) {
        *self.count() = Count::of(Excess::Head, HEAD_BYTES);
    }

    /// Records that the response head has arrived.
    pub fn begin_body(&self) {
        let mut count = self.count();
        count.phase = Excess::Overhead;
        count.allowed_bytes = OVERHEAD_BYTES;
    }

    /// Counts a piece of the body.
    pub fn received(&self, bytes: usize) -> Result<(), Excess> {
        let mut count = self.count();
        let bytes = as_u64(bytes);
        count.body = count.body.saturating_add(bytes);
        // The body itself, and as many bytes again.
        count.allowed_bytes = count.allowed_bytes.saturating_add(bytes.saturating_mul(2));
        count.chunks += 1;
        match count.chunks > count.pieces() {
            true => Err(Excess::Pieces),
            false => Ok(()),
        }
    }

    /// Whether a read was rejected since the last check, and still would be.
    pub fn check(&self) -> Result<Reading, Excess> {
        let mut count = self.count();
        if !std::mem::take(&mut count.was_refused) {
            return Ok(Reading::Waits);
        }
        if count.readable() > 0 {
            return Ok(Reading::Goes);
        }
        Err(match count.reads < count.pieces() {
            true => count.phase,
            false => Excess::Pieces,
        })
    }

    /// Returns the bytes that the next read may return. Remembers if there are none.
    fn take_readable(&self) -> u64 {
        let mut count = self.count();
        let readable = count.readable();
        count.was_refused = readable == 0;
        readable
    }

    fn count_read(&self, bytes: usize) {
        let mut count = self.count();
        count.reads += 1;
        count.bytes = count.bytes.saturating_add(as_u64(bytes));
    }

    fn count(&self) -> MutexGuard<'_, Count> {
        // The numbers are independent, so they are valid even after a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: AsyncRead> Metered<S> {
    /// Counts the bytes that `socket` receives.
    pub fn new(socket: S, allowance: Arc<Allowance>) -> Self {
        Self {
            socket: socket.take(0),
            allowance,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let readable = self.allowance.take_readable();
        if readable == 0 {
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        self.socket.set_limit(readable);
        ready!(Pin::new(&mut self.socket).poll_read(context, buffer))?;
        self.allowance.count_read(buffer.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(self.socket.get_mut()).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.socket.get_mut()).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.socket.get_mut()).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(self.socket.get_mut()).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.get_ref().is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    /// A socket that always has bytes, `piece` in each read.
    struct Endless {
        piece: usize,
    }

    impl AsyncRead for Endless {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let bytes = self.piece.min(buffer.remaining());
            buffer.initialize_unfilled_to(bytes).fill(b'x');
            buffer.advance(bytes);
            Poll::Ready(Ok(()))
        }
    }

    fn endless(piece: usize) -> (Metered<Endless>, Arc<Allowance>) {
        let allowance = Arc::new(Allowance::for_handshake());
        (Metered::new(Endless { piece }, allowance.clone()), allowance)
    }

    /// Reads until a read is pending. Returns the number of bytes.
    fn drain(socket: &mut Metered<Endless>) -> u64 {
        let mut bytes = 0;
        let mut buffer = [0; 8 * 1024];
        while let Some(read) = socket.read(&mut buffer).now_or_never() {
            bytes += as_u64(read.unwrap());
        }
        bytes
    }

    #[test]
    fn each_phase_gives_exactly_its_bytes() {
        let (mut socket, allowance) = endless(5_000);
        assert_eq!(drain(&mut socket), HANDSHAKE_BYTES);
        assert_eq!(allowance.check(), Err(Excess::Handshake));
        allowance.begin_response();
        assert_eq!(drain(&mut socket), HEAD_BYTES);
        assert_eq!(allowance.check(), Err(Excess::Head));
        allowance.begin_body();
        assert_eq!(drain(&mut socket), OVERHEAD_BYTES - HEAD_BYTES);
        assert_eq!(allowance.check(), Err(Excess::Overhead));
        allowance.received(1_000).unwrap();
        assert_eq!(drain(&mut socket), 2_000);
        assert_eq!(allowance.check(), Err(Excess::Overhead));
    }

    #[test]
    fn a_read_that_was_allowed_since_goes_on() {
        let (mut socket, allowance) = endless(5_000);
        assert_eq!(allowance.check(), Ok(Reading::Waits));
        drain(&mut socket);
        allowance.begin_response();
        assert_eq!(allowance.check(), Ok(Reading::Waits), "nothing was refused since");
        drain(&mut socket);
        allowance.begin_body();
        assert_eq!(allowance.check(), Ok(Reading::Goes));
        assert_eq!(allowance.check(), Ok(Reading::Waits));
    }

    #[test]
    fn small_pieces_are_counted_as_reads() {
        let (mut socket, allowance) = endless(1);
        allowance.begin_response();
        allowance.begin_body();
        assert_eq!(drain(&mut socket), PIECES);
        assert_eq!(allowance.check(), Err(Excess::Pieces));
        allowance.received(3 * 256).unwrap();
        assert_eq!(drain(&mut socket), 3);
        assert_eq!(allowance.check(), Err(Excess::Pieces));
    }

    #[test]
    fn small_chunks_are_counted_however_they_are_read() {
        let allowance = Allowance::for_handshake();
        allowance.begin_response();
        allowance.begin_body();
        let chunks = (0..).take_while(|_| allowance.received(1).is_ok()).count();
        assert_eq!(as_u64(chunks), PIECES + PIECES / (BYTES_PER_PIECE - 1));
        allowance.begin_response();
        let large = 0..100_000;
        assert!(large.into_iter().all(|_| allowance.received(256).is_ok()));
    }

    #[test]
    fn no_number_overflows() {
        let allowance = Allowance::for_handshake();
        for _ in 0..3 {
            allowance.received(usize::MAX).unwrap();
        }
        assert_eq!(allowance.check(), Ok(Reading::Waits));
    }
}
