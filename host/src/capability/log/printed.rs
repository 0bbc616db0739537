//! Collects a guest's standard output and standard error for its log.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

/// Collects what one instance prints. It keeps no more than the log's budget, because a guest can
/// print without end.
#[derive(Clone)]
pub struct PrintedLines {
    buffer: Arc<Mutex<Buffer>>,
    capacity: usize,
}

/// The collected output.
#[derive(Default)]
struct Buffer {
    kept: Vec<u8>,
    /// The number of dropped lines, without a last line that has not ended.
    dropped: u32,
    /// Whether the last dropped line has not ended.
    has_open_line: bool,
    /// Whether output was dropped.
    is_full: bool,
}

/// What a guest printed during one invocation.
pub(super) struct Printed {
    pub text: String,
    /// Lines that were not kept.
    pub dropped: u32,
    /// The text ends where the budget did.
    pub is_cut: bool,
}

/// Bytes that a guest may write at once.
const WRITTEN_AT_ONCE: usize = 64 * 1024;

impl PrintedLines {
    /// Keeps at most `capacity` bytes. Further output is accepted and dropped.
    pub fn new(capacity: usize) -> Self {
        Self {
            buffer: Arc::default(),
            capacity,
        }
    }

    /// What was printed since it was last taken. It is taken when an invocation ends, and so a line
    /// without a line feed ends there.
    pub(super) fn take(&self) -> Printed {
        let buffer = std::mem::take(&mut *self.buffer.lock().unwrap_or_else(PoisonError::into_inner));
        let text = String::from_utf8_lossy(&buffer.kept);
        let text = match buffer.is_full {
            // The rest of a character may not have been kept.
            true => text.trim_end_matches(char::REPLACEMENT_CHARACTER),
            false => &text,
        };
        Printed {
            text: text.to_owned(),
            dropped: buffer.dropped.saturating_add(buffer.has_open_line.into()),
            is_cut: buffer.is_full,
        }
    }

    /// Adds output. The guest controls its amount and its frequency.
    pub(super) fn print(&self, bytes: &[u8]) {
        let mut buffer = self.buffer.lock().unwrap_or_else(PoisonError::into_inner);
        let room = self.capacity.saturating_sub(buffer.kept.len());
        let (kept, forgotten) = bytes.split_at(bytes.len().min(room));
        buffer.kept.extend_from_slice(kept);
        let forgotten = match forgotten {
            // This line feed ends a line that was kept.
            [b'\n', rest @ ..] if !buffer.is_full => rest,
            forgotten => forgotten,
        };
        buffer.is_full |= kept.len() < bytes.len();
        if let Some(last) = forgotten.last() {
            buffer.has_open_line = *last != b'\n';
        }
        let lines = forgotten.iter().filter(|byte| **byte == b'\n').count();
        buffer.dropped = buffer
            .dropped
            .saturating_add(u32::try_from(lines).unwrap_or(u32::MAX));
    }
}

impl IsTerminal for PrintedLines {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for PrintedLines {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    /// Writes directly. Wasmtime's own stream would start a task for each stream that a guest
    /// opens.
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl Pollable for PrintedLines {
    async fn ready(&mut self) {}
}

impl OutputStream for PrintedLines {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if bytes.len() > WRITTEN_AT_ONCE {
            return Err(StreamError::trap("the write exceeds the permitted size"));
        }
        self.print(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITTEN_AT_ONCE)
    }
}

impl AsyncWrite for PrintedLines {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.print(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
