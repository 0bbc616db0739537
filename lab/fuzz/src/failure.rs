//! What a host may never do, whatever it is sent.

use std::fmt;
use std::time::Duration;

use rig::clock::spoken;
use rig::good::{NEVER, Window};

/// With fewer requests than this, a p99 says nothing.
const FEW: u64 = 20;

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The process ended.
    Ended(String),
    /// Something was not answered in time, or not at all.
    Unanswered(String),
    /// An answer said that the host is at fault.
    Internal(String),
    /// The log has an error or a panic.
    Log(String),
    /// The good tenant waited so long that nobody waits for it.
    Late(String),
    /// The good tenant waited longer than is promised, as it also does on a machine that is busy.
    Slow(String),
    /// Memory, threads or descriptors were not given back.
    Left(String),
    /// Too few inputs of a kind were accepted, so that the run says nothing about it.
    Refused(String),
}

impl Failure {
    /// Whether both are of the same sort. A smaller input fails in the same way if it breaks the
    /// same promise.
    pub fn is_like(&self, other: &Failure) -> bool {
        // A host that ends leaves requests without an answer, and which of the two is seen first is
        // chance.
        let sort = |failure: &Failure| match failure {
            Self::Ended(_) | Self::Unanswered(_) | Self::Late(_) | Self::Slow(_) => 0,
            Self::Internal(_) | Self::Log(_) => 1,
            Self::Left(_) => 2,
            Self::Refused(_) => 3,
        };
        sort(self) == sort(other)
    }

    /// Whether it can only be seen while other requests run.
    pub fn needs_neighbours(&self) -> bool {
        matches!(self, Self::Late(_) | Self::Slow(_) | Self::Unanswered(_))
    }
}

/// What the good tenant saw that it may not see, if its p99 may be at most `bar`.
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
