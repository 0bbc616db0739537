//! Admits requests of a tenant: how many run at once, how many wait, and how often they come.
//!
//! It also has the lanes in which they wait for what all tenants share.

use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::rate::{RateLimiter, Standing};
use crate::deadline::within;
use crate::domain::clock::Timestamp;
use crate::domain::limits::Limits;
use crate::fair_semaphore::Lane;
use crate::sandbox::GuestLanes;

/// The gate of one tenant.
#[derive(Debug)]
pub struct Gate {
    size: GateSize,
    turns: Arc<Semaphore>,
    admitted: AtomicU32,
    rates: Rates,
    lanes: Lanes,
}

/// The tenant's rate, counted so that callers without a valid credential cannot use up what the
/// others have.
#[derive(Debug)]
struct Rates {
    /// Requests with a valid credential. They have the whole rate.
    authenticated: RateLimiter,
    /// All requests. Anonymous ones have what the authenticated ones leave of the rate.
    all: RateLimiter,
    /// Credentials that were missing or wrong where one was needed.
    failures: RateLimiter,
}

/// Who a request comes from, as far as rates are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// The holder of a valid credential.
    Authenticated,
    /// Anybody, on a public route.
    Anonymous,
}

/// What the tenant holds of what all tenants share.
#[derive(Debug)]
pub struct Lanes {
    /// Of the instances of the host.
    pub instances: Arc<Lane>,
    /// Of the turns on the plugins' threads.
    pub guests: Arc<GuestLanes>,
}

/// A request that was let in. Dropping it gives its place to another.
#[derive(Debug)]
pub struct Admitted(Arc<Gate>, u32);

/// The limits that a gate holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GateSize {
    concurrency: u32,
    queue: u32,
    queue_wait: Duration,
    requests_per_second: u32,
    request_burst: u32,
    share: u32,
}

/// The tenant has as many requests running and waiting as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full {
    /// When it may be worth to try again.
    pub retry_after: Duration,
}

impl From<&Limits> for GateSize {
    fn from(limits: &Limits) -> Self {
        Self {
            concurrency: limits.concurrency,
            queue: limits.queue,
            queue_wait: limits.queue_wait.0,
            requests_per_second: limits.requests_per_second,
            request_burst: limits.request_burst,
            share: limits.share,
        }
    }
}

impl Gate {
    /// An open gate.
    pub fn new(size: GateSize) -> Self {
        let at_least_one = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        let rate = || {
            RateLimiter::new(
                at_least_one(size.requests_per_second),
                Duration::from_secs(1),
                at_least_one(size.request_burst),
            )
        };
        Self {
            size,
            turns: Arc::new(Semaphore::new(
                usize::try_from(size.concurrency).unwrap_or(Semaphore::MAX_PERMITS),
            )),
            admitted: AtomicU32::new(0),
            rates: Rates {
                authenticated: rate(),
                all: rate(),
                failures: rate(),
            },
            lanes: Lanes {
                instances: Arc::new(Lane::new(size.share)),
                guests: Arc::new(GuestLanes::new(size.share)),
            },
        }
    }

    /// The limits that it holds.
    pub fn size(&self) -> GateSize {
        self.size
    }

    /// The tenant's lanes.
    pub fn lanes(&self) -> &Lanes {
        &self.lanes
    }

    /// Counts a request against the tenant's rate.
    pub fn check_rate(&self, caller: Caller, now: Timestamp) -> Result<Standing, Standing> {
        match caller {
            Caller::Anonymous => self.rates.all.check(now),
            Caller::Authenticated => {
                let standing = self.rates.authenticated.check(now)?;
                self.rates.all.charge(now);
                Ok(standing)
            }
        }
    }

    /// Counts a credential that was missing or wrong. No valid credential is refused because of
    /// these.
    pub fn check_failures(&self, now: Timestamp) -> Result<Standing, Standing> {
        self.rates.failures.check(now)
    }

    /// Whether [`Gate::admit`] would refuse a request now. For a first look, before the body is
    /// read.
    pub fn is_full(&self) -> bool {
        self.admitted.load(Ordering::Acquire) >= self.size.places()
    }

    /// Lets a request in whose body is there: one of those that run, or that wait behind them. It
    /// holds its place until its response is made.
    pub fn admit(self: &Arc<Self>) -> Result<Admitted, Full> {
        let before = self.admitted.fetch_add(1, Ordering::AcqRel);
        if before >= self.size.places() {
            self.admitted.fetch_sub(1, Ordering::AcqRel);
            return Err(self.full());
        }
        Ok(Admitted(self.clone(), before + 1))
    }

    /// What a request is told that finds no place.
    pub fn full(&self) -> Full {
        Full {
            retry_after: self.size.queue_wait,
        }
    }
}

impl GateSize {
    /// Requests that run, and that wait behind them.
    fn places(&self) -> u32 {
        self.concurrency.saturating_add(self.queue)
    }
}

impl Admitted {
    /// How many of the tenant's requests ran and waited when this one was let in, itself included.
    pub fn place(&self) -> u32 {
        self.1
    }

    /// Waits for a turn to run, for a bounded time.
    pub async fn turn(&self) -> Result<OwnedSemaphorePermit, Full> {
        let turn = pin!(self.0.turns.clone().acquire_owned());
        let turn = within(self.0.size.queue_wait, turn).await;
        turn.ok().and_then(Result::ok).ok_or_else(|| self.0.full())
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.0.admitted.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::domain::units::Span;

    fn gate(concurrency: u32, queue: u32, queue_wait: Span) -> Arc<Gate> {
        let limits = Limits {
            concurrency,
            queue,
            queue_wait,
            ..Limits::default()
        };
        Arc::new(Gate::new(GateSize::from(&limits)))
    }

    #[tokio::test]
    async fn who_is_beyond_the_queue_is_refused_at_once() {
        let gate = gate(1, 1, Span::s(60));
        let (first, second) = (gate.admit().unwrap(), gate.admit().unwrap());
        assert!(gate.is_full() && gate.admit().is_err());
        let running = first.turn().await.unwrap();
        let mut waiting = Box::pin(second.turn());
        assert!((&mut waiting).now_or_never().is_none());
        drop(running);
        assert!(waiting.now_or_never().unwrap().is_ok());
        drop(first);
        assert!(gate.admit().is_ok());
    }

    #[tokio::test]
    async fn who_waits_too_long_is_refused() {
        let gate = gate(1, 1, Span::ms(1));
        let (first, second) = (gate.admit().unwrap(), gate.admit().unwrap());
        let running = first.turn().await.unwrap();
        assert_eq!(
            second.turn().await.unwrap_err(),
            Full {
                retry_after: Duration::from_millis(1)
            }
        );
        drop(running);
        assert!(second.turn().await.is_ok());
    }

    fn gate_with_rate(requests_per_second: u32, request_burst: u32) -> Gate {
        let limits = Limits {
            requests_per_second,
            request_burst,
            ..Limits::default()
        };
        Gate::new(GateSize::from(&limits))
    }

    #[test]
    fn anonymous_callers_take_nothing_from_authenticated_ones() {
        let gate = gate_with_rate(10, 20);
        let taken = |caller, now| {
            let checks = (0..1_000).map(|_| gate.check_rate(caller, Timestamp(now)));
            checks.filter(Result::is_ok).count()
        };
        for second in 0..10 {
            let now = second * 1_000;
            let anonymous = taken(Caller::Anonymous, now);
            let authenticated = taken(Caller::Authenticated, now);
            // After the burst nothing is left: the authenticated ones use the whole rate.
            let wanted = if second == 0 { (20, 20) } else { (0, 10) };
            assert_eq!((anonymous, authenticated), wanted, "second {second}");
        }
    }

    #[test]
    fn anonymous_callers_get_what_authenticated_ones_leave() {
        let gate = gate_with_rate(10, 10);
        let check = |caller| gate.check_rate(caller, Timestamp(0)).is_ok();
        assert!((0..7).all(|_| check(Caller::Authenticated)));
        assert!((0..3).all(|_| check(Caller::Anonymous)));
        assert!(!check(Caller::Anonymous));
        assert!((0..3).all(|_| check(Caller::Authenticated)));
        assert!(!check(Caller::Authenticated));
    }

    #[test]
    fn failures_are_counted_apart() {
        let gate = gate_with_rate(1, 2);
        let failure = || gate.check_failures(Timestamp(0)).is_ok();
        assert_eq!([(); 3].map(|()| failure()), [true, true, false]);
        assert!(gate.check_rate(Caller::Authenticated, Timestamp(0)).is_ok());
        assert!(gate.check_rate(Caller::Anonymous, Timestamp(0)).is_ok());
    }

    #[tokio::test]
    async fn who_goes_away_gives_the_place_back() {
        let gate = gate(1, 0, Span::s(60));
        drop(gate.admit().unwrap());
        assert!(gate.admit().is_ok());
    }
}
