//! The good tenant: asked at a fixed rate, whatever else happens.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use load::{Call, Fault, OpenLoop, Report, Running};

/// Its name.
pub const GOOD: &str = "good";

/// Where its plugin answers.
pub const GOOD_PATH: &str = "/good/echo/x";

/// A request that takes this long counts as one without an answer.
pub const NEVER: Duration = Duration::from_secs(5);

/// Requests each second.
const RATE: f64 = 22.0;

/// Connections, which are used in turn.
const CONNECTIONS: usize = 6;

/// Longer than anything during which it is asked.
const LONGEST: Duration = Duration::from_secs(3_600);

/// Its callers at work.
pub struct Good(Running);

/// What they saw.
pub struct Window(Report);

impl Good {
    /// Lets them begin. They go on until they are stopped.
    pub fn start(public: SocketAddr) -> Result<Self> {
        let load = OpenLoop::new(Call::get(public, GOOD_PATH), RATE, LONGEST)
            .connections(CONNECTIONS)
            .timeout(NEVER)
            .first();
        Ok(Self(load.start()?))
    }

    /// Ends it.
    pub fn stop(self) -> Window {
        Window(self.0.stop())
    }
}

impl Window {
    /// How many requests were answered with 200.
    pub fn answered(&self) -> u64 {
        self.0.latency(200).count()
    }

    /// The latency that 99 of 100 of them did not exceed.
    pub fn p99(&self) -> Duration {
        self.0.latency(200).p99()
    }

    /// How many requests waited too long, whatever came then.
    pub fn late(&self) -> u64 {
        self.0.faults(Fault::Timeout) + u64::from(self.0.latency(200).max() >= NEVER)
    }

    /// What else was not answered with 200, in words; empty if there was nothing.
    pub fn trouble(&self) -> String {
        // What was due when it was stopped is left.
        match self.0.failures() > self.0.faults(Fault::Unsent) + self.0.faults(Fault::Timeout) {
            true => self.0.trouble(),
            false => String::new(),
        }
    }
}
