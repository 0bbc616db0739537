//! What the dispatcher needs of a runner of jobs.

use std::sync::OnceLock;

use async_trait::async_trait;

use crate::domain::id::InvocationId;
use crate::domain::job::{ClaimedJob, Ending, Job};

/// Runs claimed jobs.
#[async_trait]
pub trait Runner: Send + Sync + 'static {
    /// Runs an attempt and returns what becomes of the job. `None` if the claim is stale: then
    /// nothing ran. Sets `invocation` when the plugin starts. Dropping the future stops the plugin.
    async fn run(&self, claimed: &ClaimedJob, invocation: &OnceLock<InvocationId>) -> Option<Ending>;

    /// Whether an attempt completed the job in a transaction of the tenant's database. If that
    /// cannot be found out, it did not.
    async fn has_completed(&self, job: &Job) -> bool;
}
