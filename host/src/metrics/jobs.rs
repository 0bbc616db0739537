//! Metrics of jobs.

use std::time::Duration;

/// What has become of jobs since the start of this node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JobTotals {
    /// Jobs that were added, by host calls, outboxes, schedules and events.
    pub enqueued: u64,
    /// Attempts after which the job was done.
    pub done: u64,
    /// Failed attempts after which the job runs again.
    pub retried: u64,
    /// Failed attempts after which the job was a dead letter.
    pub dead: u64,
    /// Attempts that ended because somebody cancelled the job.
    pub cancelled: u64,
    /// Attempts whose lease, or whose process, ended before their result was written.
    pub lost: u64,
    /// Results of attempts that were not written because the job had another claim by then.
    pub stale: u64,
}

/// The jobs of all tenants at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JobsNow {
    /// Jobs that wait: until they are due, for a slot, for other jobs of their key, or until they
    /// can run.
    pub queued: u64,
    /// Jobs that run, on all nodes.
    pub running: u64,
    /// Dead letters.
    pub dead: u64,
    /// How long the oldest ready job has been due; zero if none is ready.
    pub oldest_ready: Duration,
    /// Slots of this node that are in use.
    pub slots_in_use: u64,
    /// The most jobs that this node runs at once.
    pub slots: u64,
}
