//! Counts requests of the public listener and their invocations. A request costs a few relaxed
//! additions, without locks, allocations or labels that tenants choose.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::StatusCode;

use super::gauge::Gauge;
use super::histogram::{Distribution, Histogram};
use crate::domain::invocation::Trigger;
use crate::domain::problem::Code;
use crate::metrics::per_thread::PerThread;

/// Counts of the requests of the public listener.
#[derive(Debug, Default)]
pub struct Requests {
    /// Requests that were admitted and have no response yet.
    pub admitted: Gauge,
    /// Admitted requests that wait for a permit or for an instance.
    pub waiting: Gauge,
    counts: PerThread<Counts>,
}

/// The counts of one thread.
#[derive(Debug, Default)]
struct Counts {
    begun: AtomicU64,
    classes: [AtomicU64; CLASSES.len()],
    abandoned: AtomicU64,
    problems: Problems,
    duration: Histogram,
    answered: AtomicU64,
    failed: AtomicU64,
    cut_off: AtomicU64,
    triggers: [AtomicU64; Trigger::ALL.len()],
    cpu_us: AtomicU64,
}

/// The outcome of an invocation, as it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The plugin returned a response or a function's result.
    Answered,
    /// The plugin failed, or its response could not be sent.
    Failed,
    /// The caller cancelled the request.
    Abandoned,
}

/// The classes of HTTP statuses.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

#[derive(Debug)]
struct Problems([AtomicU64; Code::ALL.len()]);

impl Default for Problems {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl Requests {
    /// Counts a request whose head has arrived.
    pub fn begun(&self) {
        add(&self.counts.own().begun, 1);
    }

    /// Counts a request that was answered, and the code of its problem if it got one.
    pub fn answered(&self, status: StatusCode, problem: Option<Code>, after: Duration) {
        let counts = self.counts.own();
        let class = usize::from(status.as_u16() / 100).saturating_sub(1);
        if let Some(count) = counts.classes.get(class) {
            add(count, 1);
        }
        if let Some(code) = problem {
            // There is a count for each code, in the order of the codes.
            add(&counts.problems.0[code as usize], 1);
        }
        counts.duration.observe(after);
    }

    /// Counts a request that was cancelled before its response.
    pub fn abandoned(&self) {
        add(&self.counts.own().abandoned, 1);
    }

    /// Counts an invocation that has ended, with the CPU time that it used.
    pub fn invocation(&self, trigger: Trigger, outcome: Outcome, cpu_us: u64) {
        let counts = self.counts.own();
        let count = match outcome {
            Outcome::Answered => &counts.answered,
            Outcome::Failed => &counts.failed,
            Outcome::Abandoned => &counts.cut_off,
        };
        add(count, 1);
        // There is a count for each trigger, in the order of the triggers.
        add(&counts.triggers[trigger as usize], 1);
        add(&counts.cpu_us, cpu_us);
    }

    /// Requests that have begun and have no response yet.
    pub fn under_way(&self) -> u64 {
        // The ends are read first, so that a request that ends in the meantime does not count as
        // ended but not begun.
        let ended: u64 = self.by_class().into_iter().map(|(_, count)| count).sum();
        self.sum(|counts| &counts.begun).saturating_sub(ended)
    }

    /// The durations of answered requests.
    pub fn duration(&self) -> Distribution {
        Histogram::distribution(self.counts.all().map(|counts| &counts.duration))
    }

    /// Requests by the class of their status, or `abandoned`.
    pub fn by_class(&self) -> Vec<(&'static str, u64)> {
        let classes = CLASSES.into_iter().enumerate();
        let classes = classes.map(|(class, name)| (name, self.sum(|counts| &counts.classes[class])));
        classes
            .chain([("abandoned", self.sum(|counts| &counts.abandoned))])
            .collect()
    }

    /// Requests by the code of their problem.
    pub fn by_code(&self) -> Vec<(&'static str, u64)> {
        let codes = Code::ALL.iter().enumerate();
        let counted =
            |(index, code): (usize, &Code)| (code.as_str(), self.sum(|counts| &counts.problems.0[index]));
        codes.map(counted).collect()
    }

    /// Invocations by outcome.
    pub fn by_ending(&self) -> Vec<(&'static str, u64)> {
        vec![
            ("answered", self.sum(|counts| &counts.answered)),
            ("failed", self.sum(|counts| &counts.failed)),
            ("abandoned", self.sum(|counts| &counts.cut_off)),
        ]
    }

    /// Invocations by trigger.
    pub fn by_trigger(&self) -> Vec<(&'static str, u64)> {
        let triggers = Trigger::ALL.into_iter().enumerate();
        triggers
            .map(|(index, trigger)| (trigger.as_str(), self.sum(|counts| &counts.triggers[index])))
            .collect()
    }

    /// The CPU time of all invocations.
    pub fn cpu(&self) -> Duration {
        Duration::from_micros(self.sum(|counts| &counts.cpu_us))
    }

    fn sum(&self, of: impl Fn(&Counts) -> &AtomicU64) -> u64 {
        let all = self.counts.all();
        all.map(|counts| of(counts).load(Ordering::Relaxed)).sum()
    }
}

fn add(count: &AtomicU64, by: u64) {
    count.fetch_add(by, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_count_of_its_own() {
        let requests = Requests::default();
        for (number, code) in Code::ALL.iter().enumerate() {
            for _ in 0..=number {
                requests.answered(code.status(), Some(*code), Duration::ZERO);
            }
        }
        for (number, (name, count)) in requests.by_code().into_iter().enumerate() {
            assert_eq!(name, Code::ALL[number].as_str());
            assert_eq!(count, number as u64 + 1, "{name}");
        }
    }

    #[test]
    fn a_request_is_under_way_until_it_is_answered_or_given_up() {
        let requests = Requests::default();
        (0..3).for_each(|_| requests.begun());
        requests.answered(StatusCode::OK, None, Duration::ZERO);
        requests.abandoned();
        assert_eq!(requests.under_way(), 1);
    }

    #[test]
    fn a_request_is_counted_in_its_class() {
        let requests = Requests::default();
        requests.answered(StatusCode::OK, None, Duration::ZERO);
        requests.answered(StatusCode::IM_A_TEAPOT, None, Duration::ZERO);
        requests.answered(StatusCode::NOT_FOUND, Some(Code::NotFound), Duration::ZERO);
        requests.abandoned();
        assert_eq!(
            requests.by_class(),
            [
                ("1xx", 0),
                ("2xx", 1),
                ("3xx", 0),
                ("4xx", 2),
                ("5xx", 0),
                ("abandoned", 1)
            ]
        );
    }
}
