//! What one connection is doing: the requests under way on it, and when it has to go.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http::Version;
use tokio::time::Instant;

/// Requests of one connection that the caller gave up, beyond those that it let end. HTTP/2 lets a caller start
/// and reset requests without end, and each costs the host more than the caller (rapid reset).
const MAX_ABANDONED: u32 = 100;

/// How long a connection may take over what.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Until the head of a request has come, and for what is left to do once the connection should end.
    pub header: Duration,
    /// Until a connection without requests is asked to end.
    pub idle: Duration,
    /// Until the caller has taken the next piece of a response.
    pub write: Duration,
    /// Until a connection takes no more requests, however busy it is.
    pub age: Duration,
}

/// What a connection is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Order {
    /// Serve requests.
    Serve = 0,
    /// Finish what is under way, and take nothing new.
    Finish = 1,
    /// End at once.
    End = 2,
}

/// What one connection is doing. Shared by the connection, its requests, and the table of the listener.
pub struct Activity {
    order: AtomicU8,
    waker: AtomicWaker,
    state: Mutex<State>,
}

struct State {
    opened: Instant,
    /// Few: HTTP/1.1 has one at a time, HTTP/2 as many as its streams.
    requests: Vec<UnderWay>,
    next_id: u64,
    idle_since: Instant,
    /// Whether the caller can be asked to end the connection: it has asked for something, by a version of HTTP that has a
    /// word for it, which HTTP/1.1 has not.
    can_be_asked: bool,
    asked_lately: bool,
    abandoned: u32,
}

struct UnderWay {
    id: u64,
    /// Pieces of the response that were handed out and not taken yet.
    pieces: u32,
    /// When the last of them was handed out or taken.
    moved: Instant,
}

/// A request under way: from its head until the last byte of its response was taken, or it was given up.
pub struct Ticket {
    activity: Arc<Activity>,
    id: u64,
    is_done: AtomicBool,
}

impl Activity {
    /// A connection that was just opened.
    pub fn new(now: Instant) -> Self {
        Self {
            order: AtomicU8::new(Order::Serve as u8),
            waker: AtomicWaker::new(),
            state: Mutex::new(State {
                opened: now,
                requests: Vec::new(),
                next_id: 0,
                idle_since: now,
                can_be_asked: false,
                asked_lately: false,
                abandoned: 0,
            }),
        }
    }

    /// Tells the connection what to do, from wherever. An order is never taken back.
    pub fn tell(&self, order: Order) {
        self.order.fetch_max(order as u8, Ordering::AcqRel);
        self.waker.wake();
    }

    /// What the connection was told; `waker` is woken when that changes.
    pub fn order(&self, waker: &Waker) -> Order {
        self.waker.register(waker);
        match self.order.load(Ordering::Acquire) {
            0 => Order::Serve,
            1 => Order::Finish,
            _ => Order::End,
        }
    }

    /// A request of this version of HTTP has come.
    pub fn begin(self: &Arc<Self>, now: Instant, version: Version) -> Ticket {
        let mut state = self.state();
        state.can_be_asked = version >= Version::HTTP_2;
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

    /// What time alone makes of the connection, and when to look again.
    pub fn check(&self, now: Instant, patience: &Patience) -> (Order, Instant) {
        let state = self.state();
        let too_old = state.opened + patience.age;
        let (order, next) = if state.requests.is_empty() {
            state.without_requests(now, patience)
        } else {
            state.with_requests(now, patience)
        };
        // A head may begin as soon as the request under way ends, and its time must not be over before this is asked again.
        let next = next.min(now + patience.header);
        if now >= too_old {
            (order.max(Order::Finish), next)
        } else {
            (order, next.min(too_old))
        }
    }

    /// Whether it can make room for another connection: it has no request under way, and has had none since it was
    /// last asked this.
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
    fn without_requests(&self, now: Instant, patience: &Patience) -> (Order, Instant) {
        if !self.can_be_asked {
            // It is idle, or has sent a part of a head or of an HTTP/2 preface, or frames that ask for nothing.
            let end = self.idle_since + patience.header;
            return if now >= end {
                (Order::End, end)
            } else {
                (Order::Serve, end)
            };
        }
        let finish = self.idle_since + patience.idle;
        let end = finish + patience.header;
        if now >= end {
            (Order::End, end)
        } else if now >= finish {
            (Order::Finish, end)
        } else {
            (Order::Serve, finish)
        }
    }

    fn with_requests(&self, now: Instant, patience: &Patience) -> (Order, Instant) {
        let waiting = self.requests.iter().filter(|request| request.pieces > 0);
        match waiting.map(|request| request.moved + patience.write).min() {
            Some(due) if now >= due => (Order::End, due),
            Some(due) => (Order::Serve, due),
            // What comes to wait later is due later than this.
            None => (Order::Serve, now + patience.write),
        }
    }
}

impl Ticket {
    /// All of the response was handed out. A caller that goes away before this has given the request up.
    pub fn done(&self) {
        self.is_done.store(true, Ordering::Relaxed);
    }

    /// A piece of the response that is watched until the connection has sent it. Whoever sends it drops it then.
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
        state.abandoned = if *self.is_done.get_mut() {
            state.abandoned.saturating_sub(1)
        } else {
            state.abandoned + 1
        };
        let is_too_much = state.abandoned > MAX_ABANDONED;
        drop(state);
        if is_too_much {
            self.activity.tell(Order::End);
        }
    }
}

/// Bytes on their way to a caller.
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

    const PATIENCE: Patience = Patience {
        header: Duration::from_secs(10),
        idle: Duration::from_secs(60),
        write: Duration::from_secs(30),
        age: Duration::from_secs(3_600),
    };

    fn opened() -> (Arc<Activity>, Instant) {
        let now = Instant::now();
        (Arc::new(Activity::new(now)), now)
    }

    fn after(activity: &Activity, start: Instant, seconds: u64) -> Order {
        activity.check(start + Duration::from_secs(seconds), &PATIENCE).0
    }

    #[test]
    fn who_asks_for_nothing_has_the_time_of_a_head() {
        let (activity, start) = opened();
        assert_eq!(
            activity.check(start, &PATIENCE),
            (Order::Serve, start + PATIENCE.header)
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

    #[test]
    fn by_http_1_the_next_head_has_its_time_from_the_end_of_the_last_request() {
        let (activity, start) = opened();
        let ticket = activity.begin(start, Version::HTTP_11);
        ticket.done();
        // However long a request takes, the next look comes before a head that follows it is overdue.
        let (order, next) = activity.check(start + Duration::from_secs(3_000), &PATIENCE);
        assert_eq!((order, next), (Order::Serve, start + Duration::from_secs(3_010)));
        drop(ticket);
        // The ticket was dropped a moment after the start.
        assert_eq!(after(&activity, start, 9), Order::Serve);
        assert_eq!(after(&activity, start, 11), Order::End);
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
        let (activity, start) = opened();
        let _ticket = activity.begin(start, Version::HTTP_2);
        assert_eq!(after(&activity, start, 3_599), Order::Serve);
        assert_eq!(after(&activity, start, 3_600), Order::Finish);
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
}
