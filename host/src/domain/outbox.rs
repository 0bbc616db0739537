//! Entries of a tenant's outbox: jobs and events that were added in a transaction of the tenant's
//! database. They exist if and only if the transaction committed.

use serde::{Deserialize, Serialize};

use super::event::Event;
use super::job::NewJob;

/// The kind of the jobs that entries become which this host cannot use. No manifest declares it, so
/// they never run.
pub const UNUSABLE_ENTRY: &str = "unusable-outbox-entry";

/// An entry, written as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum OutboxEntry {
    /// A job.
    Job(NewJob),
    /// An event. Its subscribers are looked up when it is relayed.
    Event(PublishedEvent),
}

/// An event with its data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedEvent {
    /// The event.
    pub event: Event,
    /// The data, JSON by convention.
    pub data: String,
    /// How many jobs led to it: 0 if a request published it.
    pub depth: u32,
    /// The trace of the invocation that published it.
    pub traceparent: Option<String>,
}

/// How far a tenant's outbox has been relayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxMark {
    /// The epoch of the tenant's database: random, and new if the file is not the continuation of
    /// the one before.
    pub epoch: String,
    /// The last entry of this epoch whose jobs were added.
    pub sequence: i64,
}
