//! A load generator for HTTP/1.1 servers, which measures the latency that callers see.
//!
//! There are two kinds of load:
//!
//! - [`OpenLoop`] sends at a fixed rate, whether or not the server keeps up, as independent users
//!   do. The latency of a request counts from the time at which it was *due*. So a server that
//!   stalls for a second is charged for every request that was due in that second, not only for the
//!   running one (coordinated omission).
//! - [`ClosedLoop`] is a number of callers that each wait for a response before the next request.
//!   The attacks of `lab/hostile` use it, because they check each status and end with their row.
//!   The benchmarks measure throughput with wrk.
//!
//! [`SlowSockets`] are callers that connect and send hardly anything.
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
//! A load runs on its own threads and can be stopped ([`Running::stop`]).

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
pub use slow::{OpenSockets, SlowSockets};
