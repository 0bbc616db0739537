//! Turns: a guest runs only while its tenant has a turn on one of the plugins' threads.
//!
//! Every tenant may run as many guests at once as its share says, and more only where a thread would be idle
//! otherwise. A guest that waits for the host has no turn. One that is interrupted by the tick keeps its turn only
//! where nobody waits for one: it goes to the end of its tenant's lane, and whoever has had least comes next. Guests
//! that have no turn stand in no queue of the threads, so that the first guest of a tenant waits for the running ones
//! of the others only, for one tick at most each, however many the others have.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use crate::fair_semaphore::{FairSemaphore, Lane, Permit, Waiting};

/// Says that the tick has interrupted the guest. The epoch callback sets it, the poll around the guest takes it.
#[derive(Debug, Default)]
pub struct Interrupted(AtomicBool);

impl Interrupted {
    /// Gives the thread to others, and says so.
    pub async fn yield_now(&self) {
        self.0.store(true, Ordering::Relaxed);
        tokio::task::yield_now().await;
    }

    fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

/// Runs `future` in the turns of `lane`.
pub async fn in_turns<F: Future>(
    turns: &Arc<FairSemaphore>,
    lane: &Arc<Lane>,
    interrupted: &Interrupted,
    future: F,
) -> F::Output {
    let mut future = pin!(future);
    let mut turn = Turn::None;
    let mut had_its_tick = false;
    poll_fn(|context| {
        // Not before the thread has served everybody else: a guest that is handed a turn is woken at once, and guests
        // of one tenant that did so among themselves would keep the thread from all who gave way.
        if std::mem::take(&mut had_its_tick) && turns.waiting() > 0 {
            // In this order, so that the tenant with the least gets the next turn, be it this one.
            let next = turns.wait(lane);
            turn = Turn::Waiting(next);
        }
        if turn.poll(turns, lane, context).is_pending() {
            return Poll::Pending;
        }
        let poll = future.as_mut().poll(context);
        had_its_tick = poll.is_pending() && interrupted.take();
        if !had_its_tick {
            turn = Turn::None;
        }
        poll
    })
    .await
}

enum Turn {
    None,
    Waiting(Waiting),
    Taken { _permit: Permit },
}

impl Turn {
    fn poll(&mut self, turns: &Arc<FairSemaphore>, lane: &Arc<Lane>, context: &mut Context<'_>) -> Poll<()> {
        if matches!(self, Self::None) {
            *self = match turns.try_acquire(lane) {
                Some(permit) => Self::Taken { _permit: permit },
                None => Self::Waiting(turns.wait(lane)),
            };
        }
        if let Self::Waiting(waiting) = self {
            match Pin::new(waiting).poll(context) {
                Poll::Ready(permit) => *self = Self::Taken { _permit: permit },
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
    async fn busy(interrupted: &Interrupted, name: char, ticks: usize, log: &RefCell<String>) {
        for _ in 0..ticks {
            log.borrow_mut().push(name);
            interrupted.yield_now().await;
        }
    }

    fn guest<'a>(
        turns: &'a Arc<FairSemaphore>,
        lane: &'a Arc<Lane>,
        name: char,
        log: &'a RefCell<String>,
    ) -> impl Future<Output = ()> + 'a {
        let interrupted = Interrupted::default();
        async move { in_turns(turns, lane, &interrupted, busy(&interrupted, name, 3, log)).await }
    }

    #[tokio::test]
    async fn the_only_tenant_uses_all_threads_and_its_guests_take_turns() {
        let turns = FairSemaphore::oversubscribed(2);
        let lane = Arc::new(Lane::new(1));
        let log = RefCell::new(String::new());
        let guest = |name| guest(&turns, &lane, name, &log);
        tokio::join!(guest('a'), guest('b'), guest('c'), guest('d'));
        let mut two_rounds: Vec<char> = log.borrow()[..8].chars().collect();
        two_rounds.sort_unstable();
        assert_eq!(two_rounds.iter().collect::<String>(), "aabbccdd");
        assert_eq!((turns.held(), turns.waiting()), (0, 0));
    }

    #[tokio::test]
    async fn beside_a_crowd_a_single_guest_gets_every_other_tick() {
        let turns = FairSemaphore::oversubscribed(1);
        let (crowd, single) = (Arc::new(Lane::new(1)), Arc::new(Lane::new(1)));
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
        let turns = FairSemaphore::new(1);
        let lane = Arc::new(Lane::new(1));
        let interrupted = Interrupted::default();
        let (answer, question) = oneshot::channel::<()>();
        let asks = in_turns(&turns, &lane, &interrupted, async {
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
        let turns = FairSemaphore::new(1);
        let lane = Arc::new(Lane::new(1));
        let log = RefCell::new(String::new());
        let mut first = Box::pin(guest(&turns, &lane, 'a', &log));
        let mut second = Box::pin(guest(&turns, &lane, 'b', &log));
        assert!(futures_util::poll!(&mut first).is_pending());
        assert!(futures_util::poll!(&mut second).is_pending());
        assert_eq!((turns.held(), turns.waiting()), (1, 1));
        drop(first);
        second.await;
        assert_eq!((turns.held(), turns.waiting()), (0, 0));
    }
}
