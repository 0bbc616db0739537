//! The gate of a tenant: how many of its requests run at once, how many wait behind them, how often they come, and
//! the lanes in which they wait for what all tenants share.

use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::rate::{RateLimiter, Standing};
use crate::domain::clock::Timestamp;
use crate::domain::limits::Limits;
use crate::invoke::deadline::within;
use crate::sandbox::GuestLanes;
use crate::tenants::fair_semaphore::Lane;

/// The gate of one tenant.
#[derive(Debug)]
pub struct Gate {
    size: GateSize,
    turns: Arc<Semaphore>,
    admitted: AtomicU32,
    rate: RateLimiter,
    lanes: Lanes,
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
        Self {
            size,
            turns: Arc::new(Semaphore::new(
                usize::try_from(size.concurrency).unwrap_or(Semaphore::MAX_PERMITS),
            )),
            admitted: AtomicU32::new(0),
            rate: RateLimiter::new(
                at_least_one(size.requests_per_second),
                Duration::from_secs(1),
                at_least_one(size.request_burst),
            ),
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
    pub fn check_rate(&self, now: Timestamp) -> Result<Standing, Standing> {
        self.rate.check(now)
    }

    /// Lets a request in: one of those that run, or that wait behind them. It holds a place from before its body is
    /// read until its response is made, so that a tenant's bodies in memory are bounded by its places.
    pub fn admit(self: &Arc<Self>) -> Result<Admitted, Full> {
        let most = self.size.concurrency.saturating_add(self.size.queue);
        let before = self.admitted.fetch_add(1, Ordering::AcqRel);
        if before >= most {
            self.admitted.fetch_sub(1, Ordering::AcqRel);
            return Err(Full {
                retry_after: self.size.queue_wait,
            });
        }
        Ok(Admitted(self.clone(), before + 1))
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
        turn.ok().and_then(Result::ok).ok_or(Full {
            retry_after: self.0.size.queue_wait,
        })
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
        assert!(gate.admit().is_err());
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

    #[tokio::test]
    async fn who_goes_away_gives_the_place_back() {
        let gate = gate(1, 0, Span::s(60));
        drop(gate.admit().unwrap());
        assert!(gate.admit().is_ok());
    }
}
