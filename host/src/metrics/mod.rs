//! The host's metrics: what it uses at this moment, and what it has done since its start.
//!
//! Each part of the host counts its own resources: by a [`Gauge`], or by the permits of a
//! semaphore. `admin::observer` reads all of them on request. No metric has a tenant as label, so
//! the number of time series does not depend on tenants. The usage of tenants is in the ledger.

mod deliveries;
mod gauge;
mod gauges;
mod histogram;
mod jobs;
mod ledger;
mod mail;
pub mod per_thread;
pub mod process;
mod requests;
pub mod text;
mod webhooks;

pub use deliveries::{DeliveryCounters, DeliveryTotals};
pub use gauge::{Gauge, GaugeGuard};
pub use gauges::Gauges;
pub use histogram::{Distribution, Histogram};
pub use jobs::{JobTotals, JobsNow};
pub use ledger::LedgerCounts;
pub use mail::{MailCounters, MailFigures};
pub use requests::{Outcome, Requests};
pub use text::CONTENT_TYPE;
pub use webhooks::WebhookTotals;
