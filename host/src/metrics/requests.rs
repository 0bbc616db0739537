//! What the public listener counts about each request. A request costs a few relaxed additions here: no lock, nothing
//! allocated, and no label that a tenant chooses.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::StatusCode;

use super::gauge::Gauge;
use super::histogram::Histogram;
use crate::problem::Code;

/// Counts of the requests of the public listener.
#[derive(Debug, Default)]
pub struct Requests {
    /// Requests whose head has come and whose response has none yet.
    pub under_way: Gauge,
    /// Of these, the ones that their tenant's gate let in.
    pub admitted: Gauge,
    /// Of these, the ones that wait for their turn or for an instance.
    pub waiting: Gauge,
    /// How long they took.
    pub duration: Histogram,
    classes: [AtomicU64; CLASSES.len()],
    abandoned: AtomicU64,
    problems: Problems,
    answered: AtomicU64,
    failed: AtomicU64,
    cut_off: AtomicU64,
    cpu_us: AtomicU64,
}

/// How an invocation ended, as it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The plugin answered.
    Answered,
    /// It did not, or not with something that can be sent.
    Failed,
    /// Its caller went away.
    Abandoned,
}

/// The classes of statuses.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

#[derive(Debug)]
struct Problems([AtomicU64; Code::ALL.len()]);

impl Default for Problems {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl Requests {
    /// Counts a request that was answered, with a problem where that is what it got.
    pub fn answered(&self, status: StatusCode, problem: Option<Code>, after: Duration) {
        let class = usize::from(status.as_u16() / 100).saturating_sub(1);
        if let Some(count) = self.classes.get(class) {
            add(count, 1);
        }
        if let Some(code) = problem {
            // There is a count for each code, in the order of the codes.
            add(&self.problems.0[code as usize], 1);
        }
        self.duration.observe(after);
    }

    /// Counts a request whose caller went away before there was an answer.
    pub fn abandoned(&self) {
        add(&self.abandoned, 1);
    }

    /// Counts an invocation that has ended, with the CPU time that it used.
    pub fn invocation(&self, ended: Ended, cpu_us: u64) {
        let count = match ended {
            Ended::Answered => &self.answered,
            Ended::Failed => &self.failed,
            Ended::Abandoned => &self.cut_off,
        };
        add(count, 1);
        add(&self.cpu_us, cpu_us);
    }

    /// Requests by what became of them: the class of the status, or `abandoned`.
    pub fn by_class(&self) -> Vec<(&'static str, u64)> {
        let classes = CLASSES.into_iter().zip(self.classes.iter().map(read));
        classes.chain([("abandoned", read(&self.abandoned))]).collect()
    }

    /// Requests by the code of the problem that they got.
    pub fn by_code(&self) -> Vec<(&'static str, u64)> {
        let codes = Code::ALL.iter().map(|code| code.as_str());
        codes.zip(self.problems.0.iter().map(read)).collect()
    }

    /// Invocations by how they ended.
    pub fn by_ending(&self) -> Vec<(&'static str, u64)> {
        vec![
            ("answered", read(&self.answered)),
            ("failed", read(&self.failed)),
            ("abandoned", read(&self.cut_off)),
        ]
    }

    /// CPU time of all invocations.
    pub fn cpu(&self) -> Duration {
        Duration::from_micros(read(&self.cpu_us))
    }
}

fn add(count: &AtomicU64, by: u64) {
    count.fetch_add(by, Ordering::Relaxed);
}

fn read(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
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
