//! The time from adding a job until its plugin starts, on an idle host and at half load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use mortise::domain::id::{JobId, TenantId};
use rig::clock::{now, pass};
use rig::host::Host;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::queue::Queue;
use super::throughput::idle;
use super::{PLUGIN, TENANT, launch};
use crate::options::Options;
use crate::say;
use crate::subject::ORDER;

/// The pause between two jobs whose start is measured.
const PAUSE: Duration = Duration::from_millis(20);

/// The interval at which the load adds its jobs, in one transaction.
const INTERVAL: Duration = Duration::from_millis(50);

/// The jobs of the load are done within this time after its end.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Runs the measurement. `per_second` is the full load.
pub fn run(
    options: &Options,
    folder: &Arc<TempDir>,
    tenant: TenantId,
    runtime: &Arc<Runtime>,
    per_second: f64,
) -> Result<Value> {
    let samples = options.scaled(50, 500);
    let host = launch(options).start_on(folder.clone())?;
    let warm = sampled(&host, 20)?;
    let alone = sampled(&host, samples)?;
    let stop = AtomicBool::new(false);
    let half = std::thread::scope(|scope| {
        let load = scope.spawn(|| load(&host, per_second / 2.0, &stop));
        pass(Duration::from_secs(1));
        let half = sampled(&host, samples);
        stop.store(true, Ordering::SeqCst);
        let sent = load
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        anyhow::Ok((half?, sent))
    });
    let (half, sent) = half?;
    idle(&host, TIMEOUT)?;
    host.stop()?;
    drop(warm);
    let queue = Queue::open(folder.path(), runtime.clone())?;
    let mut raw = serde_json::Map::new();
    let halves = format!("beside {sent:.0} jobs a second");
    for (name, ids) in [("idle", &alone), ("half load", &half)] {
        let delays = ids.iter().map(|id| queue.start_delay(tenant, *id));
        let mut delays: Vec<f64> = delays.collect::<Result<_>>()?;
        delays.sort_by(f64::total_cmp);
        let (p50, p99) = (quantile(&delays, 50), quantile(&delays, 99));
        let beside = if name == "idle" { "" } else { &halves };
        say(&format!(
            "  {name:<10} from adding a job to the start of its plugin: p50 {p50:>4.0} ms  p99 {p99:>4.0} ms  {beside}\n"
        ));
        raw.insert(
            name.replace(' ', "_"),
            json!({ "p50_ms": p50, "p99_ms": p99, "samples_ms": delays }),
        );
    }
    queue.close();
    Ok(Value::Object(raw))
}

/// Adds one job after the other, and returns their ids.
fn sampled(host: &Host, count: usize) -> Result<Vec<JobId>> {
    let http = host.http();
    let path = format!("/{TENANT}/{PLUGIN}/enqueue");
    let mut ids = Vec::new();
    for _ in 0..count {
        let reply = http.send("POST", &path, Some(("application/json", ORDER.as_bytes())))?;
        let id = reply.is("200")?.body()?;
        ids.push(id.as_str().context("the id of a job")?.parse()?);
        pass(PAUSE);
    }
    Ok(ids)
}

/// Adds jobs at a rate until `stop` is set. Returns the rate that was reached.
fn load(host: &Host, per_second: f64, stop: &AtomicBool) -> Result<f64> {
    let http = host.http();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "some hundred jobs"
    )]
    let each = (per_second * INTERVAL.as_secs_f64()).round().clamp(1.0, 1_000.0) as u32;
    let path = format!("/{TENANT}/{PLUGIN}/enqueue/{each}");
    let begin = now();
    let mut rounds = 0_u32;
    while !stop.load(Ordering::SeqCst) {
        let reply = http.send("POST", &path, Some(("application/json", ORDER.as_bytes())))?;
        reply.is("200|204")?;
        rounds += 1;
        pass((INTERVAL * rounds).saturating_sub(begin.elapsed()));
    }
    Ok(f64::from(rounds * each) / begin.elapsed().as_secs_f64())
}

/// A quantile, in percent, of sorted samples.
pub fn quantile(sorted: &[f64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    sorted.get(rank).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_one_of_the_samples() {
        let samples: Vec<f64> = (1..=200).map(f64::from).collect();
        assert_eq!(quantile(&samples, 50), 100.0);
        assert_eq!(quantile(&samples, 99), 198.0);
        assert_eq!(quantile(&[7.0], 99), 7.0);
        assert!(quantile(&[], 50).is_nan());
    }
}
