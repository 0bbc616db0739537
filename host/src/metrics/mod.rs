//! How the host fares: what it holds at this moment, and what it has done since its start.
//!
//! Whoever holds something says how much: a [`Gauge`] beside it, or the permits of a semaphore that are taken.
//! `admin::observer` asks all of them when somebody looks. There is no figure for a tenant here, so that their number is
//! the same however many tenants there are and whatever they call themselves; the usage of tenants is in the ledger.

mod gauge;
mod gauges;
mod histogram;
mod ledger;
pub mod per_thread;
pub mod process;
mod requests;
pub mod text;

pub use gauge::{Gauge, Held};
pub use gauges::Gauges;
pub use histogram::{Distribution, Histogram};
pub use ledger::LedgerCounts;
pub use requests::{Ended, Requests};
pub use text::CONTENT_TYPE;
