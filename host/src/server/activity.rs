//! Tracks the requests of one connection, and decides when a timeout ends the connection.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http::Version;
use tokio::time::Instant;

/// The most requests that a caller may abandon, minus those that it completed. In HTTP/2 a caller
/// can start and reset requests endlessly, which costs the host more than the caller (rapid reset).
const MAX_ABANDONED: u32 = 100;

/// The timeouts of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// The time for the head of a request, from its first byte or from the start of the connection.
    /// Also the time for the rest of an answered request's body, and for remaining work after the
    /// connection was asked to end.
    pub header: Duration,
    /// The time until the next request of an HTTP/1.1 connection begins.
    pub keep_alive: Duration,
    /// The time until an HTTP/2 connection without requests is asked to end.
    pub idle: Duration,
    /// The time until the caller has read the next piece of a response.
    pub write: Duration,
    /// The time until a connection takes no more requests, however busy it is.
    pub age: Duration,
}

/// An instruction to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Order {
    Serve = 0,
    /// Serve requests, and announce with the next HTTP/1.1 response that it is the last one.
    Announce = 1,
    /// Finish the requests in progress, and accept no new ones.
    Finish = 2,
    /// End at once.
    End = 3,
}

/// The state of one connection. Shared by the connection, its requests, and the listener's table.
pub struct Activity {
    order: AtomicU8,
    waker: AtomicWaker,
    /// Bytes have arrived since the last call of [`note_part`](Self::note_part).
    has_come: AtomicBool,
    /// An HTTP/1 request is in progress, or the rest of its body is being discarded.
    is_under_way: AtomicBool,
    /// The caller has half-closed the connection.
    is_half_closed: AtomicBool,
    /// The caller has half-closed the connection although a body is incomplete.
    lacks_bytes: AtomicBool,
    /// The task that reads a body.
    reader: AtomicWaker,
    state: Mutex<State>,
}

struct State {
    opened: Instant,
    /// A short list: HTTP/1.1 has one request at a time, HTTP/2 one per stream.
    requests: Vec<UnderWay>,
    next_id: u64,
    idle_since: Instant,
    /// When the next head began to arrive, or the wait for the rest of a body began.
    part_since: Option<Instant>,
    protocol: Protocol,
    asked_lately: bool,
    abandoned: u32,
}

/// The protocol of the connection, as far as its requests have shown it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    /// No request has arrived yet.
    Unknown,
    /// HTTP/1.0 or HTTP/1.1, where only a response can announce the end of the connection.
    Http1,
    /// HTTP/2, where the host can ask the caller at any time to end the connection.
    Http2,
}

struct UnderWay {
    id: u64,
    /// Pieces of the response that were handed out and not sent yet.
    pieces: u32,
    /// When a piece was last handed out or sent.
    moved: Instant,
}

/// A request in progress, from its head until the last byte of its response is sent or it is
/// abandoned.
pub struct Ticket {
    activity: Arc<Activity>,
    id: u64,
    is_done: AtomicBool,
}

impl Activity {
    pub fn new(now: Instant) -> Self {
        Self {
            order: AtomicU8::new(Order::Serve as u8),
            waker: AtomicWaker::new(),
            has_come: AtomicBool::new(false),
            is_under_way: AtomicBool::new(false),
            is_half_closed: AtomicBool::new(false),
            lacks_bytes: AtomicBool::new(false),
            reader: AtomicWaker::new(),
            state: Mutex::new(State {
                opened: now,
                requests: Vec::new(),
                next_id: 0,
                idle_since: now,
                part_since: None,
                protocol: Protocol::Unknown,
                asked_lately: false,
                abandoned: 0,
            }),
        }
    }

    /// Gives the connection an order, from any thread. Orders only become stricter.
    pub fn tell(&self, order: Order) {
        self.order.fetch_max(order as u8, Ordering::AcqRel);
        self.waker.wake();
    }

    /// The current order. `waker` is woken when it changes.
    pub fn order(&self, waker: &Waker) -> Order {
        self.waker.register(waker);
        match self.order.load(Ordering::Acquire) {
            0 => Order::Serve,
            1 => Order::Announce,
            2 => Order::Finish,
            _ => Order::End,
        }
    }

    /// Whether the next response is the last one of the connection.
    pub fn is_last_answer(&self) -> bool {
        self.order.load(Ordering::Acquire) >= Order::Announce as u8
    }

    /// Wakes the connection's task.
    pub fn wake(&self) {
        self.waker.wake();
    }

    /// Records that the connection only lingers until the caller has seen its last response. Such a
    /// connection is the first to make room for others.
    pub fn lingers(&self) {
        self.state().asked_lately = false;
    }

    pub fn bytes_came(&self) {
        self.has_come.store(true, Ordering::Relaxed);
    }

    /// Records when the next head began to arrive, if the last bytes did not complete a request.
    pub fn note_part(&self, now: impl FnOnce() -> Instant) {
        if self.has_come.load(Ordering::Relaxed) {
            self.has_come.store(false, Ordering::Relaxed);
            let mut state = self.state();
            if state.requests.is_empty() && state.part_since.is_none() {
                state.part_since = Some(now());
            }
        }
    }

    /// Records that the rest of an answered request's body is awaited.
    pub fn awaits_rest(&self, now: Instant) {
        self.state().part_since = Some(now);
    }

    /// Records that the rest of the body has arrived. The next bytes belong to another request.
    pub fn has_rest(&self, now: Instant) {
        self.has_come.store(false, Ordering::Relaxed);
        let mut state = self.state();
        (state.part_since, state.idle_since) = (None, now);
        let is_under_way = !state.requests.is_empty();
        drop(state);
        self.is_under_way.store(is_under_way, Ordering::SeqCst);
    }

    /// Records that the caller has half-closed the connection. Returns true if the connection stays
    /// open: for the response to a complete request, or to find out whether the request is
    /// complete. The connection is woken when that changes.
    pub fn half_closes(&self) -> bool {
        if !self.is_half_closed.swap(true, Ordering::SeqCst) {
            self.reader.wake();
        }
        self.is_under_way.load(Ordering::SeqCst) && !self.lacks_bytes.load(Ordering::SeqCst)
    }

    /// Records that the reader of a body waits for more data. `waker` is woken if the caller
    /// half-closes the connection.
    pub fn waits_for_body(&self, waker: &Waker) {
        self.reader.register(waker);
        if self.is_half_closed.load(Ordering::SeqCst) && !self.lacks_bytes.swap(true, Ordering::SeqCst) {
            self.wake();
        }
    }

    /// Records a new request of this HTTP version.
    pub fn begin(self: &Arc<Self>, now: Instant, version: Version) -> Ticket {
        self.has_come.store(false, Ordering::Relaxed);
        self.is_under_way
            .store(version < Version::HTTP_2, Ordering::SeqCst);
        let mut state = self.state();
        state.part_since = None;
        state.protocol = match version >= Version::HTTP_2 {
            true => Protocol::Http2,
            false => Protocol::Http1,
        };
        let id = state.next_id;
        state.next_id += 1;
        state.requests.push(UnderWay {
            id,
            pieces: 0,
            moved: now,
        });
        Ticket {
            activity: self.clone(),
            id,
            is_done: AtomicBool::new(false),
        }
    }

    /// The order that follows from the timeouts, and the time of the next check.
    pub fn check(&self, now: Instant, timeouts: &Timeouts) -> (Order, Instant) {
        let state = self.state();
        let too_old = state.opened + timeouts.age;
        let (order, next) = if state.requests.is_empty() {
            state.without_requests(now, timeouts)
        } else {
            state.with_requests(now, timeouts)
        };
        // A head may begin as soon as the current request ends, so the next check must come before
        // that head is overdue.
        let next = next.min(now + timeouts.header);
        if now < too_old {
            return (order, next.min(too_old));
        }
        // An HTTP/1 caller may have sent its next request already, and would lose it. The end is
        // announced with a response instead.
        let due = match state.protocol {
            Protocol::Http1 => Order::Announce,
            Protocol::Unknown | Protocol::Http2 => Order::Finish,
        };
        self.order.fetch_max(due as u8, Ordering::AcqRel);
        (order.max(due), next)
    }

    /// Whether the connection can make room for another one: it has no request, and had none since
    /// the last call.
    pub fn can_go(&self) -> bool {
        let mut state = self.state();
        let asked_lately = std::mem::take(&mut state.asked_lately);
        state.requests.is_empty() && !asked_lately
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn without_requests(&self, now: Instant, timeouts: &Timeouts) -> (Order, Instant) {
        let end = match (self.protocol, self.part_since) {
            // The caller has sent nothing, or only a part of a head or of an HTTP/2 preface, or
            // frames without a request.
            (Protocol::Unknown, _) => Some(self.idle_since + timeouts.header),
            (Protocol::Http1, Some(since)) => Some(since + timeouts.header),
            (Protocol::Http1, None) => Some(self.idle_since + timeouts.keep_alive),
            (Protocol::Http2, _) => None,
        };
        if let Some(end) = end {
            return if now >= end {
                (Order::End, end)
            } else {
                (Order::Serve, end)
            };
        }
        let finish = self.idle_since + timeouts.idle;
        let end = finish + timeouts.header;
        if now >= end {
            (Order::End, end)
        } else if now >= finish {
            (Order::Finish, end)
        } else {
            (Order::Serve, finish)
        }
    }

    fn with_requests(&self, now: Instant, timeouts: &Timeouts) -> (Order, Instant) {
        let waiting = self.requests.iter().filter(|request| request.pieces > 0);
        match waiting.map(|request| request.moved + timeouts.write).min() {
            Some(due) if now >= due => (Order::End, due),
            Some(due) => (Order::Serve, due),
            // A piece that is handed out later is due later than this.
            None => (Order::Serve, now + timeouts.write),
        }
    }
}

impl Ticket {
    /// Records that the whole response was handed out. A request whose caller leaves before this
    /// counts as abandoned.
    pub fn done(&self) {
        self.is_done.store(true, Ordering::Relaxed);
    }

    /// A piece of the response that is tracked until the connection has sent and dropped it.
    pub fn piece(self: &Arc<Self>, bytes: Bytes) -> Bytes {
        self.moved(|pieces| pieces + 1);
        Bytes::from_owner(Piece {
            bytes,
            ticket: self.clone(),
        })
    }

    fn moved(&self, pieces: impl Fn(u32) -> u32) {
        let now = Instant::now();
        let mut state = self.activity.state();
        if let Some(request) = state.requests.iter_mut().find(|request| request.id == self.id) {
            request.pieces = pieces(request.pieces);
            request.moved = now;
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let now = Instant::now();
        let mut state = self.activity.state();
        state.requests.retain(|request| request.id != self.id);
        (state.idle_since, state.asked_lately) = (now, true);
        if state.part_since.is_some() {
            state.part_since = Some(now);
        }
        let is_over = state.requests.is_empty() && state.part_since.is_none();
        state.abandoned = if *self.is_done.get_mut() {
            state.abandoned.saturating_sub(1)
        } else {
            state.abandoned + 1
        };
        let is_too_much = state.abandoned > MAX_ABANDONED;
        drop(state);
        if is_over {
            self.activity.is_under_way.store(false, Ordering::SeqCst);
            if self.activity.is_half_closed.load(Ordering::SeqCst) {
                self.activity.wake();
            }
        }
        if is_too_much {
            self.activity.tell(Order::End);
        }
    }
}

/// A tracked piece of a response.
struct Piece {
    bytes: Bytes,
    ticket: Arc<Ticket>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.ticket.moved(|pieces| pieces.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUTS: Timeouts = Timeouts {
        header: Duration::from_secs(10),
        keep_alive: Duration::from_secs(75),
        idle: Duration::from_secs(60),
        write: Duration::from_secs(30),
        age: Duration::from_secs(3_600),
    };

    fn opened() -> (Arc<Activity>, Instant) {
        let now = Instant::now();
        (Arc::new(Activity::new(now)), now)
    }

    fn after(activity: &Activity, start: Instant, seconds: u64) -> Order {
        activity.check(start + Duration::from_secs(seconds), &TIMEOUTS).0
    }

    #[test]
    fn who_asks_for_nothing_has_the_time_of_a_head() {
        let (activity, start) = opened();
        assert_eq!(
            activity.check(start, &TIMEOUTS),
            (Order::Serve, start + TIMEOUTS.header)
        );
        assert_eq!(after(&activity, start, 9), Order::Serve);
        assert_eq!(after(&activity, start, 10), Order::End);
    }

    #[test]
    fn who_asks_no_more_is_asked_to_finish_and_then_shown_out() {
        let (activity, start) = opened();
        let ticket = activity.begin(start, Version::HTTP_2);
        ticket.done();
        drop(ticket);
        // The ticket was dropped a moment after the start.
        assert_eq!(after(&activity, start, 59), Order::Serve);
        assert_eq!(after(&activity, start, 61), Order::Finish);
        assert_eq!(after(&activity, start, 69), Order::Finish);
        assert_eq!(after(&activity, start, 71), Order::End);
    }

    fn served(activity: &Arc<Activity>, start: Instant, version: Version) {
        let ticket = activity.begin(start, version);
        ticket.done();
    }

    #[test]
    fn by_http_1_the_next_request_has_the_time_of_an_idle_connection() {
        let (activity, start) = opened();
        served(&activity, start, Version::HTTP_11);
        // The ticket was dropped a moment after the start.
        assert_eq!(after(&activity, start, 74), Order::Serve);
        assert_eq!(after(&activity, start, 76), Order::End);
    }

    #[test]
    fn by_http_1_a_head_that_has_begun_has_the_time_of_a_head() {
        let (activity, start) = opened();
        served(&activity, start, Version::HTTP_11);
        let begun = start + Duration::from_secs(60);
        activity.bytes_came();
        activity.note_part(|| begun);
        // Further bytes do not extend the time.
        activity.bytes_came();
        activity.note_part(|| begun + Duration::from_secs(9));
        assert_eq!(after(&activity, start, 69), Order::Serve);
        assert_eq!(after(&activity, start, 70), Order::End);
        // However long a request takes, the next check comes before the following head is overdue.
        let ticket = activity.begin(start, Version::HTTP_11);
        let (order, next) = activity.check(start + Duration::from_secs(3_000), &TIMEOUTS);
        assert_eq!((order, next), (Order::Serve, start + Duration::from_secs(3_010)));
        drop(ticket);
        assert_eq!(after(&activity, start, 74), Order::Serve);
    }

    #[test]
    fn the_rest_of_a_body_has_the_time_of_a_head_and_then_the_connection_is_idle() {
        let (activity, start) = opened();
        let ticket = activity.begin(start, Version::HTTP_11);
        activity.awaits_rest(start);
        drop(ticket);
        assert_eq!(after(&activity, start, 9), Order::Serve);
        assert_eq!(after(&activity, start, 11), Order::End);
        activity.has_rest(start);
        assert_eq!(after(&activity, start, 74), Order::Serve);
        assert_eq!(after(&activity, start, 75), Order::End);
    }

    #[test]
    fn who_sends_no_more_is_waited_for_while_its_response_is_under_way() {
        let (activity, start) = opened();
        assert!(!activity.half_closes(), "there is no request");
        let ticket = activity.begin(start, Version::HTTP_11);
        assert!(activity.half_closes());
        drop(ticket);
        assert!(!activity.half_closes());
        let _ticket = activity.begin(start, Version::HTTP_2);
        assert!(!activity.half_closes(), "an end by HTTP/2 is one");
    }

    #[test]
    fn who_sends_no_more_of_a_body_is_not_waited_for() {
        let (activity, start) = opened();
        let _ticket = activity.begin(start, Version::HTTP_11);
        activity.waits_for_body(Waker::noop());
        // The reader of the body finds out whether a part of it is missing.
        assert!(activity.half_closes());
        activity.waits_for_body(Waker::noop());
        assert!(!activity.half_closes());
    }

    #[test]
    fn a_request_may_take_as_long_as_its_handler_and_its_stream() {
        let (activity, start) = opened();
        let ticket = Arc::new(activity.begin(start, Version::HTTP_2));
        assert_eq!(after(&activity, start, 3_000), Order::Serve);
        drop(ticket.piece(Bytes::from_static(b"taken at once")));
        assert_eq!(after(&activity, start, 3_000), Order::Serve);
    }

    #[test]
    fn a_piece_that_nobody_takes_ends_the_connection() {
        let (activity, start) = opened();
        let (stuck, other) = (
            Arc::new(activity.begin(start, Version::HTTP_2)),
            Arc::new(activity.begin(start, Version::HTTP_2)),
        );
        let piece = stuck.piece(Bytes::from_static(b"for nobody"));
        drop(other.piece(Bytes::from_static(b"taken")));
        assert_eq!(after(&activity, start, 29), Order::Serve);
        assert_eq!(after(&activity, start, 31), Order::End);
        drop(piece);
        assert_eq!(after(&activity, start, 31), Order::Serve);
    }

    #[test]
    fn a_connection_has_an_age() {
        for (version, order) in [
            (Version::HTTP_2, Order::Finish),
            (Version::HTTP_11, Order::Announce),
        ] {
            let (activity, start) = opened();
            let _ticket = activity.begin(start, version);
            assert_eq!(after(&activity, start, 3_599), Order::Serve);
            assert!(!activity.is_last_answer());
            assert_eq!(after(&activity, start, 3_600), order);
            assert!(activity.is_last_answer());
        }
    }

    #[test]
    fn who_gives_up_request_after_request_is_shown_out() {
        let (activity, start) = opened();
        let abandon = |count: u32| (0..count).for_each(|_| drop(activity.begin(start, Version::HTTP_2)));
        abandon(MAX_ABANDONED);
        let ticket = activity.begin(start, Version::HTTP_2);
        ticket.done();
        drop(ticket);
        abandon(1);
        assert_eq!(activity.order(Waker::noop()), Order::Serve);
        abandon(1);
        assert_eq!(activity.order(Waker::noop()), Order::End);
    }

    #[test]
    fn who_asked_lately_is_passed_over_once() {
        let (activity, start) = opened();
        let ticket = activity.begin(start, Version::HTTP_2);
        assert!(!activity.can_go());
        drop(ticket);
        assert!(!activity.can_go());
        assert!(activity.can_go());
    }

    #[test]
    fn a_connection_that_lingers_makes_room_at_once() {
        let (activity, start) = opened();
        drop(activity.begin(start, Version::HTTP_11));
        activity.lingers();
        assert!(activity.can_go());
    }
}
