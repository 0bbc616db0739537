//! Load on an HTTP/1.1 server, and what its callers waited.
//!
//! Two ways to make it:
//!
//! - [`OpenLoop`] sends at a fixed rate, whether or not the server keeps up, as a public does. The latency of a request
//!   counts from the moment at which it was *due*: a server that stalls for a second is charged for every request that
//!   was due in that second, and not for the one that was under way alone (coordinated omission).
//! - [`ClosedLoop`] is a number of callers who each wait for their answer before they ask again. The attacks of
//!   `lab/hostile` use it, since they look at each status and end when their row does. How fast a server is at all, the
//!   benchmarks measure with wrk.
//!
//! Beside these, [`SlowSockets`] are callers who connect and hardly say anything.
//!
//! ```no_run
//! use std::time::Duration;
//! use load::{Call, OpenLoop};
//!
//! let call = Call::get("127.0.0.1:8080".parse().unwrap(), "/demo/hello/hello/Ada");
//! let report = OpenLoop::new(call, 500.0, Duration::from_secs(10)).run().unwrap();
//! println!("{:?} at p99, {} failed", report.latency(200).p99(), report.failures());
//! ```
//!
//! A load runs on threads of its own and can be ended from outside ([`Running::stop`]).

mod call;
mod connection;
mod driver;
mod pace;
mod precedence;
mod report;
mod slow;

pub use call::Call;
pub use driver::{ClosedLoop, OpenLoop, Running};
pub use report::{Fault, Latencies, Report};
pub use slow::{Held, SlowSockets};
