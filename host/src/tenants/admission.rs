//! Admission control of one tenant: its running requests, its queue and its rate.
//!
//! It also holds the tenant's lanes for the resources that all tenants share.

use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::rate::{RateDecision, RateLimiter};
use crate::deadline::within;
use crate::domain::clock::Timestamp;
use crate::domain::limits::Limits;
use crate::fair_semaphore::Lane;
use crate::sandbox::GuestLanes;

/// The admission control of one tenant.
#[derive(Debug)]
pub struct TenantAdmission {
    size: AdmissionSize,
    permits: Arc<Semaphore>,
    admitted: AtomicU32,
    rates: Rates,
    lanes: Lanes,
}

/// The tenant's rate limits. Callers without a valid credential cannot use up the rate of the
/// others.
#[derive(Debug)]
struct Rates {
    /// Requests with a valid credential. They may use the whole rate.
    authenticated: RateLimiter,
    /// All requests. Anonymous callers get the part of the rate that authenticated callers leave.
    all: RateLimiter,
    /// Requests with a missing or invalid credential.
    failures: RateLimiter,
}

/// The kind of caller, for rates and memory limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// A caller with a valid credential.
    Authenticated,
    /// Any caller of a public route.
    Anonymous,
}

/// The tenant's lanes for shared resources.
#[derive(Debug)]
pub struct Lanes {
    /// The lane for the host's instances.
    pub instances: Arc<Lane>,
    /// The lanes for time slices on the threads of plugins.
    pub guests: Arc<GuestLanes>,
}

/// An admitted request. Dropping it frees its queue position.
#[derive(Debug)]
pub struct Admitted(Arc<TenantAdmission>, u32);

/// The limits of a tenant's admission control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdmissionSize {
    concurrency: u32,
    queue: u32,
    queue_wait: Duration,
    requests_per_second: u32,
    request_burst: u32,
    share: u32,
}

/// The tenant has reached its limit of running and waiting requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full {
    /// Value of `Retry-After`.
    pub retry_after: Duration,
}

impl From<&Limits> for AdmissionSize {
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

impl TenantAdmission {
    /// Admission control without requests.
    pub fn new(size: AdmissionSize) -> Self {
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
            permits: Arc::new(Semaphore::new(
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

    /// The limits.
    pub fn size(&self) -> AdmissionSize {
        self.size
    }

    /// The tenant's lanes.
    pub fn lanes(&self) -> &Lanes {
        &self.lanes
    }

    /// Counts a request against the tenant's rate.
    pub fn check_rate(&self, caller: Caller, now: Timestamp) -> Result<RateDecision, RateDecision> {
        match caller {
            Caller::Anonymous => self.rates.all.check(now),
            Caller::Authenticated => {
                let decision = self.rates.authenticated.check(now)?;
                self.rates.all.charge(now);
                Ok(decision)
            }
        }
    }

    /// Counts a missing or invalid credential. These never cause a valid credential to be rejected.
    pub fn check_failures(&self, now: Timestamp) -> Result<RateDecision, RateDecision> {
        self.rates.failures.check(now)
    }

    /// Whether [`TenantAdmission::admit`] would reject a request now, for a check before the body
    /// is read.
    pub fn is_full(&self) -> bool {
        self.admitted.load(Ordering::Acquire) >= self.size.capacity()
    }

    /// Admits a request whose body has arrived, to run or to wait. It occupies a queue position
    /// until its response is complete.
    pub fn admit(self: &Arc<Self>) -> Result<Admitted, Full> {
        let before = self.admitted.fetch_add(1, Ordering::AcqRel);
        if before >= self.size.capacity() {
            self.admitted.fetch_sub(1, Ordering::AcqRel);
            return Err(self.full());
        }
        Ok(Admitted(self.clone(), before + 1))
    }

    /// The error for a request that is not admitted.
    pub fn full(&self) -> Full {
        Full {
            retry_after: self.size.queue_wait,
        }
    }
}

impl AdmissionSize {
    /// The most requests that run or wait.
    fn capacity(&self) -> u32 {
        self.concurrency.saturating_add(self.queue)
    }
}

impl Admitted {
    /// The number of the tenant's running and waiting requests when this one was admitted,
    /// including itself.
    pub fn queue_position(&self) -> u32 {
        self.1
    }

    /// Waits for the permit to run, for a bounded time.
    pub async fn permit(&self) -> Result<OwnedSemaphorePermit, Full> {
        let permit = pin!(self.0.permits.clone().acquire_owned());
        let permit = within(self.0.size.queue_wait, permit).await;
        permit.ok().and_then(Result::ok).ok_or_else(|| self.0.full())
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

    fn admission(concurrency: u32, queue: u32, queue_wait: Span) -> Arc<TenantAdmission> {
        let limits = Limits {
            concurrency,
            queue,
            queue_wait,
            ..Limits::default()
        };
        Arc::new(TenantAdmission::new(AdmissionSize::from(&limits)))
    }

    #[tokio::test]
    async fn who_is_beyond_the_queue_is_refused_at_once() {
        let admission = admission(1, 1, Span::s(60));
        let (first, second) = (admission.admit().unwrap(), admission.admit().unwrap());
        assert!(admission.is_full() && admission.admit().is_err());
        let running = first.permit().await.unwrap();
        let mut waiting = Box::pin(second.permit());
        assert!((&mut waiting).now_or_never().is_none());
        drop(running);
        assert!(waiting.now_or_never().unwrap().is_ok());
        drop(first);
        assert!(admission.admit().is_ok());
    }

    #[tokio::test]
    async fn who_waits_too_long_is_refused() {
        let admission = admission(1, 1, Span::ms(1));
        let (first, second) = (admission.admit().unwrap(), admission.admit().unwrap());
        let running = first.permit().await.unwrap();
        assert_eq!(
            second.permit().await.unwrap_err(),
            Full {
                retry_after: Duration::from_millis(1)
            }
        );
        drop(running);
        assert!(second.permit().await.is_ok());
    }

    fn admission_with_rate(requests_per_second: u32, request_burst: u32) -> TenantAdmission {
        let limits = Limits {
            requests_per_second,
            request_burst,
            ..Limits::default()
        };
        TenantAdmission::new(AdmissionSize::from(&limits))
    }

    #[test]
    fn anonymous_callers_take_nothing_from_authenticated_ones() {
        let admission = admission_with_rate(10, 20);
        let taken = |caller, now| {
            let checks = (0..1_000).map(|_| admission.check_rate(caller, Timestamp(now)));
            checks.filter(Result::is_ok).count()
        };
        for second in 0..10 {
            let now = second * 1_000;
            let anonymous = taken(Caller::Anonymous, now);
            let authenticated = taken(Caller::Authenticated, now);
            // After the burst nothing is left, because authenticated callers use the whole rate.
            let wanted = if second == 0 { (20, 20) } else { (0, 10) };
            assert_eq!((anonymous, authenticated), wanted, "second {second}");
        }
    }

    #[test]
    fn anonymous_callers_get_what_authenticated_ones_leave() {
        let admission = admission_with_rate(10, 10);
        let check = |caller| admission.check_rate(caller, Timestamp(0)).is_ok();
        assert!((0..7).all(|_| check(Caller::Authenticated)));
        assert!((0..3).all(|_| check(Caller::Anonymous)));
        assert!(!check(Caller::Anonymous));
        assert!((0..3).all(|_| check(Caller::Authenticated)));
        assert!(!check(Caller::Authenticated));
    }

    #[test]
    fn failures_are_counted_apart() {
        let admission = admission_with_rate(1, 2);
        let failure = || admission.check_failures(Timestamp(0)).is_ok();
        assert_eq!([(); 3].map(|()| failure()), [true, true, false]);
        assert!(admission.check_rate(Caller::Authenticated, Timestamp(0)).is_ok());
        assert!(admission.check_rate(Caller::Anonymous, Timestamp(0)).is_ok());
    }

    #[tokio::test]
    async fn who_goes_away_gives_the_queue_position_back() {
        let admission = admission(1, 0, Span::s(60));
        drop(admission.admit().unwrap());
        assert!(admission.admit().is_ok());
    }
}
