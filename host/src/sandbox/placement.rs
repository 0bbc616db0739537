//! Decides on which threads a guest runs, and when it has a time slice there.
//!
//! A guest begins in the foreground, on the thread that serves its caller's connection. A request
//! that is answered within a tick therefore never changes threads. A guest that uses up its first
//! tick continues on the background threads, which have a lower priority. There it delays neither
//! short guests nor connections.
//!
//! If a route ran long recently, its guests begin in the background (`long_running.rs`).
//!
//! A guest runs only while its tenant holds a time slice. Each tenant may run as many guests at
//! once as its share says, and more only if threads would be idle otherwise. A guest that is
//! interrupted by the tick keeps its time slice unless another guest waits for one. Otherwise it
//! goes to the end of its tenant's lane, and the tenant with the fewest time slices is next.
//!
//! A guest without a time slice is in no queue of the threads. The first guest of a tenant
//! therefore waits only for the running guests, however many guests other tenants have. A guest
//! that waits for a host call holds no time slice.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use super::long_running::LongRunning;
use super::ticker::TICK;
use crate::fair_semaphore::{Borrowed, FairSemaphore, Lane, Permit, Waiting};

/// The lanes of a tenant, in the foreground and in the background.
#[derive(Clone, Debug)]
pub struct GuestLanes {
    /// Its lane for the threads that serve connections.
    pub front: Arc<Lane>,
    /// Its lane for the background threads.
    pub background: Arc<Lane>,
}

/// The time slices of all tenants, in the foreground and in the background.
#[derive(Debug)]
pub struct RunQueues {
    front: Arc<FairSemaphore>,
    background: Arc<FairSemaphore>,
}

/// Where one guest runs: in the foreground or in the background. The poll around the guest and the
/// epoch callback inside it share this value.
#[derive(Debug)]
pub struct Placement {
    queues: Arc<RunQueues>,
    lanes: Arc<GuestLanes>,
    long_running: Arc<LongRunning>,
    is_in_background: AtomicBool,
    interrupted: AtomicBool,
}

impl GuestLanes {
    /// The lanes of a tenant with this share.
    pub fn new(share: u32) -> Self {
        Self {
            front: Arc::new(Lane::new(share)),
            background: Arc::new(Lane::new(share)),
        }
    }
}

impl RunQueues {
    /// Time slices for `threads` threads in the foreground, and as many in the background.
    pub fn new(threads: usize) -> Self {
        Self {
            front: FairSemaphore::oversubscribed(threads),
            background: FairSemaphore::oversubscribed(threads),
        }
    }
}

impl Placement {
    /// The placement of a guest on a route. The guest begins in the background if the route's
    /// guests ran long.
    pub fn new(queues: &Arc<RunQueues>, lanes: &Arc<GuestLanes>, long_running: &Arc<LongRunning>) -> Self {
        Self {
            queues: queues.clone(),
            lanes: lanes.clone(),
            is_in_background: AtomicBool::new(long_running.is_long()),
            long_running: long_running.clone(),
            interrupted: AtomicBool::new(false),
        }
    }

    /// Whether the guest runs on the background threads.
    pub fn is_in_background(&self) -> bool {
        self.is_in_background.load(Ordering::Relaxed)
    }

    /// Yields the thread after a tick. The guest then continues in the background.
    pub async fn interrupt(&self) {
        self.interrupted.store(true, Ordering::Relaxed);
        if !self.is_in_background.swap(true, Ordering::Relaxed) {
            self.long_running.ran_long();
        }
        tokio::task::yield_now().await;
    }

    /// Records that the guest has ended, after `busy` time on a thread.
    pub fn ended(&self, busy: Duration) {
        match self.is_in_background() && busy >= TICK {
            true => self.long_running.ran_long(),
            false => self.long_running.ran_short(),
        }
    }

    /// Runs `future` in time slices.
    pub async fn run<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        let mut slice = TimeSlice::None;
        let mut had_its_tick = false;
        poll_fn(|context| {
            let queue = self.queue();
            // The guest queues again only after the thread has polled its other tasks. A guest that
            // gets a time slice is woken at once, so guests of one tenant could otherwise occupy
            // the thread.
            if std::mem::take(&mut had_its_tick) && queue.slices.waiting() > 0 {
                // The guest queues before its own slice is released, so that the tenant with the
                // fewest slices gets the next one.
                let next = queue.slices.wait(queue.lane);
                slice = TimeSlice::Waiting(next);
            }
            if slice.poll(queue, context).is_pending() {
                return Poll::Pending;
            }
            let was_in_front = !self.is_in_background();
            let poll = future.as_mut().poll(context);
            let was_interrupted = self.interrupted.swap(false, Ordering::Relaxed);
            had_its_tick = poll.is_pending() && was_interrupted && !was_in_front;
            if !had_its_tick {
                slice = TimeSlice::None;
            }
            poll
        })
        .await
    }

    fn queue(&self) -> Queue<'_> {
        let (slices, lane) = match self.is_in_background() {
            true => (&self.queues.background, &self.lanes.background),
            false => (&self.queues.front, &self.lanes.front),
        };
        Queue { slices, lane }
    }
}

/// The time slices of one set of threads, and a tenant's lane for them.
#[derive(Clone, Copy)]
struct Queue<'a> {
    slices: &'a Arc<FairSemaphore>,
    lane: &'a Arc<Lane>,
}

enum TimeSlice<'a> {
    None,
    Waiting(Waiting),
    Had { _permit: Borrowed<'a> },
    Given { _permit: Permit },
}

impl<'a> TimeSlice<'a> {
    fn poll(&mut self, queue: Queue<'a>, context: &mut Context<'_>) -> Poll<()> {
        if matches!(self, Self::None) {
            *self = match queue.slices.try_borrow(queue.lane) {
                Some(permit) => Self::Had { _permit: permit },
                None => Self::Waiting(queue.slices.wait(queue.lane)),
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

    /// Runs for some ticks and logs each.
    async fn busy(placement: &Placement, name: char, ticks: usize, log: &RefCell<String>) {
        for _ in 0..ticks {
            log.borrow_mut().push(name);
            placement.interrupt().await;
        }
    }

    fn long() -> Arc<LongRunning> {
        let long_running = Arc::new(LongRunning::default());
        long_running.ran_long();
        long_running
    }

    /// A guest in the background.
    fn guest<'a>(
        queues: &Arc<RunQueues>,
        lanes: &Arc<GuestLanes>,
        name: char,
        log: &'a RefCell<String>,
    ) -> impl Future<Output = ()> + 'a {
        let placement = Placement::new(queues, lanes, &long());
        async move { placement.run(busy(&placement, name, 3, log)).await }
    }

    #[tokio::test]
    async fn the_only_tenant_uses_all_threads_and_its_guests_take_turns() {
        let queues = Arc::new(RunQueues::new(2));
        let lanes = Arc::new(GuestLanes::new(1));
        let log = RefCell::new(String::new());
        let guest = |name| guest(&queues, &lanes, name, &log);
        tokio::join!(guest('a'), guest('b'), guest('c'), guest('d'));
        let mut two_rounds: Vec<char> = log.borrow()[..8].chars().collect();
        two_rounds.sort_unstable();
        assert_eq!(two_rounds.iter().collect::<String>(), "aabbccdd");
        assert_eq!((queues.background.held(), queues.background.waiting()), (0, 0));
    }

    #[tokio::test]
    async fn beside_a_crowd_a_single_guest_gets_every_other_tick() {
        let queues = Arc::new(RunQueues::new(1));
        let (crowd, single) = (Arc::new(GuestLanes::new(1)), Arc::new(GuestLanes::new(1)));
        let log = RefCell::new(String::new());
        let one = |name| guest(&queues, &crowd, name, &log);
        let single = guest(&queues, &single, '.', &log);
        tokio::join!(one('a'), one('b'), one('c'), one('d'), single);
        let log = log.borrow();
        let last = log.rfind('.').unwrap();
        assert!(last < 7, "{log}");
        assert_eq!(log.len(), 15, "{log}");
    }

    #[tokio::test]
    async fn a_guest_that_waits_for_the_host_has_no_time_slice() {
        let queues = Arc::new(RunQueues::new(1));
        let placement = Placement::new(&queues, &Arc::new(GuestLanes::new(1)), &Arc::default());
        let queues = &queues.front;
        let (answer, question) = oneshot::channel::<()>();
        let asks = placement.run(async {
            assert_eq!(queues.held(), 1);
            question.await.unwrap();
            assert_eq!(queues.held(), 1);
        });
        let answers = async {
            assert_eq!(queues.held(), 0);
            answer.send(()).unwrap();
        };
        tokio::join!(biased; asks, answers);
        assert_eq!(queues.held(), 0);
    }

    #[tokio::test]
    async fn a_guest_that_is_dropped_gives_its_time_slice_back() {
        let queues = Arc::new(RunQueues::new(1));
        let lanes = Arc::new(GuestLanes::new(1));
        let log = RefCell::new(String::new());
        let mut first = Box::pin(guest(&queues, &lanes, 'a', &log));
        let mut second = Box::pin(guest(&queues, &lanes, 'b', &log));
        assert!(futures_util::poll!(&mut first).is_pending());
        assert!(futures_util::poll!(&mut second).is_pending());
        assert_eq!((queues.background.held(), queues.background.waiting()), (1, 1));
        drop(first);
        second.await;
        assert_eq!((queues.background.held(), queues.background.waiting()), (0, 0));
    }

    #[tokio::test]
    async fn a_guest_that_is_interrupted_in_the_foreground_goes_on_in_the_background() {
        let queues = Arc::new(RunQueues::new(1));
        let placement = Placement::new(&queues, &Arc::new(GuestLanes::new(1)), &Arc::default());
        let (front, background) = (&queues.front, &queues.background);
        let mut guest = Box::pin(placement.run(async {
            assert_eq!((front.held(), background.held()), (1, 0));
            placement.interrupt().await;
            assert_eq!((front.held(), background.held()), (0, 1));
        }));
        assert!(!placement.is_in_background());
        assert!(futures_util::poll!(&mut guest).is_pending());
        assert!(placement.is_in_background());
        assert_eq!((front.held(), background.held()), (0, 0));
        guest.await;
        assert_eq!((front.held(), background.held()), (0, 0));
    }
}
