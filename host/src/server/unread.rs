//! What a caller sends that nobody reads: the rest of a body whose request is answered already.
//!
//! A socket that is closed while bytes of the caller are on their way is reset by the kernel, and
//! the reset destroys the answer. So a small rest is read and discarded, and the connection goes on
//! (`Line::drain`). With a larger one the answer says `connection: close`, and the connection
//! lingers: the host sends no more, but reads and discards for a while (`linger`).
//!
//! By HTTP/2 a stream that is answered may be reset, but many clients lose the answer if it is
//! reset while they send. So the rest of a body is read and discarded there too, up to
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

/// A rest of a body up to this is read, so that the connection can go on.
const MAX_DRAINED_BYTES: u64 = 256 * 1024;

/// Bytes that are discarded of one stream of HTTP/2 before it is reset.
const MAX_DISCARDED_OF_A_STREAM: usize = 4 * 1024 * 1024;

/// Bytes that are discarded before a connection is closed: as many as the built-in ceiling of
/// `component_size`.
const MAX_LINGER_BYTES: usize = 64 * 1024 * 1024;

/// Bytes that are discarded at once, and how often before others on the thread have their turn.
const DISCARDED_AT_ONCE: usize = 16 * 1024;
const READS_IN_A_TURN: u32 = 4;

/// What the stream of a connection and the bodies of its requests share.
pub struct Line {
    /// How much was read.
    pub meter: Meter,
    /// What the connection is doing.
    pub activity: Arc<Activity>,
    /// The body of the last request, where its handler left some of it.
    unread: Mutex<Option<Rest>>,
    /// Whether that is being discarded.
    drains: AtomicBool,
    /// Bodies by HTTP/2 that are being discarded: at most as many as a connection has streams.
    streams: Mutex<Vec<Discarded>>,
    /// Whether the stream is still read once the connection has ended.
    lingers: AtomicBool,
    stream: Mutex<Option<TcpStream>>,
}

/// The rest of the body of a request by HTTP/1.
pub struct Rest {
    body: Incoming,
    /// Whether the caller waits with it until the host asks for it (`expect: 100-continue`).
    is_held_back: bool,
}

/// The rest of a body by HTTP/2.
struct Discarded {
    body: Incoming,
    /// Bytes that may still come.
    left: usize,
}

impl Rest {
    /// What is left of `body`.
    pub fn new(body: Incoming, is_held_back: bool) -> Self {
        Self { body, is_held_back }
    }

    /// Whether it is worth to read it, to keep the connection: it is small and on its way. A caller
    /// that waits to be asked for it would have to be asked in vain.
    pub fn is_small(&self) -> bool {
        let length = self.body.size_hint().exact();
        !self.is_held_back && length.is_some_and(|length| length <= MAX_DRAINED_BYTES)
    }
}

impl Line {
    /// The line of a connection.
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

    /// A handler has left this of its request's body.
    pub fn leave_unread(&self, rest: Rest) {
        *locked(&self.unread) = Some(rest);
    }

    /// What the handler of the last request has left of its body.
    pub fn take_unread(&self) -> Option<Rest> {
        locked(&self.unread).take()
    }

    /// Discards a small rest, so that the next request can be read.
    pub fn drain(&self, rest: Rest) {
        self.activity.awaits_rest(Instant::now());
        *locked(&self.unread) = Some(rest);
        self.drains.store(true, Ordering::Relaxed);
        self.activity.wake();
    }

    /// Discards the rest of a body by HTTP/2.
    pub fn discard(&self, body: Incoming) {
        locked(&self.streams).push(Discarded {
            body,
            left: MAX_DISCARDED_OF_A_STREAM,
        });
        self.activity.wake();
    }

    /// Discards what has come of what nobody reads.
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

    /// Has the stream read after the end of the connection.
    pub fn linger(&self) {
        self.lingers.store(true, Ordering::Relaxed);
        // The connection learns that nobody reads the body when it is looked at again.
        self.activity.wake();
    }

    /// The connection has no more use for its stream.
    pub fn give_back(&self, stream: TcpStream) {
        if self.lingers.load(Ordering::Relaxed) {
            *locked(&self.stream) = Some(stream);
        }
    }

    /// The stream of a connection that has ended, if it is still to be read.
    pub fn take_lingering(&self) -> Option<TcpStream> {
        locked(&self.stream).take()
    }
}

impl Discarded {
    /// Discards what has come. Whether more may come.
    fn is_under_way(&mut self, meter: &Meter, context: &mut Context<'_>) -> bool {
        loop {
            match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => {
                    let count = frame.data_ref().map_or(0, Bytes::len);
                    meter.useful(count);
                    self.left = self.left.saturating_sub(count);
                    if self.left == 0 {
                        // It is dropped, which resets the stream. What its sender has under way still comes.
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

/// Reads and discards what still comes on a connection that has ended: until the caller closes it
/// too, for `time` or up to [`MAX_LINGER_BYTES`].
pub async fn linger(mut stream: TcpStream, activity: &Activity, time: Duration) {
    // It has been shut down already, unless the connection ended by an error.
    let _ = SockRef::from(&stream).shutdown(Shutdown::Write);
    let mut end = std::pin::pin!(sleep(time));
    let mut scratch = vec![0; DISCARDED_AT_ONCE];
    let mut left = MAX_LINGER_BYTES;
    std::future::poll_fn(|context| {
        if activity.order(context.waker()) == Order::End || end.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        for _ in 0..READS_IN_A_TURN {
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
