//! The promises that a host must keep for every input, and their violations.

use std::fmt;
use std::time::Duration;

use rig::clock::spoken;
use rig::good::{NEVER, Window};

/// The least number of requests for a meaningful p99.
const FEW: u64 = 20;

/// A violated promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The process ended.
    Ended(String),
    /// A request was not answered in time, or not at all.
    Unanswered(String),
    /// A response reported a fault of the host.
    Internal(String),
    /// The log contains an error or a panic.
    Log(String),
    /// The good tenant waited longer than any client would.
    Late(String),
    /// The good tenant waited longer than promised, which also happens on a busy machine.
    Slow(String),
    /// Memory, threads or descriptors were not released.
    Left(String),
    /// Too few inputs of a kind were accepted, so the run does not test it.
    Refused(String),
}

impl Failure {
    /// Whether both have the same cause. A reduced input must break the same promise.
    pub fn is_like(&self, other: &Failure) -> bool {
        // A host that ends leaves requests unanswered, and either may be seen first.
        let sort = |failure: &Failure| match failure {
            Self::Ended(_) | Self::Unanswered(_) | Self::Late(_) | Self::Slow(_) => 0,
            Self::Internal(_) | Self::Log(_) => 1,
            Self::Left(_) => 2,
            Self::Refused(_) => 3,
        };
        sort(self) == sort(other)
    }

    /// Whether it occurs only while other requests run.
    pub fn needs_neighbours(&self) -> bool {
        matches!(self, Self::Late(_) | Self::Slow(_) | Self::Unanswered(_))
    }
}

/// Returns the failure that the good tenant observed, if its p99 may be at most `bar`.
pub fn of_window(window: &Window, bar: Duration) -> Option<Failure> {
    if window.late() > 0 {
        return Some(Failure::Late(format!(
            "{} requests for more than {}",
            window.late(),
            spoken(NEVER)
        )));
    }
    let trouble = window.trouble();
    if !trouble.is_empty() {
        return Some(Failure::Unanswered(format!("the good tenant: {trouble}")));
    }
    (window.answered() >= FEW && window.p99() > bar).then(|| {
        Failure::Slow(format!(
            "p99 {} of {} requests, at most {} is promised",
            spoken(window.p99()),
            window.answered(),
            spoken(bar)
        ))
    })
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, detail) = match self {
            Self::Ended(detail) => ("the process ended", detail),
            Self::Unanswered(detail) => ("no answer", detail),
            Self::Internal(detail) => ("an answer that blames the host", detail),
            Self::Log(detail) => ("an error in the log", detail),
            Self::Late(detail) | Self::Slow(detail) => ("the good tenant waited", detail),
            Self::Left(detail) => ("not given back", detail),
            Self::Refused(detail) => ("too few accepted", detail),
        };
        let end = detail.floor_char_boundary(600);
        write!(f, "{what}: {}", &detail[..end])
    }
}
