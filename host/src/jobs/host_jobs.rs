//! The handlers of the jobs that the host runs itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::time::timeout;

use super::ending;
use crate::domain::clock::SharedClock;
use crate::domain::host_job::HostJob;
use crate::domain::job::{Ending, Job};
use crate::storage::DbError;

/// Runs one kind of the host's jobs.
#[async_trait]
pub trait HostJobHandler: Send + Sync + 'static {
    /// Runs one attempt. The payload is the id of the mail or the delivery. The future is dropped
    /// if the job is cancelled or takes too long.
    async fn run(&self, job: &Job) -> Ending;

    /// Learns that a job is a dead letter or was cancelled. It is called again until it succeeds,
    /// also after a restart, so it must be idempotent.
    async fn gave_up(&self, job: &Job) -> Result<(), DbError>;
}

/// The handlers of one host, by kind of job.
#[derive(Clone, Default)]
pub struct HostJobs(BTreeMap<HostJob, Arc<dyn HostJobHandler>>);

impl HostJobs {
    /// The same handlers, and one for a further kind of job.
    #[must_use]
    pub fn with(mut self, kind: HostJob, handler: Arc<dyn HostJobHandler>) -> Self {
        self.0.insert(kind, handler);
        self
    }

    /// Whether the host runs this kind of job.
    pub fn has(&self, kind: HostJob) -> bool {
        self.0.contains_key(&kind)
    }

    /// The handler of a job, if the host runs it.
    pub fn handler(&self, job: &Job) -> Option<&Arc<dyn HostJobHandler>> {
        let kind = HostJob::of(&job.new.plugin, &job.new.name)?;
        self.0.get(&kind)
    }

    /// Runs one attempt of a job of the host.
    pub(super) async fn run(&self, job: &Job, clock: &SharedClock) -> Ending {
        let kind = HostJob::of(&job.new.plugin, &job.new.name);
        let (Some(handler), Some(kind)) = (self.handler(job), kind) else {
            // It is held when it is due.
            return Ending::Retry {
                at: clock.now(),
                error: "this host does not run the job".to_owned(),
            };
        };
        match timeout(kind.wall(), handler.run(job)).await {
            Ok(ending) => ending,
            Err(_) => {
                let why = format!("the attempt took longer than {} s", kind.wall().as_secs());
                ending::retry(job, why, clock.now())
            }
        }
    }
}
