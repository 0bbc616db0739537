//! The circuit breaker of a route or function: it opens if the plugin fails there repeatedly.
//!
//! Failures are counted for each route and function of each version. A plugin with one broken route
//! is still called on its other routes, and a newly activated version begins with closed breakers.
//!
//! Only consecutive failures count. A single success shows that the route works for some callers,
//! and a caller that triggers failures must not block the route for the others.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::domain::circuit::{Circuit, CircuitSettings, Open, Passage};
use crate::domain::clock::Timestamp;
use crate::domain::problem::Code;
use crate::metrics::{Gauge, GaugeGuard};

/// The settings and the gauge that all circuit breakers of a host share.
#[derive(Clone, Debug, Default)]
pub struct Breaker {
    settings: CircuitSettings,
    unhealthy: Gauge,
}

/// The circuit breaker of one route or function of a version.
#[derive(Debug)]
pub struct RouteHealth {
    breaker: Breaker,
    /// No recent failure. If it is set, requests do not take the lock.
    is_untouched: AtomicBool,
    state: Mutex<State>,
}

/// A permit for a request to run. If it is dropped without a report, the outcome does not count.
#[derive(Debug)]
pub struct HealthPermit<'a> {
    health: &'a RouteHealth,
    is_probe: bool,
}

/// The circuit breaker is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unhealthy {
    /// When the next request is permitted.
    pub retry_after: Duration,
}

/// What a report changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The circuit breaker opened.
    BecameUnhealthy,
    /// The circuit breaker closed.
    Recovered,
}

/// The state of an open circuit breaker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenCircuit {
    /// When it opened, and for how long.
    pub open: Open,
    /// The failure of the last request.
    pub reason: Code,
}

#[derive(Debug, Default)]
struct State {
    circuit: Circuit,
    reason: Option<Code>,
    _counted: Option<GaugeGuard>,
}

impl Breaker {
    /// A breaker with these settings.
    pub fn new(settings: CircuitSettings) -> Self {
        Self {
            settings,
            unhealthy: Gauge::default(),
        }
    }

    /// The gauge of open circuit breakers.
    pub fn unhealthy(&self) -> &Gauge {
        &self.unhealthy
    }
}

impl RouteHealth {
    /// A closed circuit breaker.
    pub fn new(breaker: Breaker) -> Self {
        Self {
            breaker,
            is_untouched: AtomicBool::new(true),
            state: Mutex::default(),
        }
    }

    /// Checks whether a request would be permitted. It reserves nothing: a request whose body never
    /// arrives must not become the probe that others wait for.
    pub fn check(&self, now: Timestamp) -> Result<(), Unhealthy> {
        if self.is_untouched.load(Ordering::Relaxed) {
            return Ok(());
        }
        match self.lock().circuit.outlook(now) {
            Passage::Free | Passage::Probe => Ok(()),
            Passage::Refused { retry_after } => Err(Unhealthy { retry_after }),
        }
    }

    /// Permits a request that runs for at most `wall`. If the breaker is half-open, the request is
    /// the probe.
    pub fn permit(&self, now: Timestamp, wall: Duration) -> Result<HealthPermit<'_>, Unhealthy> {
        let passage = match self.is_untouched.load(Ordering::Relaxed) {
            true => Passage::Free,
            false => self.lock().circuit.ask(now, wall),
        };
        let is_probe = match passage {
            Passage::Free => false,
            Passage::Probe => true,
            Passage::Refused { retry_after } => return Err(Unhealthy { retry_after }),
        };
        Ok(HealthPermit {
            health: self,
            is_probe,
        })
    }

    /// The state of the breaker, if it is open.
    pub fn open_circuit(&self) -> Option<OpenCircuit> {
        let state = self.lock();
        Some(OpenCircuit {
            open: state.circuit.open()?.clone(),
            reason: state.reason?,
        })
    }

    /// Closes the breaker and forgets all failures.
    pub fn recover(&self) {
        let mut state = self.lock();
        *state = State::default();
        // Set under the lock, because the next failure resets it.
        self.is_untouched.store(true, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HealthPermit<'_> {
    /// Reports that the plugin responded, with any status.
    pub fn succeeded(mut self) -> Option<Change> {
        self.is_probe = false;
        if self.health.is_untouched.load(Ordering::Relaxed) {
            return None;
        }
        let mut state = self.health.lock();
        let was_open = std::mem::take(&mut *state).circuit.succeeded();
        self.health.is_untouched.store(true, Ordering::Relaxed);
        was_open.then_some(Change::Recovered)
    }

    /// Reports a fault of the plugin or an exceeded limit.
    pub fn failed(mut self, now: Timestamp, reason: Code) -> Option<Change> {
        let is_probe = std::mem::take(&mut self.is_probe);
        let mut state = self.health.lock();
        if state.circuit.open().is_some() && !is_probe {
            return None;
        }
        state.reason = Some(reason);
        self.health.is_untouched.store(false, Ordering::Relaxed);
        if !state.circuit.failed(now, &self.health.breaker.settings) {
            return None;
        }
        state._counted = Some(self.health.breaker.unhealthy.hold());
        Some(Change::BecameUnhealthy)
    }
}

impl Drop for HealthPermit<'_> {
    fn drop(&mut self) {
        if self.is_probe {
            self.health.lock().circuit.gave_up();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALL: Duration = Duration::from_secs(5);

    fn route() -> RouteHealth {
        RouteHealth::new(Breaker::new(CircuitSettings {
            failures: 2,
            first_wait: Duration::from_secs(1),
            longest_wait: Duration::from_secs(60),
        }))
    }

    fn fail(route: &RouteHealth, now: i64) -> Option<Change> {
        let permit = route.permit(Timestamp(now), WALL).unwrap();
        permit.failed(Timestamp(now), Code::PluginTrapped)
    }

    #[test]
    fn what_fails_all_the_time_is_left_alone_and_counted() {
        let route = route();
        assert_eq!(fail(&route, 0), None);
        assert_eq!(route.open_circuit(), None);
        assert_eq!(fail(&route, 0), Some(Change::BecameUnhealthy));
        assert_eq!(route.breaker.unhealthy().get(), 1);
        assert_eq!(route.open_circuit().unwrap().reason, Code::PluginTrapped);
        let refused = Unhealthy {
            retry_after: Duration::from_millis(600),
        };
        assert_eq!(route.check(Timestamp(400)), Err(refused));
        assert_eq!(route.permit(Timestamp(400), WALL).unwrap_err(), refused);
    }

    #[test]
    fn one_request_at_a_time_tries_again() {
        let route = route();
        fail(&route, 0);
        fail(&route, 0);
        assert_eq!(route.check(Timestamp(1_000)), Ok(()), "asking takes nothing");
        let probe = route.permit(Timestamp(1_000), WALL).unwrap();
        assert!(route.check(Timestamp(5_999)).is_err());
        assert!(route.permit(Timestamp(5_999), WALL).is_err());
        assert_eq!(probe.succeeded(), Some(Change::Recovered));
        assert_eq!(route.breaker.unhealthy().get(), 0);
        assert!(route.permit(Timestamp(1_000), WALL).is_ok());
    }

    #[test]
    fn a_probe_whose_caller_goes_away_leaves_its_permit_to_the_next() {
        let route = route();
        fail(&route, 0);
        fail(&route, 0);
        drop(route.permit(Timestamp(1_000), WALL).unwrap());
        assert!(route.permit(Timestamp(1_000), WALL).is_ok());
    }

    #[test]
    fn what_began_before_does_not_stand_for_the_probe() {
        let route = route();
        let early = [0, 1].map(|_| route.permit(Timestamp(0), WALL).unwrap());
        fail(&route, 0);
        fail(&route, 0);
        let _probe = route.permit(Timestamp(1_000), WALL).unwrap();
        let [first, second] = early;
        assert_eq!(first.failed(Timestamp(1_000), Code::PluginCpu), None);
        assert!(
            route.permit(Timestamp(5_000), WALL).is_err(),
            "the probe is under way"
        );
        assert_eq!(
            second.succeeded(),
            Some(Change::Recovered),
            "an answer is an answer"
        );
    }

    #[test]
    fn recovering_forgets_everything() {
        let route = route();
        fail(&route, 0);
        fail(&route, 0);
        route.recover();
        assert_eq!(route.open_circuit(), None);
        assert_eq!(fail(&route, 0), None);
    }
}
