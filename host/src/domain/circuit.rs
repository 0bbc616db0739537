//! Circuit breakers: after several failures in a row, attempts are refused for a while. Then one
//! attempt (a probe) decides whether the circuit closes.

use std::time::Duration;

use super::clock::Timestamp;

/// When circuits open, and for how long. By default they never open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CircuitSettings {
    /// Failures in a row that open a circuit. 0: it never opens.
    pub failures: u32,
    /// How long a circuit stays open before the first probe. Each failed probe doubles the time.
    pub first_wait: Duration,
    /// The longest time between two probes.
    pub longest_wait: Duration,
}

/// One circuit breaker. Its owner reports the success or failure of each attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Circuit {
    failures: u32,
    open: Option<Open>,
}

/// The state of an open circuit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// When the circuit opened.
    pub since: Timestamp,
    /// When the next probe is allowed.
    pub next_probe: Timestamp,
    /// Whether a probe is running and has not reported yet.
    pub is_probing: bool,
    wait: Duration,
}

/// The answer to the question whether an attempt may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// The circuit is closed, so the attempt may be made.
    Free,
    /// The circuit is open, and this attempt decides whether it closes.
    Probe,
    /// The circuit is open, so the attempt may not be made.
    Refused {
        /// Value of `Retry-After`.
        retry_after: Duration,
    },
}

impl Circuit {
    /// What [`Circuit::ask`] would return, without a change of state.
    pub fn outlook(&self, now: Timestamp) -> Passage {
        match &self.open {
            None => Passage::Free,
            Some(open) if now < open.next_probe => Passage::Refused {
                retry_after: open.next_probe.since(now),
            },
            Some(_) => Passage::Probe,
        }
    }

    /// Asks for permission to make an attempt. If the waiting time of an open circuit is over, the
    /// first caller becomes the probe. The others are refused until the probe reports. A probe that
    /// does not report in time (the longer of the wait and `longest_run`) is replaced by the next
    /// caller.
    pub fn ask(&mut self, now: Timestamp, longest_run: Duration) -> Passage {
        let passage = self.outlook(now);
        if let (Passage::Probe, Some(open)) = (passage, &mut self.open) {
            open.is_probing = true;
            open.next_probe = now.saturating_add(open.wait.max(longest_run));
        }
        passage
    }

    /// Records a successful attempt. Returns whether it closed the circuit.
    pub fn succeeded(&mut self) -> bool {
        std::mem::take(self).open.is_some()
    }

    /// Records a failed attempt. Returns whether it opened the circuit.
    pub fn failed(&mut self, now: Timestamp, settings: &CircuitSettings) -> bool {
        self.failures = self.failures.saturating_add(1);
        match &mut self.open {
            Some(open) if open.is_probing => {
                open.wait = open.wait.saturating_mul(2).min(settings.longest_wait);
                open.next_probe = now.saturating_add(open.wait);
                open.is_probing = false;
                false
            }
            // The attempt began before the circuit opened, so its failure is not counted.
            Some(_) => false,
            None if settings.failures == 0 || self.failures < settings.failures => false,
            None => {
                let wait = settings.first_wait.min(settings.longest_wait);
                self.open = Some(Open {
                    since: now,
                    next_probe: now.saturating_add(wait),
                    is_probing: false,
                    wait,
                });
                true
            }
        }
    }

    /// Records a probe that ended without a result. The next caller becomes the probe.
    pub fn gave_up(&mut self) {
        if let Some(open) = &mut self.open {
            open.is_probing = false;
            open.next_probe = open.since;
        }
    }

    /// The state of the circuit if it is open.
    pub fn open(&self) -> Option<&Open> {
        self.open.as_ref()
    }

    /// Whether the circuit is in its initial state: closed, and no failure is counted.
    pub fn is_untouched(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: CircuitSettings = CircuitSettings {
        failures: 3,
        first_wait: Duration::from_millis(100),
        longest_wait: Duration::from_millis(300),
    };

    fn refused(ms: u64) -> Passage {
        Passage::Refused {
            retry_after: Duration::from_millis(ms),
        }
    }

    fn ask(circuit: &mut Circuit, now: i64) -> Passage {
        circuit.ask(Timestamp(now), Duration::ZERO)
    }

    fn opened() -> Circuit {
        let mut circuit = Circuit::default();
        for last in [false, false, true] {
            assert_eq!(ask(&mut circuit, 0), Passage::Free);
            assert_eq!(circuit.failed(Timestamp(0), &SETTINGS), last);
        }
        circuit
    }

    #[test]
    fn failures_in_a_row_open_it() {
        let mut circuit = opened();
        assert_eq!(ask(&mut circuit, 0), refused(100));
        assert_eq!(ask(&mut circuit, 99), refused(1));
        assert_eq!(ask(&mut circuit, 100), Passage::Probe);
        assert_eq!(ask(&mut circuit, 101), refused(99), "one at a time");
    }

    #[test]
    fn a_success_in_between_starts_the_count_again() {
        let mut circuit = Circuit::default();
        for _ in 0..10 {
            circuit.failed(Timestamp(0), &SETTINGS);
            circuit.failed(Timestamp(0), &SETTINGS);
            assert!(!circuit.succeeded());
            assert!(circuit.is_untouched());
        }
        assert_eq!(ask(&mut circuit, 0), Passage::Free);
    }

    #[test]
    fn each_probe_that_fails_doubles_the_wait_up_to_the_longest() {
        let mut circuit = opened();
        let mut now = 100;
        for wait in [200, 300, 300] {
            assert_eq!(ask(&mut circuit, now), Passage::Probe);
            assert!(!circuit.failed(Timestamp(now), &SETTINGS));
            assert_eq!(ask(&mut circuit, now), refused(wait));
            now += i64::try_from(wait).unwrap();
        }
        assert_eq!(circuit.open().unwrap().since, Timestamp(0));
    }

    #[test]
    fn a_probe_that_succeeds_closes_it_and_forgets_the_wait() {
        let mut circuit = opened();
        ask(&mut circuit, 100);
        circuit.failed(Timestamp(100), &SETTINGS);
        ask(&mut circuit, 300);
        assert!(circuit.succeeded());
        assert_eq!(ask(&mut circuit, 301), Passage::Free);
        for _ in 0..3 {
            circuit.failed(Timestamp(400), &SETTINGS);
        }
        assert_eq!(ask(&mut circuit, 400), refused(100));
    }

    #[test]
    fn a_probe_that_never_reports_blocks_nobody_for_good() {
        let mut circuit = opened();
        assert_eq!(
            circuit.ask(Timestamp(100), Duration::from_secs(1)),
            Passage::Probe
        );
        assert_eq!(ask(&mut circuit, 1_099), refused(1));
        assert_eq!(ask(&mut circuit, 1_100), Passage::Probe);
    }

    #[test]
    fn a_probe_that_gave_up_leaves_its_permit_to_the_next() {
        let mut circuit = opened();
        assert_eq!(ask(&mut circuit, 100), Passage::Probe);
        circuit.gave_up();
        assert_eq!(ask(&mut circuit, 100), Passage::Probe);
    }

    #[test]
    fn a_failure_that_began_before_it_opened_changes_nothing() {
        let mut circuit = opened();
        let before = circuit.outlook(Timestamp(50));
        circuit.failed(Timestamp(50), &SETTINGS);
        assert_eq!(circuit.outlook(Timestamp(50)), before);
    }

    #[test]
    fn it_can_be_turned_off() {
        let off = CircuitSettings {
            failures: 0,
            ..SETTINGS
        };
        let mut circuit = Circuit::default();
        for _ in 0..100 {
            assert!(!circuit.failed(Timestamp(0), &off));
        }
        assert_eq!(ask(&mut circuit, 0), Passage::Free);
    }
}
