//! The scheduling precedence of load threads, which share the processors with the server.
//!
//! Real callers run on other machines: they do not wait for the server's processors, and they do
//! not use them.

use std::time::Duration;

use scheduling::Scheduling;

/// The precedence of a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precedence {
    /// Before everything else. It is for few requests whose latencies are measured.
    First,
    /// The same as the server.
    Beside,
    /// After measured loads and the server, but before the server's background work.
    Behind,
}

impl Precedence {
    /// Applies to the calling thread. If the system denies it, for example for lack of a privilege,
    /// the load runs with the precedence it has.
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
