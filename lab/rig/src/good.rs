//! The good tenant, which is called at a fixed rate during attacks.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use load::{Call, Fault, OpenLoop, Report, Running};

/// Its name.
pub const GOOD: &str = "good";

/// The path of its plugin.
pub const GOOD_PATH: &str = "/good/echo/x";

/// A request that takes this long counts as unanswered.
pub const NEVER: Duration = Duration::from_secs(5);

/// Requests per second.
const RATE: f64 = 22.0;

/// The number of connections, which are used in turn.
const CONNECTIONS: usize = 6;

/// Longer than any attack.
const LONGEST: Duration = Duration::from_secs(3_600);

/// The running requests to the good tenant.
pub struct Good(Running);

/// The results of the requests.
pub struct Window(Report);

impl Good {
    /// Starts the requests, which run until they are stopped.
    pub fn start(public: SocketAddr) -> Result<Self> {
        let load = OpenLoop::new(Call::get(public, GOOD_PATH), RATE, LONGEST)
            .connections(CONNECTIONS)
            .timeout(NEVER)
            .first();
        Ok(Self(load.start()?))
    }

    /// Stops the requests.
    pub fn stop(self) -> Window {
        Window(self.0.stop())
    }
}

impl Window {
    /// The number of requests that were answered with 200.
    pub fn answered(&self) -> u64 {
        self.0.latency(200).count()
    }

    /// The 99th percentile of their latency.
    pub fn p99(&self) -> Duration {
        self.0.latency(200).p99()
    }

    /// The number of requests that waited too long, with any outcome.
    pub fn late(&self) -> u64 {
        self.0.faults(Fault::Timeout) + u64::from(self.0.latency(200).max() >= NEVER)
    }

    /// Describes the other requests without a 200; empty if there are none.
    pub fn trouble(&self) -> String {
        // Requests that were due when it was stopped do not count.
        match self.0.failures() > self.0.faults(Fault::Unsent) + self.0.faults(Fault::Timeout) {
            true => self.0.trouble(),
            false => String::new(),
        }
    }
}
