//! Circuit breakers: an origin that fails time after time is left alone for a while, so that plugins get their answer
//! at once instead of waiting for it to fail again.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::domain::circuit::{Circuit, CircuitSettings, Passage};
use crate::domain::clock::Timestamp;
use crate::domain::origin::Origin;

/// Failures one after the other that open a circuit.
pub const FAILURES: u32 = 5;

/// How long a circuit stays open before one request may try again.
pub const OPEN_FOR: Duration = Duration::from_secs(10);

/// The circuits of one tenant. Only origins whose last attempt failed take memory here.
#[derive(Debug, Default)]
pub struct Breakers {
    circuits: Mutex<HashMap<Origin, Circuit>>,
}

const SETTINGS: CircuitSettings = CircuitSettings {
    failures: FAILURES,
    first_wait: OPEN_FOR,
    longest_wait: OPEN_FOR,
};

impl Breakers {
    /// Whether a request to `origin` may be sent now. Where a circuit has been open long enough, the first to ask may,
    /// and the circuit stays open for the others; a probe that never reports therefore blocks nobody for good.
    pub fn admits(&self, origin: &Origin, now: Timestamp) -> bool {
        let mut circuits = self.circuits.lock().unwrap_or_else(PoisonError::into_inner);
        match circuits.get_mut(origin) {
            Some(circuit) => !matches!(circuit.ask(now, Duration::ZERO), Passage::Refused { .. }),
            None => true,
        }
    }

    /// Records that `origin` answered, whatever the status.
    pub fn succeeded(&self, origin: &Origin) {
        let mut circuits = self.circuits.lock().unwrap_or_else(PoisonError::into_inner);
        circuits.remove(origin);
    }

    /// Records that `origin` could not be reached or did not answer in time.
    pub fn failed(&self, origin: &Origin, now: Timestamp) {
        let mut circuits = self.circuits.lock().unwrap_or_else(PoisonError::into_inner);
        let circuit = circuits.entry(origin.clone()).or_default();
        circuit.failed(now, &SETTINGS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(text: &str) -> Origin {
        text.parse().unwrap()
    }

    fn opened() -> (Breakers, Origin) {
        let (breakers, origin) = (Breakers::default(), origin("https://a.example"));
        for _ in 0..FAILURES {
            assert!(breakers.admits(&origin, Timestamp(0)));
            breakers.failed(&origin, Timestamp(0));
        }
        (breakers, origin)
    }

    #[test]
    fn failures_in_a_row_open_the_circuit_of_that_origin_alone() {
        let (breakers, failing) = opened();
        assert!(!breakers.admits(&failing, Timestamp(9_999)));
        assert!(breakers.admits(&origin("https://b.example"), Timestamp(0)));
        assert!(breakers.admits(&origin("http://a.example"), Timestamp(0)));
    }

    #[test]
    fn one_probe_decides_whether_it_closes() {
        let (breakers, origin) = opened();
        assert!(breakers.admits(&origin, Timestamp(10_000)));
        assert!(
            !breakers.admits(&origin, Timestamp(10_001)),
            "one probe at a time"
        );
        breakers.failed(&origin, Timestamp(11_000));
        assert!(!breakers.admits(&origin, Timestamp(20_999)));
        assert!(breakers.admits(&origin, Timestamp(21_000)));
        breakers.succeeded(&origin);
        assert!(breakers.admits(&origin, Timestamp(21_001)));
        assert!(breakers.circuits.lock().unwrap().is_empty());
    }

    #[test]
    fn a_probe_that_never_reports_does_not_block_for_good() {
        let (breakers, origin) = opened();
        assert!(breakers.admits(&origin, Timestamp(10_000)));
        assert!(breakers.admits(&origin, Timestamp(20_000)));
    }

    #[test]
    fn a_success_between_failures_starts_the_count_again() {
        let (breakers, origin) = (Breakers::default(), origin("https://a.example"));
        for _ in 1..FAILURES {
            breakers.failed(&origin, Timestamp(0));
        }
        breakers.succeeded(&origin);
        breakers.failed(&origin, Timestamp(0));
        assert!(breakers.admits(&origin, Timestamp(0)));
    }
}
