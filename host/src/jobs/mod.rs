//! Jobs, schedules and events: everything that runs plugins without a caller who waits.

mod counters;
mod events;
mod group_commit;
mod live_counts;
mod maintenance;
mod outbox_entry;
mod queue;
mod relay;
mod schedule_states;
mod scheduler;
mod slots;
mod tenant_queue;
mod troubles;
mod wake;

pub use counters::{Counters, JobMetrics};
pub use maintenance::{JobRetention, Maintenance};
pub use queue::Queue;
pub use relay::Relay;
pub use scheduler::{RunNowError, Scheduler, UpcomingSchedule};
pub use wake::Wake;
