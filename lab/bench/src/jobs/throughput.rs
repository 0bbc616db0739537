//! Jobs per second through the plugin, and through the same queue with a native handler.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use mortise::domain::clock::{Clock as _, SystemClock, Timestamp};
use mortise::domain::id::TenantId;
use rig::clock::within;
use rig::host::Host;
use rig::{Bar, Measured};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::queue::{PAYLOAD, Queue};
use super::{TENANT, launch, native};
use crate::options::Options;
use crate::say;
use crate::series::Series;

/// The wanted ratio.
const WANTED: f64 = 0.6;

/// All jobs of a round must be done within this time.
const TIMEOUT: Duration = Duration::from_secs(300);

/// The result of the measurement.
pub struct Throughput {
    pub bar: Measured,
    /// Jobs per second through the plugin.
    pub per_second: f64,
    pub raw: Value,
}

/// Runs the measurement on a folder with the tenant and its plugin.
pub fn run(
    options: &Options,
    folder: &Arc<TempDir>,
    tenant: TenantId,
    runtime: &Arc<Runtime>,
) -> Result<Throughput> {
    let count = options.scaled(2_000, 20_000);
    let (mut plugin, mut native) = (Series::default(), Series::default());
    for round in 0..=options.scaled(1, 5) {
        let through_plugin = round_of(folder, tenant, runtime, count, || {
            let host = launch(options).start_on(folder.clone())?;
            idle(&host, TIMEOUT)?;
            host.stop().map(drop)
        })?;
        let through_native = round_of(folder, tenant, runtime, count, || {
            native::run(folder.path(), runtime, count, TIMEOUT)
        })?;
        // The first round warms the caches of the system.
        if round > 0 {
            plugin.push(through_plugin);
            native.push(through_native);
        }
    }
    let ratio = plugin.over(&native);
    let (least, most) = ratio.spread();
    say(&format!(
        "  {count} jobs: {:>7.0}/s through the plugin, {:>7.0}/s through a native handler: {:.2} ({least:.2} to {most:.2})\n",
        plugin.median(),
        native.median(),
        ratio.median()
    ));
    let name = "jobs per second through a plugin / through a native handler";
    let bar = Measured::new(name, ratio.median(), Bar::AtLeast(WANTED));
    Ok(Throughput {
        per_second: plugin.median(),
        bar: bar.note(format!("{least:.2} to {most:.2} over {} rounds", ratio.0.len())),
        raw: json!({ "jobs": count, "plugin_per_second": plugin, "native_per_second": native }),
    })
}

/// Fills the queue, drains it, and returns the jobs per second.
fn round_of(
    folder: &Arc<TempDir>,
    tenant: TenantId,
    runtime: &Arc<Runtime>,
    count: usize,
    drain: impl FnOnce() -> Result<()>,
) -> Result<f64> {
    let since = SystemClock.now();
    let queue = Queue::open(folder.path(), runtime.clone())?;
    queue.fill(tenant, "order", PAYLOAD, count)?;
    queue.close();
    drain()?;
    let queue = Queue::open(folder.path(), runtime.clone())?;
    let ended = queue.ended(tenant, since)?;
    queue.close();
    ensure!(
        ended.len() == count,
        "{} of {count} jobs of `{TENANT}` are done",
        ended.len()
    );
    per_second(&ended).context("jobs that ended at different times")
}

/// Jobs per second, without the tenth that ended first and the one that ended last.
fn per_second(ended: &[Timestamp]) -> Option<f64> {
    let tenth = ended.len() / 10;
    let (first, last) = (ended.get(tenth)?, ended.get(ended.len() - 1 - tenth)?);
    let time = last.since(*first).as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "some thousand jobs")]
    let jobs = (ended.len() - 1 - 2 * tenth) as f64;
    (time > 0.0).then_some(jobs / time)
}

/// Waits until a host has no job that waits or runs.
pub fn idle(host: &Host, most: Duration) -> Result<()> {
    within(most, "the end of all jobs", || {
        let node = host.admin().get("/api/v1/node")?.ok()?;
        let gauge = |name: &str| node["gauges"][name].as_u64().context("a gauge of jobs");
        Ok((gauge("jobs_queued")? + gauge("jobs_running")? == 0).then_some(()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_and_the_end_of_a_round_do_not_count() {
        let mut ended: Vec<Timestamp> = (0..101).map(|number| Timestamp(1_000 + number * 10)).collect();
        ended[0] = Timestamp(0);
        ended[100] = Timestamp(100_000);
        assert_eq!(per_second(&ended), Some(100.0));
        assert_eq!(per_second(&[]), None);
    }
}
