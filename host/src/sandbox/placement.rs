//! The course of a guest: on which threads it runs, and when it has a turn there.
//!
//! A guest begins on the thread that serves its caller's connection, so that nothing hops between threads for the many
//! that answer within a tick. One that uses up its first tick goes on in the background, on threads that the system
//! prefers less, where it disturbs neither those that are short nor the connections. A route whose guests did so lately
//! begins there (`stamina.rs`).
//!
//! On both a guest runs only while its tenant has a turn. Every tenant may run as many guests at once as its share says,
//! and more only where a thread would be idle otherwise. One that is interrupted by the tick keeps its turn only where
//! nobody waits for one: it goes to the end of its tenant's lane, and whoever has had least comes next. Guests that have
//! no turn stand in no queue of the threads, so that the first guest of a tenant waits for the running ones of the
//! others only, however many these have. A guest that waits for the host has no turn.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use super::long_running::Stamina;
use super::ticker::TICK;
use crate::fair_semaphore::{Borrowed, FairSemaphore, Lane, Permit, Waiting};

/// The lanes of a tenant, in front and in the background.
#[derive(Clone, Debug)]
pub struct GuestLanes {
    /// On the threads that serve connections.
    pub front: Arc<Lane>,
    /// On those in the background.
    pub background: Arc<Lane>,
}

/// The turns of all tenants, in front and in the background.
#[derive(Debug)]
pub struct Turns {
    front: Arc<FairSemaphore>,
    background: Arc<FairSemaphore>,
}

/// The course of one guest. The poll around the guest and the epoch callback inside of it share it.
#[derive(Debug)]
pub struct Course {
    turns: Arc<Turns>,
    lanes: Arc<GuestLanes>,
    stamina: Arc<Stamina>,
    is_in_background: AtomicBool,
    interrupted: AtomicBool,
}

impl GuestLanes {
    /// Lanes of a tenant with this share.
    pub fn new(share: u32) -> Self {
        Self {
            front: Arc::new(Lane::new(share)),
            background: Arc::new(Lane::new(share)),
        }
    }
}

impl Turns {
    /// For as many threads in front, and as many in the background.
    pub fn new(threads: usize) -> Self {
        Self {
            front: FairSemaphore::oversubscribed(threads),
            background: FairSemaphore::oversubscribed(threads),
        }
    }
}

impl Course {
    /// The course of a guest of the tenant with these lanes, on a route with this stamina.
    pub fn new(turns: &Arc<Turns>, lanes: &Arc<GuestLanes>, stamina: &Arc<Stamina>) -> Self {
        Self {
            turns: turns.clone(),
            lanes: lanes.clone(),
            is_in_background: AtomicBool::new(stamina.is_long()),
            stamina: stamina.clone(),
            interrupted: AtomicBool::new(false),
        }
    }

    /// Whether the guest belongs on the threads in the background.
    pub fn is_in_background(&self) -> bool {
        self.is_in_background.load(Ordering::Relaxed)
    }

    /// The tick has interrupted the guest: it gives the thread to others, and goes on in the background.
    pub async fn interrupt(&self) {
        self.interrupted.store(true, Ordering::Relaxed);
        if !self.is_in_background.swap(true, Ordering::Relaxed) {
            self.stamina.ran_long();
        }
        tokio::task::yield_now().await;
    }

    /// The guest was busy for so long until it ended.
    pub fn ended(&self, busy: Duration) {
        match self.is_in_background() && busy >= TICK {
            true => self.stamina.ran_long(),
            false => self.stamina.ran_short(),
        }
    }

    /// Runs `future` in the turns of this course.
    pub async fn run<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        let mut turn = Turn::None;
        let mut had_its_tick = false;
        poll_fn(|context| {
            let track = self.track();
            // Not before the thread has served everybody else: a guest that is handed a turn is woken at once, and
            // guests of one tenant that did so among themselves would keep the thread from all who gave way.
            if std::mem::take(&mut had_its_tick) && track.turns.waiting() > 0 {
                // In this order, so that the tenant with the least gets the next turn, be it this one.
                let next = track.turns.wait(track.lane);
                turn = Turn::Waiting(next);
            }
            if turn.poll(track, context).is_pending() {
                return Poll::Pending;
            }
            let was_in_front = !self.is_in_background();
            let poll = future.as_mut().poll(context);
            let was_interrupted = self.interrupted.swap(false, Ordering::Relaxed);
            had_its_tick = poll.is_pending() && was_interrupted && !was_in_front;
            if !had_its_tick {
                turn = Turn::None;
            }
            poll
        })
        .await
    }

    fn track(&self) -> Track<'_> {
        let (turns, lane) = match self.is_in_background() {
            true => (&self.turns.background, &self.lanes.background),
            false => (&self.turns.front, &self.lanes.front),
        };
        Track { turns, lane }
    }
}

/// The turns on one set of threads, and the lane of a tenant there.
#[derive(Clone, Copy)]
struct Track<'a> {
    turns: &'a Arc<FairSemaphore>,
    lane: &'a Arc<Lane>,
}

enum Turn<'a> {
    None,
    Waiting(Waiting),
    Had { _permit: Borrowed<'a> },
    Given { _permit: Permit },
}

impl<'a> Turn<'a> {
    fn poll(&mut self, track: Track<'a>, context: &mut Context<'_>) -> Poll<()> {
        if matches!(self, Self::None) {
            *self = match track.turns.try_borrow(track.lane) {
                Some(permit) => Self::Had { _permit: permit },
                None => Self::Waiting(track.turns.wait(track.lane)),
            };
        }
        if let Self::Waiting(waiting) = self {
            match Pin::new(waiting).poll(context) {
                Poll::Ready(permit) => *self = Self::Given { _permit: permit },
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use tokio::sync::oneshot;

    use super::*;

    /// Runs for some ticks, and writes down each.
    async fn busy(course: &Course, name: char, ticks: usize, log: &RefCell<String>) {
        for _ in 0..ticks {
            log.borrow_mut().push(name);
            course.interrupt().await;
        }
    }

    fn long() -> Arc<Stamina> {
        let stamina = Arc::new(Stamina::default());
        stamina.ran_long();
        stamina
    }

    /// A guest in the background.
    fn guest<'a>(
        turns: &Arc<Turns>,
        lanes: &Arc<GuestLanes>,
        name: char,
        log: &'a RefCell<String>,
    ) -> impl Future<Output = ()> + 'a {
        let course = Course::new(turns, lanes, &long());
        async move { course.run(busy(&course, name, 3, log)).await }
    }

    #[tokio::test]
    async fn the_only_tenant_uses_all_threads_and_its_guests_take_turns() {
        let turns = Arc::new(Turns::new(2));
        let lanes = Arc::new(GuestLanes::new(1));
        let log = RefCell::new(String::new());
        let guest = |name| guest(&turns, &lanes, name, &log);
        tokio::join!(guest('a'), guest('b'), guest('c'), guest('d'));
        let mut two_rounds: Vec<char> = log.borrow()[..8].chars().collect();
        two_rounds.sort_unstable();
        assert_eq!(two_rounds.iter().collect::<String>(), "aabbccdd");
        assert_eq!((turns.background.held(), turns.background.waiting()), (0, 0));
    }

    #[tokio::test]
    async fn beside_a_crowd_a_single_guest_gets_every_other_tick() {
        let turns = Arc::new(Turns::new(1));
        let (crowd, single) = (Arc::new(GuestLanes::new(1)), Arc::new(GuestLanes::new(1)));
        let log = RefCell::new(String::new());
        let one = |name| guest(&turns, &crowd, name, &log);
        let single = guest(&turns, &single, '.', &log);
        tokio::join!(one('a'), one('b'), one('c'), one('d'), single);
        let log = log.borrow();
        let last = log.rfind('.').unwrap();
        assert!(last < 7, "{log}");
        assert_eq!(log.len(), 15, "{log}");
    }

    #[tokio::test]
    async fn who_waits_for_the_host_has_no_turn() {
        let turns = Arc::new(Turns::new(1));
        let course = Course::new(&turns, &Arc::new(GuestLanes::new(1)), &Arc::default());
        let turns = &turns.front;
        let (answer, question) = oneshot::channel::<()>();
        let asks = course.run(async {
            assert_eq!(turns.held(), 1);
            question.await.unwrap();
            assert_eq!(turns.held(), 1);
        });
        let answers = async {
            assert_eq!(turns.held(), 0);
            answer.send(()).unwrap();
        };
        tokio::join!(biased; asks, answers);
        assert_eq!(turns.held(), 0);
    }

    #[tokio::test]
    async fn whoever_goes_away_gives_the_turn_back() {
        let turns = Arc::new(Turns::new(1));
        let lanes = Arc::new(GuestLanes::new(1));
        let log = RefCell::new(String::new());
        let mut first = Box::pin(guest(&turns, &lanes, 'a', &log));
        let mut second = Box::pin(guest(&turns, &lanes, 'b', &log));
        assert!(futures_util::poll!(&mut first).is_pending());
        assert!(futures_util::poll!(&mut second).is_pending());
        assert_eq!((turns.background.held(), turns.background.waiting()), (1, 1));
        drop(first);
        second.await;
        assert_eq!((turns.background.held(), turns.background.waiting()), (0, 0));
    }

    #[tokio::test]
    async fn who_is_interrupted_in_front_leaves_its_turn_there_and_goes_on_in_the_background() {
        let turns = Arc::new(Turns::new(1));
        let course = Course::new(&turns, &Arc::new(GuestLanes::new(1)), &Arc::default());
        let (front, background) = (&turns.front, &turns.background);
        let mut guest = Box::pin(course.run(async {
            assert_eq!((front.held(), background.held()), (1, 0));
            course.interrupt().await;
            assert_eq!((front.held(), background.held()), (0, 1));
        }));
        assert!(!course.is_in_background());
        assert!(futures_util::poll!(&mut guest).is_pending());
        assert!(course.is_in_background());
        assert_eq!((front.held(), background.held()), (0, 0));
        guest.await;
        assert_eq!((front.held(), background.held()), (0, 0));
    }
}
