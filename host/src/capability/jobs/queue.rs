//! The job queue as host calls use it.

use async_trait::async_trait;

use super::super::database::{OutboxMarks, OutboxRoom};
use crate::domain::event::{MOST_RECEIVERS, Topic};
use crate::domain::id::{JobId, TenantId};
use crate::domain::job::NewJob;
use crate::domain::limits::Limits;
use crate::domain::outbox::PublishedEvent;

/// Why the queue takes no job.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueueError {
    /// The tenant has as many live jobs as it may.
    #[error("the tenant has {live} jobs that wait or run, and its plan allows {limit} (`job_backlog`)")]
    Full {
        /// The live jobs.
        live: u64,
        /// The limit.
        limit: u64,
    },
    /// The queue cannot be written now.
    #[error("the job queue cannot be written now; try again")]
    Unavailable,
}

/// Why an event is not published.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// More than [`MOST_RECEIVERS`] would get it.
    #[error(
        "the event would have more than {} receivers, the subscriptions of plugins and the webhook endpoints of the \
         tenant together, and {} is the most; divide its topic into several",
        MOST_RECEIVERS,
        MOST_RECEIVERS
    )]
    TooManyReceivers,
    /// The queue takes no job.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

/// The job queue.
#[async_trait]
pub trait JobQueue: OutboxMarks {
    /// Adds a job. Returns once it is durable, with its id or with that of the live job that has
    /// the same unique key.
    async fn add(&self, job: NewJob, limits: &Limits) -> Result<JobId, QueueError>;

    /// Adds a job for each receiver of an event. Returns once they are durable.
    async fn publish(
        &self,
        tenant: TenantId,
        event: PublishedEvent,
        limits: &Limits,
    ) -> Result<(), PublishError>;

    /// How many jobs an event on this topic would become now: one for each receiver.
    async fn receivers(&self, tenant: TenantId, topic: &Topic) -> Result<u64, PublishError>;

    /// Whether the tenant's backlog has room for `more` jobs, by what this node knows.
    fn has_room(&self, tenant: TenantId, more: u64, limits: &Limits) -> Result<(), QueueError>;

    /// Reserves room in the tenant's backlog for `jobs` jobs that an open transaction adds.
    fn reserve(
        &self,
        tenant: TenantId,
        jobs: u64,
        limits: &Limits,
    ) -> Result<Box<dyn OutboxRoom>, QueueError>;

    /// Tells that a transaction with outbox entries was committed.
    fn outbox_written(&self, tenant: TenantId);
}
