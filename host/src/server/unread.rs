//! Discards data that nobody reads: the rest of a body whose request has been answered.
//!
//! If a socket is closed while the caller's data is arriving, the kernel resets the connection, and
//! the reset destroys the response. Therefore a small rest is read and discarded, and the
//! connection continues (`Line::drain`).
//!
//! With a larger rest the response says `connection: close`, and the connection lingers: the host
//! sends no more, but reads and discards for a while (`linger`).
//!
//! HTTP/2 permits resetting an answered stream, but many clients lose the response if that happens
//! while they send. The rest of a body is therefore discarded there too, up to
//! [`MAX_DISCARDED_OF_A_STREAM`].

use std::net::Shutdown;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::Body as _;
use hyper::body::Incoming;
use socket2::SockRef;
use tokio::io::{AsyncRead as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use super::activity::{Activity, Order};
use super::receiving::Meter;

/// The largest rest of a body that is read so that the connection can continue.
const MAX_DRAINED_BYTES: u64 = 256 * 1024;

/// The most bytes to discard of an HTTP/2 stream before it is reset.
const MAX_DISCARDED_OF_A_STREAM: usize = 4 * 1024 * 1024;

/// The most bytes to discard before a connection is closed: the built-in ceiling of
/// `component_size`.
const MAX_LINGER_BYTES: usize = 64 * 1024 * 1024;

/// The bytes per read, and the reads before other connections on the thread continue.
const DISCARDED_AT_ONCE: usize = 16 * 1024;
const READS_IN_A_SLICE: u32 = 4;

/// The state that the stream of a connection and the bodies of its requests share.
pub struct Line {
    /// Counts the bytes that were read.
    pub meter: Meter,
    pub activity: Arc<Activity>,
    /// The body of the last request, if its handler did not read all of it.
    unread: Mutex<Option<Rest>>,
    /// Whether that body is being discarded.
    drains: AtomicBool,
    /// HTTP/2 bodies that are being discarded: at most one per stream of the connection.
    streams: Mutex<Vec<Discarded>>,
    /// Whether to keep reading the stream after the connection has ended.
    lingers: AtomicBool,
    stream: Mutex<Option<TcpStream>>,
}

/// The unread rest of an HTTP/1 body.
pub struct Rest {
    body: Incoming,
    /// Whether the caller sends the body only after `100 Continue`.
    is_held_back: bool,
}

/// The unread rest of an HTTP/2 body.
struct Discarded {
    body: Incoming,
    /// The bytes that may still be discarded.
    left: usize,
}

impl Rest {
    /// The unread rest of `body`.
    pub fn new(body: Incoming, is_held_back: bool) -> Self {
        Self { body, is_held_back }
    }

    /// Whether to read the rest to keep the connection: if it is small and on its way. A caller
    /// that waits for `100 Continue` would have to send a body that nobody needs.
    pub fn is_small(&self) -> bool {
        let length = self.body.size_hint().exact();
        !self.is_held_back && length.is_some_and(|length| length <= MAX_DRAINED_BYTES)
    }
}

impl Line {
    /// The shared state of a new connection.
    pub fn new(activity: Arc<Activity>) -> Self {
        Self {
            meter: Meter::default(),
            activity,
            unread: Mutex::default(),
            drains: AtomicBool::new(false),
            streams: Mutex::default(),
            lingers: AtomicBool::new(false),
            stream: Mutex::default(),
        }
    }

    /// Stores the unread rest of a request's body.
    pub fn leave_unread(&self, rest: Rest) {
        *locked(&self.unread) = Some(rest);
    }

    /// Takes the unread rest of the last request's body.
    pub fn take_unread(&self) -> Option<Rest> {
        locked(&self.unread).take()
    }

    /// Starts to discard a small rest, so that the next request can be read.
    pub fn drain(&self, rest: Rest) {
        self.activity.awaits_rest(Instant::now());
        *locked(&self.unread) = Some(rest);
        self.drains.store(true, Ordering::Relaxed);
        self.activity.wake();
    }

    /// Starts to discard the rest of an HTTP/2 body.
    pub fn discard(&self, body: Incoming) {
        locked(&self.streams).push(Discarded {
            body,
            left: MAX_DISCARDED_OF_A_STREAM,
        });
        self.activity.wake();
    }

    /// Discards the available data of bodies that nobody reads.
    pub fn poll_discard(&self, context: &mut Context<'_>) {
        locked(&self.streams).retain_mut(|stream| stream.is_under_way(&self.meter, context));
        self.poll_drain(context);
    }

    fn poll_drain(&self, context: &mut Context<'_>) {
        if !self.drains.load(Ordering::Relaxed) {
            return;
        }
        let mut unread = locked(&self.unread);
        while let Some(rest) = &mut *unread {
            match Pin::new(&mut rest.body).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => {
                    self.meter.useful(frame.data_ref().map_or(0, Bytes::len));
                }
                Poll::Ready(None | Some(Err(_))) => {
                    *unread = None;
                    self.drains.store(false, Ordering::Relaxed);
                    self.activity.has_rest(Instant::now());
                }
                Poll::Pending => {
                    self.activity.waits_for_body(context.waker());
                    return;
                }
            }
        }
    }

    /// Requests that the stream is read after the end of the connection.
    pub fn linger(&self) {
        self.lingers.store(true, Ordering::Relaxed);
        // Wakes the connection, which then notices that nobody reads the body.
        self.activity.wake();
    }

    /// Returns the stream at the end of the connection.
    pub fn give_back(&self, stream: TcpStream) {
        if self.lingers.load(Ordering::Relaxed) {
            *locked(&self.stream) = Some(stream);
        }
    }

    /// The stream of an ended connection, if it has to be read further.
    pub fn take_lingering(&self) -> Option<TcpStream> {
        locked(&self.stream).take()
    }
}

impl Discarded {
    /// Discards the available data. Returns whether more may arrive.
    fn is_under_way(&mut self, meter: &Meter, context: &mut Context<'_>) -> bool {
        loop {
            match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => {
                    let count = frame.data_ref().map_or(0, Bytes::len);
                    meter.useful(count);
                    self.left = self.left.saturating_sub(count);
                    if self.left == 0 {
                        // Dropping the body resets the stream. Data that its sender has already
                        // sent still arrives.
                        meter.leaves_unread(u64::MAX);
                        return false;
                    }
                }
                Poll::Ready(None | Some(Err(_))) => return false,
                Poll::Pending => return true,
            }
        }
    }
}

/// Reads and discards the data that still arrives on an ended connection, until the caller closes
/// it, for at most `time` and [`MAX_LINGER_BYTES`].
pub async fn linger(mut stream: TcpStream, activity: &Activity, time: Duration) {
    // The stream is already shut down, unless the connection ended with an error.
    let _ = SockRef::from(&stream).shutdown(Shutdown::Write);
    let mut end = std::pin::pin!(sleep(time));
    let mut scratch = vec![0; DISCARDED_AT_ONCE];
    let mut left = MAX_LINGER_BYTES;
    std::future::poll_fn(|context| {
        if activity.order(context.waker()) == Order::End || end.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        for _ in 0..READS_IN_A_SLICE {
            let mut buffer = ReadBuf::new(&mut scratch);
            match Pin::new(&mut stream).poll_read(context, &mut buffer) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(())) => {
                    let count = buffer.filled().len();
                    left = left.saturating_sub(count);
                    if count == 0 || left == 0 {
                        return Poll::Ready(());
                    }
                }
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (caller, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        (caller.unwrap(), accepted.unwrap().0)
    }

    fn activity() -> Activity {
        Activity::new(Instant::now())
    }

    #[tokio::test]
    async fn an_answer_survives_what_comes_after_it() {
        let (mut caller, mut host) = pair().await;
        host.write_all(b"the answer").await.unwrap();
        let activity = activity();
        let lingers = linger(host, &activity, Duration::from_secs(60));
        let calls = async move {
            caller.write_all(&vec![b'x'; 3 << 20]).await.unwrap();
            let mut answer = String::new();
            caller.read_to_string(&mut answer).await.unwrap();
            answer
        };
        let ((), answer) = tokio::join!(lingers, calls);
        assert_eq!(answer, "the answer");
    }

    #[tokio::test]
    async fn who_sends_without_end_is_read_up_to_a_bound() {
        let (mut caller, host) = pair().await;
        let activity = activity();
        let lingers = linger(host, &activity, Duration::from_secs(3_600));
        let calls = async move {
            let (piece, mut sent) = (vec![b'x'; 1 << 20], 0);
            while caller.write_all(&piece).await.is_ok() {
                sent += piece.len();
            }
            sent
        };
        let ((), sent) = tokio::join!(lingers, calls);
        // The buffers of the two sockets take some more.
        let bound = MAX_LINGER_BYTES - (1 << 20)..MAX_LINGER_BYTES + (32 << 20);
        assert!(bound.contains(&sent), "{sent}");
    }

    #[tokio::test]
    async fn who_is_silent_is_waited_for_no_longer_than_the_time() {
        let (_caller, host) = pair().await;
        let (began, time) = (Instant::now(), Duration::from_millis(20));
        linger(host, &activity(), time).await;
        assert!((time..Duration::from_secs(10)).contains(&began.elapsed()));
    }

    #[tokio::test]
    async fn who_makes_room_for_others_goes_at_once() {
        let (_caller, host) = pair().await;
        let activity = activity();
        activity.tell(Order::End);
        let lingers = linger(host, &activity, Duration::from_secs(3_600));
        tokio::time::timeout(Duration::from_secs(10), lingers)
            .await
            .expect("it does not wait for the caller");
    }
}
