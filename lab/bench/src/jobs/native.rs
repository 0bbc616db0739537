//! The native handler: the host's own queue, claims and acknowledgements, with a function in place
//! of the plugin.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Result, ensure};
use async_trait::async_trait;
use mortise::domain::id::{InvocationId, JobName, PluginName, TenantId};
use mortise::domain::job::{ClaimedJob, Ending, Job};
use mortise::jobs::{Runner, Worker};
use mortise::storage::ClaimPolicy;
use rig::clock::within;
use tokio::runtime::Runtime;

use super::queue::Queue;
use crate::in_process::native::order;

/// The slots of the plugin's host by default: half of `runtime.instances`.
const SLOTS: u32 = 128;

/// The jobs that a tenant begins in one round of claims, as on a host.
const QUANTUM: u32 = 4;

/// The lease of a job, longer than a round.
const LEASE: Duration = Duration::from_secs(70);

/// Runs the jobs of the plugin natively.
struct Native;

#[async_trait]
impl Runner for Native {
    async fn run(&self, claimed: &ClaimedJob, invocation: &OnceLock<InvocationId>) -> Option<Ending> {
        let _ = invocation.set(InvocationId::generate());
        Some(match order(&claimed.job.new.payload) {
            Ok(_) => Ending::Done,
            Err(error) => Ending::Dead {
                error: error.to_string(),
            },
        })
    }

    async fn has_completed(&self, _: &Job) -> bool {
        false
    }
}

/// Lets every job run.
struct Everything;

impl ClaimPolicy for Everything {
    fn quota(&self, _: TenantId, running: u32, _: u32) -> u32 {
        QUANTUM.min(SLOTS.saturating_sub(running))
    }

    fn lease(&self, _: TenantId, _: &PluginName, _: &JobName) -> Option<Duration> {
        Some(LEASE)
    }
}

/// Runs `count` jobs of the queue in a data folder.
pub fn run(data: &Path, runtime: &Arc<Runtime>, count: usize, most: Duration) -> Result<()> {
    let queue = Queue::open(data, runtime.clone())?;
    let worker = {
        let _runtime = runtime.enter();
        Worker::start(queue.db.clone(), Arc::new(Native), Arc::new(Everything), SLOTS)
    };
    let count = u64::try_from(count)?;
    within(most, "the end of all jobs", || {
        let totals = worker.totals();
        ensure!(totals.dead == 0, "a native job failed");
        Ok((totals.done >= count).then_some(()))
    })?;
    drop(worker);
    queue.close();
    Ok(())
}
