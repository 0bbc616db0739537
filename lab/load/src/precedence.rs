//! Who goes first, of those who make load and the server that they share the processors with.
//!
//! Callers are elsewhere: they do not wait for the server's processors, and they take nothing from them.

use std::time::Duration;

use scheduling::Scheduling;

/// When a load runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precedence {
    /// Before everything else, as soon as there is something to do: for few requests whose latencies are measured.
    First,
    /// Beside the server, and as prompt as it.
    Beside,
    /// After those whose latencies are measured and what serves them, but before what the server does in the background.
    Behind,
}

impl Precedence {
    /// Applies to the calling thread. Where the system refuses, as it does for a process without the privilege or that was
    /// told to stand back, the load is as prompt as it can be, or in the way a little.
    pub fn apply(self) {
        let scheduling = match self {
            Self::First if scheduling::come_first().is_ok() => return,
            Self::First | Self::Beside => Scheduling {
                nice: 0,
                slice: Duration::from_micros(100),
            },
            Self::Behind => Scheduling {
                nice: 10,
                slice: Duration::from_millis(3),
            },
        };
        let _ = scheduling.apply();
    }
}
