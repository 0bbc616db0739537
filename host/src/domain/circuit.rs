//! Circuits: what fails time after time is left alone for a while, then tried once, and where that fails too, left
//! alone for longer.

use std::time::Duration;

use super::clock::Timestamp;

/// When circuits open, and for how long. By default none does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CircuitSettings {
    /// Failures one after the other that open a circuit. 0: none does.
    pub failures: u32,
    /// How long it stays open before one attempt is let through. Each that fails doubles this.
    pub first_wait: Duration,
    /// The longest that it stays open.
    pub longest_wait: Duration,
}

/// One circuit. Whoever has it says when attempts succeed and fail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Circuit {
    failures: u32,
    open: Option<Open>,
}

/// An open circuit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// When it opened.
    pub since: Timestamp,
    /// When an attempt is let through.
    pub next_probe: Timestamp,
    /// One was, and has not been heard of.
    pub is_probing: bool,
    wait: Duration,
}

/// Whether an attempt may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// The circuit is closed.
    Free,
    /// The circuit is open, and this attempt decides whether it closes.
    Probe,
    /// Not now.
    Refused {
        /// When it may be worth to ask again.
        retry_after: Duration,
    },
}

impl Circuit {
    /// What asking now would give.
    pub fn outlook(&self, now: Timestamp) -> Passage {
        match &self.open {
            None => Passage::Free,
            Some(open) if now < open.next_probe => Passage::Refused {
                retry_after: open.next_probe.since(now),
            },
            Some(_) => Passage::Probe,
        }
    }

    /// Asks for an attempt. Of those who ask once the circuit was open for long enough, the first is let through, and
    /// the circuit stays open for the others until that one has reported, or had its time and `patience`: a probe
    /// that never reports blocks nobody for good.
    pub fn ask(&mut self, now: Timestamp, patience: Duration) -> Passage {
        let passage = self.outlook(now);
        if let (Passage::Probe, Some(open)) = (passage, &mut self.open) {
            open.is_probing = true;
            open.next_probe = now.saturating_add(open.wait.max(patience));
        }
        passage
    }

    /// Records an attempt that succeeded. True where that closed the circuit.
    pub fn succeeded(&mut self) -> bool {
        std::mem::take(self).open.is_some()
    }

    /// Records an attempt that failed. True where that opened the circuit.
    pub fn failed(&mut self, now: Timestamp, settings: &CircuitSettings) -> bool {
        self.failures = self.failures.saturating_add(1);
        match &mut self.open {
            Some(open) if open.is_probing => {
                open.wait = open.wait.saturating_mul(2).min(settings.longest_wait);
                open.next_probe = now.saturating_add(open.wait);
                open.is_probing = false;
                false
            }
            // It began before the circuit opened, and says nothing new.
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

    /// Records a probe that ended without saying whether it would have succeeded. The next to ask is one.
    pub fn gave_up(&mut self) {
        if let Some(open) = &mut self.open {
            open.is_probing = false;
            open.next_probe = open.since;
        }
    }

    /// How it is open, where it is.
    pub fn open(&self) -> Option<&Open> {
        self.open.as_ref()
    }

    /// Whether nothing failed lately.
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
    fn a_probe_that_gave_up_leaves_its_place_to_the_next() {
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
