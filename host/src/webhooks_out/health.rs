//! Decides when an endpoint is called: its circuit breaker and its rate, on this node.
//!
//! The state is in memory. After a restart, a dead endpoint gets some attempts until its circuit
//! opens again.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::domain::circuit::{Circuit, CircuitSettings, Passage};
use crate::domain::clock::{HOUR, Timestamp};
use crate::domain::id::{DeliveryId, EndpointId};

/// When the circuit of an endpoint opens, and for how long.
const SETTINGS: CircuitSettings = CircuitSettings {
    failures: 5,
    first_wait: Duration::from_secs(30),
    longest_wait: Duration::from_secs(10 * 60),
};

/// After this time, a probe that did not report is replaced. It is longer than an attempt.
const LONGEST_ATTEMPT: Duration = Duration::from_secs(60);

/// The most endpoints whose state is kept. Above it, states that were not used for an hour are
/// dropped.
const MOST_ENDPOINTS: usize = 10_000;

/// The most reserved times of one endpoint. Further deliveries get a time, but no reservation.
const MOST_RESERVED: usize = 10_000;

/// The endpoints of this node.
#[derive(Debug, Default)]
pub(super) struct EndpointHealth(Mutex<HashMap<EndpointId, Health>>);

/// Whether a delivery is sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It is sent, and its outcome is reported.
    Now,
    /// It waits until then.
    Later {
        /// When it asks again.
        at: Timestamp,
        /// Why it waits.
        why: &'static str,
    },
}

/// The state of one endpoint.
#[derive(Debug)]
struct Health {
    circuit: Circuit,
    pace: Pace,
    /// When a delivery asked last.
    used: Timestamp,
}

/// The times at which deliveries may be sent. Each delivery that comes too early gets a time of its
/// own, so that they do not all come back at once.
#[derive(Debug)]
struct Pace {
    /// The next time that no delivery has.
    next: Timestamp,
    reserved: HashMap<DeliveryId, Timestamp>,
}

impl EndpointHealth {
    /// Whether a delivery is sent now. `random` is between 0 and 1.
    pub fn ask(
        &self,
        endpoint: EndpointId,
        rate_per_minute: Option<NonZeroU32>,
        delivery: DeliveryId,
        now: Timestamp,
        random: f64,
    ) -> Turn {
        let mut all = self.lock();
        if all.len() >= MOST_ENDPOINTS {
            all.retain(|_, health| health.used.saturating_add(HOUR) > now);
        }
        let health = all.entry(endpoint).or_insert_with(|| Health::new(now));
        health.used = now;
        if let Passage::Refused { retry_after } = health.circuit.outlook(now) {
            // The deliveries that wait come back spread over as long again, and one at a time is
            // the probe.
            let spread = retry_after
                .max(SETTINGS.first_wait)
                .mul_f64(random.clamp(0.0, 1.0));
            return Turn::Later {
                at: now.saturating_add(retry_after).saturating_add(spread),
                why: "the endpoint failed several times in a row, so it is not called for a while",
            };
        }
        if let Some(rate) = rate_per_minute
            && let Some(at) = health.pace.later(delivery, rate, now)
        {
            return Turn::Later {
                at,
                why: "the endpoint gets no more deliveries in a minute than its rate says",
            };
        }
        health.circuit.ask(now, LONGEST_ATTEMPT);
        Turn::Now
    }

    /// The endpoint accepted a delivery.
    pub fn succeeded(&self, endpoint: EndpointId) {
        if let Some(health) = self.lock().get_mut(&endpoint) {
            health.circuit.succeeded();
        }
    }

    /// A delivery failed. Returns whether the circuit opened.
    pub fn failed(&self, endpoint: EndpointId, now: Timestamp) -> bool {
        let mut all = self.lock();
        all.get_mut(&endpoint)
            .is_some_and(|health| health.circuit.failed(now, &SETTINGS))
    }

    /// Forgets an endpoint.
    pub fn forget(&self, endpoint: EndpointId) {
        self.lock().remove(&endpoint);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<EndpointId, Health>> {
        // Nothing panics while the lock is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Health {
    fn new(now: Timestamp) -> Self {
        Self {
            circuit: Circuit::default(),
            pace: Pace {
                next: now,
                reserved: HashMap::new(),
            },
            used: now,
        }
    }
}

impl Pace {
    /// When a delivery may be sent, if that is not now.
    fn later(&mut self, delivery: DeliveryId, rate: NonZeroU32, now: Timestamp) -> Option<Timestamp> {
        if let Some(at) = self.reserved.get(&delivery).copied() {
            if at > now {
                return Some(at);
            }
            self.reserved.remove(&delivery);
            return None;
        }
        let interval = Duration::from_secs(60) / rate.get();
        let at = self.next.max(now);
        self.next = at.saturating_add(interval);
        if at <= now {
            return None;
        }
        if self.reserved.len() >= MOST_RESERVED {
            // Deliveries that were cancelled meanwhile do not come back.
            self.reserved.retain(|_, at| at.saturating_add(HOUR) > now);
        }
        if self.reserved.len() < MOST_RESERVED {
            self.reserved.insert(delivery, at);
        }
        Some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn later(seconds: u64) -> Timestamp {
        Timestamp(0).saturating_add(Duration::from_secs(seconds))
    }

    fn ask(health: &EndpointHealth, endpoint: EndpointId, at: Timestamp) -> Turn {
        health.ask(endpoint, None, DeliveryId::generate(), at, 0.0)
    }

    #[test]
    fn a_dead_endpoint_is_called_by_one_delivery_at_a_time() {
        let (health, endpoint) = (EndpointHealth::default(), EndpointId::generate());
        for failure in 1..=5 {
            assert_eq!(ask(&health, endpoint, later(0)), Turn::Now);
            assert_eq!(health.failed(endpoint, later(0)), failure == 5);
        }
        let Turn::Later { at, .. } = ask(&health, endpoint, later(0)) else {
            panic!("the circuit is open");
        };
        assert_eq!(at, later(30));
        assert_eq!(ask(&health, EndpointId::generate(), later(0)), Turn::Now);
        assert_eq!(ask(&health, endpoint, later(30)), Turn::Now, "it is the probe");
        assert!(matches!(ask(&health, endpoint, later(30)), Turn::Later { .. }));
        health.succeeded(endpoint);
        assert_eq!(ask(&health, endpoint, later(31)), Turn::Now);
        assert_eq!(ask(&health, endpoint, later(31)), Turn::Now);
    }

    #[test]
    fn waiting_deliveries_come_back_spread() {
        let (health, endpoint) = (EndpointHealth::default(), EndpointId::generate());
        for _ in 0..5 {
            ask(&health, endpoint, later(0));
            health.failed(endpoint, later(0));
        }
        let at = |random| match health.ask(endpoint, None, DeliveryId::generate(), later(10), random) {
            Turn::Later { at, .. } => at,
            Turn::Now => panic!("the circuit is open"),
        };
        assert_eq!((at(0.0), at(0.5), at(1.0)), (later(30), later(45), later(60)));
    }

    #[test]
    fn a_rate_gives_each_delivery_a_time_of_its_own() {
        let (health, endpoint) = (EndpointHealth::default(), EndpointId::generate());
        let rate = NonZeroU32::new(6);
        let deliveries: Vec<_> = (0..3).map(|_| DeliveryId::generate()).collect();
        let turn = |index: usize, at| health.ask(endpoint, rate, deliveries[index], at, 0.0);
        assert_eq!(turn(0, later(0)), Turn::Now);
        for (index, wanted) in [(1, 10), (2, 20), (1, 10)] {
            let Turn::Later { at, .. } = turn(index, later(0)) else {
                panic!("it is too early");
            };
            assert_eq!(at, later(wanted));
        }
        assert_eq!(turn(1, later(10)), Turn::Now);
        assert_eq!(turn(2, later(20)), Turn::Now);
    }
}
