//! A semaphore that tenants share fairly. A free permit goes to the waiting tenant that holds the
//! fewest permits relative to its share, not to the first waiter. However many waiters one tenant
//! has, the first waiter of another tenant is served as soon as one permit is released.
//!
//! Acquiring a free permit takes no lock. Waiters queue in the lane of their tenant, in order of
//! arrival. The lanes that have waiters are kept in a sorted map, so waiting and granting take
//! logarithmic time in the number of tenants.

use std::cmp::Ordering;
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::sync::oneshot;

/// Permits that are shared by tenants.
#[derive(Debug)]
pub struct FairSemaphore {
    capacity: usize,
    oversubscribed: bool,
    held: AtomicUsize,
    waiting: AtomicUsize,
    lanes: Mutex<WaitingLanes>,
}

/// One tenant's part of a semaphore: the permits that it holds, and its queue of waiters. Each
/// tenant has one lane per semaphore.
#[derive(Debug)]
pub struct Lane {
    share: usize,
    held: AtomicUsize,
    /// The key of the lane in the map of waiting lanes. It is locked only while that map is locked.
    rank: Mutex<Option<Rank>>,
}

/// The right to use one unit of the resource. Dropping the permit releases it.
#[derive(Debug)]
pub struct Permit {
    semaphore: Arc<FairSemaphore>,
    lane: Arc<Lane>,
}

/// A permit that borrows its semaphore and its lane. It updates no reference counts, for threads
/// that acquire and release permits all the time.
#[derive(Debug)]
pub struct Borrowed<'a> {
    semaphore: &'a Arc<FairSemaphore>,
    lane: &'a Lane,
}

/// A queued waiter. It resolves to its permit; dropping it leaves the queue.
#[derive(Debug)]
pub struct Waiting {
    /// Keeps the semaphore alive while a waiter exists.
    _semaphore: Arc<FairSemaphore>,
    permit: oneshot::Receiver<Permit>,
}

/// The lanes that have waiters, the next one to be served first.
#[derive(Debug, Default)]
struct WaitingLanes {
    queue: BTreeMap<Rank, Waiters>,
    /// The number of ranks given out so far.
    ranks: u64,
}

#[derive(Debug)]
struct Waiters {
    lane: Arc<Lane>,
    senders: VecDeque<oneshot::Sender<Permit>>,
}

/// The order of waiting lanes: the fewest permits relative to the share first, then the lane that
/// was served least recently.
#[derive(Clone, Copy, Debug)]
struct Rank {
    /// The permits that the lane held when it was ranked. It may hold more by now, never fewer.
    held: usize,
    share: usize,
    number: u64,
}

impl Lane {
    /// A lane whose tenant gets `share` permits for every permit of a tenant with share 1.
    pub fn new(share: u32) -> Self {
        Self {
            share: usize::try_from(share).unwrap_or(usize::MAX).max(1),
            held: AtomicUsize::new(0),
            rank: Mutex::default(),
        }
    }

    fn rank(&self) -> MutexGuard<'_, Option<Rank>> {
        self.rank.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
thread_local! {
    /// The number of comparisons of ranks on this thread: the cost of waiting and granting.
    static COMPARED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

impl Ord for Rank {
    fn cmp(&self, other: &Self) -> Ordering {
        #[cfg(test)]
        COMPARED.set(COMPARED.get() + 1);
        // Compares `held / share` of both without fractions.
        let (mine, its) = (
            self.held.saturating_mul(other.share),
            other.held.saturating_mul(self.share),
        );
        mine.cmp(&its).then(self.number.cmp(&other.number))
    }
}

impl PartialOrd for Rank {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Rank {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Rank {}

impl WaitingLanes {
    /// Adds a waiter to the end of its lane.
    fn wait(&mut self, lane: &Arc<Lane>, sender: oneshot::Sender<Permit>) {
        let rank = *lane.rank();
        match rank.and_then(|rank| self.queue.get_mut(&rank)) {
            Some(waiters) => waiters.senders.push_back(sender),
            None => self.insert(Waiters {
                lane: lane.clone(),
                senders: VecDeque::from([sender]),
            }),
        }
    }

    /// Inserts a lane behind the lanes that hold as many permits relative to their share.
    fn insert(&mut self, waiters: Waiters) {
        self.ranks += 1;
        self.insert_as(self.ranks, waiters);
    }

    fn insert_as(&mut self, number: u64, waiters: Waiters) {
        let rank = Rank {
            held: waiters.lane.held.load(SeqCst),
            share: waiters.lane.share,
            number,
        };
        *waiters.lane.rank() = Some(rank);
        self.queue.insert(rank, waiters);
    }

    /// Moves a lane to the position for the permits that it holds now.
    fn rank_again(&mut self, lane: &Lane) {
        let rank = *lane.rank();
        if let Some(rank) = rank
            && rank.held != lane.held.load(SeqCst)
            && let Some(waiters) = self.queue.remove(&rank)
        {
            self.insert_as(rank.number, waiters);
        }
    }

    /// Removes the lane that holds the fewest permits relative to its share. Returns it with its
    /// number.
    fn take_first(&mut self) -> Option<(u64, Waiters)> {
        loop {
            let (rank, waiters) = self.queue.pop_first()?;
            if waiters.lane.held.load(SeqCst) == rank.held {
                *waiters.lane.rank() = None;
                return Some((rank.number, waiters));
            }
            self.insert_as(rank.number, waiters);
        }
    }
}

impl FairSemaphore {
    /// A semaphore with `capacity` permits.
    pub fn new(capacity: usize) -> Arc<Self> {
        Self::with(capacity, false)
    }

    /// A semaphore with `capacity` permits that additionally guarantees each lane as many permits
    /// as its share. Guaranteed permits are granted at once, even if that exceeds the capacity.
    pub fn oversubscribed(capacity: usize) -> Arc<Self> {
        Self::with(capacity, true)
    }

    fn with(capacity: usize, oversubscribed: bool) -> Arc<Self> {
        Arc::new(Self {
            capacity,
            oversubscribed,
            held: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            lanes: Mutex::default(),
        })
    }

    /// The number of permits that are held.
    pub fn held(&self) -> usize {
        self.held.load(SeqCst)
    }

    /// The number of waiters.
    pub fn waiting(&self) -> usize {
        self.waiting.load(SeqCst)
    }

    /// A permit, or `None` if the lane has to wait for one. A caller never overtakes a waiter.
    pub fn try_acquire(self: &Arc<Self>, lane: &Arc<Lane>) -> Option<Permit> {
        self.try_reserve(lane).then(|| self.permit(lane))
    }

    /// Like [`try_acquire`](Self::try_acquire), but the permit borrows the semaphore.
    pub fn try_borrow<'a>(self: &'a Arc<Self>, lane: &'a Lane) -> Option<Borrowed<'a>> {
        let reserved = self.try_reserve(lane);
        // Created only if a permit is reserved, because dropping it releases the permit.
        reserved.then(|| Borrowed {
            semaphore: self,
            lane,
        })
    }

    /// Queues in the lane, even if a permit is free.
    pub fn wait(self: &Arc<Self>, lane: &Arc<Lane>) -> Waiting {
        let (sender, receiver) = oneshot::channel();
        let mut lanes = self.lanes();
        // Counted before the lane is ranked. A permit released from now on either sees this waiter
        // and ranks its lane again, or is no longer counted when the lane is ranked here.
        self.waiting.fetch_add(1, SeqCst);
        lanes.wait(lane, sender);
        // A permit may have been released before this waiter was counted.
        self.hand_out(lanes);
        Waiting {
            _semaphore: self.clone(),
            permit: receiver,
        }
    }

    /// Acquires a permit, and waits if none is available.
    pub async fn acquire(self: &Arc<Self>, lane: &Arc<Lane>) -> Permit {
        match self.try_acquire(lane) {
            Some(permit) => permit,
            None => self.wait(lane).await,
        }
    }

    fn permit(self: &Arc<Self>, lane: &Arc<Lane>) -> Permit {
        Permit {
            semaphore: self.clone(),
            lane: lane.clone(),
        }
    }

    /// Reserves a permit for the lane. If there are waiters, only a guaranteed permit can be
    /// reserved.
    fn try_reserve(&self, lane: &Lane) -> bool {
        match self.waiting() {
            0 => self.reserve(lane),
            _ => self.reserve_own(lane),
        }
    }

    /// Releases a permit of the lane.
    fn give_back(self: &Arc<Self>, lane: &Lane) {
        lane.held.fetch_sub(1, SeqCst);
        self.held.fetch_sub(1, SeqCst);
        // A waiter that registers after this load checks for free permits itself, so no permit is
        // lost.
        if self.waiting() > 0 {
            let mut lanes = self.lanes();
            lanes.rank_again(lane);
            self.hand_out(lanes);
        }
    }

    /// Reserves a permit for the lane, if one is available.
    fn reserve(&self, lane: &Lane) -> bool {
        self.reserve_own(lane) || {
            let reserved = increment_below(&self.held, self.capacity);
            if reserved {
                lane.held.fetch_add(1, SeqCst);
            }
            reserved
        }
    }

    /// Reserves one of the permits that are guaranteed to the lane.
    fn reserve_own(&self, lane: &Lane) -> bool {
        let reserved = self.oversubscribed && increment_below(&lane.held, lane.share);
        if reserved {
            self.held.fetch_add(1, SeqCst);
        }
        reserved
    }

    /// Grants the free permits to waiters.
    fn hand_out(self: &Arc<Self>, mut lanes: MutexGuard<'_, WaitingLanes>) {
        // Permits whose waiter was dropped in the meantime. They are dropped after the lock is
        // released, which grants them again.
        let mut returned = Vec::new();
        while let Some((number, mut waiters)) = lanes.take_first() {
            match self.first_that_still_waits(&mut waiters) {
                // The lane with the fewest permits relative to its share is also the first one that
                // can have a guaranteed permit.
                Some(sender) if self.reserve(&waiters.lane) => {
                    self.waiting.fetch_sub(1, SeqCst);
                    returned.extend(sender.send(self.permit(&waiters.lane)).err());
                    if !waiters.senders.is_empty() {
                        lanes.insert(waiters);
                    }
                }
                Some(sender) => {
                    waiters.senders.push_front(sender);
                    lanes.insert_as(number, waiters);
                    break;
                }
                None => {}
            }
        }
        drop(lanes);
        drop(returned);
    }

    /// Removes the first waiter of a lane, and the dropped waiters before it.
    fn first_that_still_waits(&self, waiters: &mut Waiters) -> Option<oneshot::Sender<Permit>> {
        while let Some(sender) = waiters.senders.pop_front() {
            if !sender.is_closed() {
                return Some(sender);
            }
            self.waiting.fetch_sub(1, SeqCst);
        }
        None
    }

    fn lanes(&self) -> MutexGuard<'_, WaitingLanes> {
        // Nothing panics while the lock is held, and the queue would still be consistent.
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Future for Waiting {
    type Output = Permit;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Permit> {
        Pin::new(&mut self.permit).poll(context).map(|permit| {
            permit.expect("the semaphore, which this waiter keeps alive, holds the sender until it has sent")
        })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.semaphore.give_back(&self.lane);
    }
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        self.semaphore.give_back(self.lane);
    }
}

/// Adds one if the number is below `bound`.
fn increment_below(number: &AtomicUsize, bound: usize) -> bool {
    number
        .fetch_update(SeqCst, SeqCst, |number| (number < bound).then_some(number + 1))
        .is_ok()
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn lane(share: u32) -> Arc<Lane> {
        Arc::new(Lane::new(share))
    }

    /// The permit, if it was granted.
    fn granted(waiting: &mut Waiting) -> Option<Permit> {
        waiting.now_or_never()
    }

    #[test]
    fn what_is_borrowed_is_held_until_it_is_dropped() {
        let semaphore = FairSemaphore::new(1);
        let lane = Lane::new(1);
        let borrowed = semaphore.try_borrow(&lane).unwrap();
        assert!(semaphore.try_borrow(&lane).is_none());
        assert_eq!(semaphore.held(), 1);
        drop(borrowed);
        assert_eq!(semaphore.held(), 0);
        assert!(semaphore.try_borrow(&lane).is_some());
    }

    #[test]
    fn what_is_free_is_had_at_once_and_no_more() {
        let semaphore = FairSemaphore::new(2);
        let lane = lane(1);
        let first = semaphore.try_acquire(&lane).unwrap();
        let _second = semaphore.try_acquire(&lane).unwrap();
        assert!(semaphore.try_acquire(&lane).is_none());
        drop(first);
        assert!(semaphore.try_acquire(&lane).is_some());
        assert_eq!(semaphore.held(), 1);
    }

    #[test]
    fn the_first_of_one_tenant_goes_before_the_crowd_of_another() {
        let semaphore = FairSemaphore::new(2);
        let (crowd, single) = (lane(1), lane(1));
        let held = [(); 2].map(|()| semaphore.try_acquire(&crowd).unwrap());
        let mut crowded: Vec<_> = (0..10).map(|_| semaphore.wait(&crowd)).collect();
        let mut late = semaphore.wait(&single);
        drop(held);
        let permits = [granted(&mut late), granted(&mut crowded[0])];
        assert!(permits.iter().all(Option::is_some));
        assert!(granted(&mut crowded[1]).is_none());
        assert_eq!((semaphore.held(), semaphore.waiting()), (2, 9));
    }

    #[test]
    fn tenants_take_turns_and_each_serves_its_own_in_order() {
        let semaphore = FairSemaphore::new(1);
        let lanes = [lane(1), lane(1), lane(1)];
        let mut permit = semaphore.try_acquire(&lanes[0]);
        let mut waiting: Vec<(usize, Waiting)> = (0..9)
            .map(|number| (number, semaphore.wait(&lanes[number / 3])))
            .collect();
        let mut order = Vec::new();
        while !waiting.is_empty() {
            drop(permit.take());
            let index = waiting
                .iter_mut()
                .position(|(_, waiting)| {
                    permit = granted(waiting);
                    permit.is_some()
                })
                .unwrap();
            order.push(waiting.remove(index).0);
        }
        assert_eq!(order, [0, 3, 6, 1, 4, 7, 2, 5, 8]);
    }

    #[test]
    fn a_larger_share_gets_more() {
        let semaphore = FairSemaphore::new(4);
        let (small, large) = (lane(1), lane(3));
        let held: Vec<_> = (0..4).map(|_| semaphore.try_acquire(&small).unwrap()).collect();
        let waiting = |lane| (0..10).map(|_| semaphore.wait(lane)).collect::<Vec<_>>();
        let (mut smalls, mut larges) = (waiting(&small), waiting(&large));
        // One after the other, as guests release them.
        held.into_iter().for_each(drop);
        let count = |waiting: &mut [Waiting]| {
            let permits = waiting.iter_mut().filter_map(|waiting| {
                // Kept, so that it is not granted to the next waiter.
                granted(waiting).map(std::mem::forget)
            });
            permits.count()
        };
        assert_eq!((count(&mut smalls), count(&mut larges)), (1, 3));
    }

    #[test]
    fn nobody_overtakes_those_that_wait() {
        let semaphore = FairSemaphore::new(1);
        let (first, second) = (lane(1), lane(1));
        let held = semaphore.try_acquire(&first).unwrap();
        let mut waiting = semaphore.wait(&second);
        drop(held);
        assert!(semaphore.try_acquire(&first).is_none());
        assert!(granted(&mut waiting).is_some());
    }

    #[test]
    fn a_waiter_that_goes_away_leaves_its_permit_to_the_next() {
        let semaphore = FairSemaphore::new(1);
        let lane = lane(1);
        let held = semaphore.try_acquire(&lane).unwrap();
        let gone: Vec<_> = (0..100_000).map(|_| semaphore.wait(&lane)).collect();
        let mut patient = semaphore.wait(&lane);
        drop(gone);
        drop(held);
        let permit = granted(&mut patient).unwrap();
        assert_eq!((semaphore.held(), semaphore.waiting()), (1, 0));
        drop(permit);
        // A granted permit is released as well if its waiter is dropped before it is polled.
        let held = semaphore.try_acquire(&lane).unwrap();
        let waiting = semaphore.wait(&lane);
        drop(held);
        assert_eq!(semaphore.held(), 1);
        drop(waiting);
        assert_eq!(semaphore.held(), 0);
    }

    #[test]
    fn an_oversubscribed_one_gives_each_lane_its_share_at_once() {
        let semaphore = FairSemaphore::oversubscribed(2);
        let (crowd, single, large) = (lane(1), lane(1), lane(2));
        let held = [(); 2].map(|()| semaphore.try_acquire(&crowd).unwrap());
        assert!(semaphore.try_acquire(&crowd).is_none());
        let mut waiting = semaphore.wait(&crowd);
        let own = semaphore.try_acquire(&single).unwrap();
        assert!(semaphore.try_acquire(&single).is_none());
        let owns = [(); 2].map(|()| semaphore.try_acquire(&large).unwrap());
        assert_eq!(semaphore.held(), 5);
        // The crowd is above its share, and waits until there is room.
        let [first, second] = held;
        drop(first);
        assert!(granted(&mut waiting).is_none());
        drop((own, owns));
        assert!(granted(&mut waiting).is_some());
        drop(second);
        assert_eq!(semaphore.held(), 0);
    }

    /// Random acquires, waits and releases of many lanes, compared with a scan of all lanes that
    /// says which lane is next.
    #[test]
    fn the_next_lane_is_the_one_that_a_scan_of_all_would_find() {
        const LANES: usize = 40;
        for seed in 1..=20 {
            let mut state: u64 = seed;
            let mut random = |below: usize| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                usize::try_from(state >> 33).unwrap() % below
            };
            let semaphore = FairSemaphore::new(10);
            let lanes: Vec<Arc<Lane>> = [1, 2, 3].into_iter().cycle().take(LANES).map(lane).collect();
            let mut held: Vec<(usize, Permit)> = Vec::new();
            let mut waiting: Vec<(usize, Waiting)> = Vec::new();
            for _ in 0..2_000 {
                if random(2) == 0 || held.is_empty() {
                    let index = random(LANES);
                    match semaphore.try_acquire(&lanes[index]) {
                        Some(permit) => held.push((index, permit)),
                        None => waiting.push((index, semaphore.wait(&lanes[index]))),
                    }
                    continue;
                }
                let (_, permit) = held.swap_remove(random(held.len()));
                drop(permit);
                let is_waiting = !waiting.is_empty();
                let granted = (0..waiting.len()).find_map(|at| Some((at, granted(&mut waiting[at].1)?)));
                assert_eq!(granted.is_some(), is_waiting);
                if let Some((at, permit)) = granted {
                    let (index, _) = waiting.remove(at);
                    let count = |lane: usize| held.iter().filter(|(of, _)| *of == lane).count();
                    let has_less = |other: &usize| {
                        count(*other) * lanes[index].share < count(index) * lanes[*other].share
                    };
                    let overlooked = waiting.iter().map(|(of, _)| of).find(|other| has_less(other));
                    assert_eq!(overlooked, None, "{index} was given one");
                    held.push((index, permit));
                }
            }
        }
    }

    /// Comparisons per lane if `lanes` lanes wait and are served one after the other.
    fn comparisons(lanes: usize) -> usize {
        let semaphore = FairSemaphore::new(1);
        let held = semaphore.try_acquire(&lane(1)).unwrap();
        COMPARED.set(0);
        let mut waiting: Vec<Waiting> = (0..lanes).map(|_| semaphore.wait(&lane(1))).collect();
        drop(held);
        for waiting in &mut waiting {
            drop(granted(waiting).unwrap());
        }
        COMPARED.get() / lanes
    }

    #[test]
    fn the_cost_grows_with_the_logarithm_of_the_waiting_tenants() {
        let (few, many) = (comparisons(100), comparisons(10_000));
        assert!(
            few > 0 && many <= 3 * few,
            "{few} for 100 lanes, {many} for 10,000"
        );
    }

    #[test]
    fn no_permit_is_lost_or_given_twice_between_threads() {
        let semaphore = FairSemaphore::new(2);
        let (working, most) = (&AtomicUsize::new(0), &AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                let (semaphore, lane) = (semaphore.clone(), lane(1));
                scope.spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                    let acquire = async || {
                        let permit = semaphore.acquire(&lane).await;
                        most.fetch_max(working.fetch_add(1, SeqCst) + 1, SeqCst);
                        tokio::task::yield_now().await;
                        working.fetch_sub(1, SeqCst);
                        drop(permit);
                    };
                    runtime.block_on(async {
                        for _ in 0..2_000 {
                            tokio::join!(acquire(), acquire(), acquire());
                        }
                    });
                });
            }
        });
        assert_eq!(most.load(SeqCst), 2);
        assert_eq!((semaphore.held(), semaphore.waiting()), (0, 0));
    }
}
