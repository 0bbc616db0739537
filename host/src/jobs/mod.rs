//! Jobs, schedules and events: everything that runs plugins without a caller who waits.

mod counters;
mod slots;
mod wake;

pub use counters::{Counters, JobMetrics};
pub use wake::Wake;
