//! Circuit breakers for origins that fail repeatedly.
//!
//! While a circuit is open, requests fail at once instead of waiting for the origin.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::domain::circuit::{Circuit, CircuitSettings, Passage};
use crate::domain::clock::Timestamp;
use crate::domain::origin::Origin;

/// Consecutive failures that open a circuit.
pub const FAILURES: u32 = 5;

/// How long a circuit stays open before one probe request is allowed.
pub const OPEN_FOR: Duration = Duration::from_secs(10);

/// The circuits of one tenant. Only origins whose last attempt failed are stored.
#[derive(Debug, Default)]
pub struct Breakers {
    circuits: Mutex<HashMap<Origin, Circuit>>,
}

const SETTINGS: CircuitSettings = CircuitSettings {
    failures: FAILURES,
    first_wait: OPEN_FOR,
    longest_wait: OPEN_FOR,
};

/// The permit for one request to an origin. The holder reports the result. Dropping the permit
/// without a result lets another request probe the origin: the request may have been rejected
/// elsewhere, cancelled by the plugin, or ended by a limit.
#[derive(Debug)]
pub struct Admission {
    breakers: Arc<Breakers>,
    origin: Origin,
    is_probe: bool,
}

impl Breakers {
    /// Returns a permit for a request to `origin`, or `None` if the circuit is open. After the
    /// waiting time, the first caller gets a probe, and the circuit stays open for the others.
    pub fn admit(self: &Arc<Self>, origin: &Origin, now: Timestamp) -> Option<Admission> {
        let passage = match self.circuits().get_mut(origin) {
            Some(circuit) => circuit.ask(now, Duration::ZERO),
            None => Passage::Free,
        };
        let is_probe = match passage {
            Passage::Free => false,
            Passage::Probe => true,
            Passage::Refused { .. } => return None,
        };
        Some(Admission {
            breakers: self.clone(),
            origin: origin.clone(),
            is_probe,
        })
    }

    fn circuits(&self) -> MutexGuard<'_, HashMap<Origin, Circuit>> {
        self.circuits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Admission {
    /// Records that the origin answered, with any status.
    pub fn succeeded(mut self) {
        self.is_probe = false;
        self.breakers.circuits().remove(&self.origin);
    }

    /// Records that the origin could not be reached or did not answer in time.
    pub fn failed(mut self, now: Timestamp) {
        self.is_probe = false;
        let mut circuits = self.breakers.circuits();
        let circuit = circuits.entry(self.origin.clone()).or_default();
        circuit.failed(now, &SETTINGS);
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        if self.is_probe
            && let Some(circuit) = self.breakers.circuits().get_mut(&self.origin)
        {
            circuit.gave_up();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(text: &str) -> Origin {
        text.parse().unwrap()
    }

    fn opened() -> (Arc<Breakers>, Origin) {
        let (breakers, origin) = (Arc::new(Breakers::default()), origin("https://a.example"));
        for _ in 0..FAILURES {
            fails(&breakers, &origin, 0);
        }
        (breakers, origin)
    }

    #[track_caller]
    fn fails(breakers: &Arc<Breakers>, origin: &Origin, now: i64) {
        let admission = breakers.admit(origin, Timestamp(now)).unwrap();
        admission.failed(Timestamp(now));
    }

    fn admits(breakers: &Arc<Breakers>, origin: &Origin, now: i64) -> bool {
        breakers.admit(origin, Timestamp(now)).is_some()
    }

    #[test]
    fn failures_in_a_row_open_the_circuit_of_that_origin_alone() {
        let (breakers, failing) = opened();
        assert!(!admits(&breakers, &failing, 9_999));
        assert!(admits(&breakers, &origin("https://b.example"), 0));
        assert!(admits(&breakers, &origin("http://a.example"), 0));
    }

    #[test]
    fn one_probe_decides_whether_it_closes() {
        let (breakers, origin) = opened();
        let probe = breakers.admit(&origin, Timestamp(10_000)).unwrap();
        assert!(!admits(&breakers, &origin, 10_001), "one probe at a time");
        probe.failed(Timestamp(11_000));
        assert!(!admits(&breakers, &origin, 20_999));
        let probe = breakers.admit(&origin, Timestamp(21_000)).unwrap();
        probe.succeeded();
        assert!(admits(&breakers, &origin, 21_001));
        assert!(breakers.circuits().is_empty());
    }

    #[test]
    fn a_probe_that_is_dropped_leaves_its_permit_to_the_next() {
        let (breakers, origin) = opened();
        drop(breakers.admit(&origin, Timestamp(10_000)).unwrap());
        let probe = breakers.admit(&origin, Timestamp(10_000)).unwrap();
        assert!(!admits(&breakers, &origin, 10_000));
        drop(probe);
        assert!(admits(&breakers, &origin, 10_000));
    }

    #[test]
    fn a_probe_that_never_ends_does_not_block_for_good() {
        let (breakers, origin) = opened();
        let _never = breakers.admit(&origin, Timestamp(10_000)).unwrap();
        assert!(admits(&breakers, &origin, 20_000));
    }

    #[test]
    fn a_success_between_failures_starts_the_count_again() {
        let (breakers, origin) = (Arc::new(Breakers::default()), origin("https://a.example"));
        for _ in 1..FAILURES {
            fails(&breakers, &origin, 0);
        }
        breakers.admit(&origin, Timestamp(0)).unwrap().succeeded();
        fails(&breakers, &origin, 0);
        assert!(admits(&breakers, &origin, 0));
    }
}
