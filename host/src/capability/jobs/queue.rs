//! The job queue as host calls use it.

use async_trait::async_trait;

use super::super::database::OutboxMarks;
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

/// The job queue.
#[async_trait]
pub trait JobQueue: OutboxMarks {
    /// Adds a job. Returns once it is durable, with its id or with that of the live job that has
    /// the same unique key.
    async fn add(&self, job: NewJob, limits: &Limits) -> Result<JobId, QueueError>;

    /// Adds a job for each subscriber of an event. Returns once they are durable.
    async fn publish(
        &self,
        tenant: TenantId,
        event: PublishedEvent,
        limits: &Limits,
    ) -> Result<(), QueueError>;

    /// Whether the tenant's backlog has room for `more` jobs, by what this node knows.
    fn has_room(&self, tenant: TenantId, more: u64, limits: &Limits) -> Result<(), QueueError>;

    /// Tells that a transaction with outbox entries was committed.
    fn outbox_written(&self, tenant: TenantId);
}
