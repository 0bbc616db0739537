//! Measures how far an endless loop exceeds its CPU budget.

use rig::{Bar, Measured};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use load::{Call, ClosedLoop};

use crate::figure::Figure;
use crate::stage::Stage;

pub const OVERSHOOT: Figure = Figure {
    name: "overshoot",
    what: "CPU time of endless loops beyond their budget, from their records",
    run: overshoot,
};

/// Two ticks of the clock that interrupts plugins.
const TWO_TICKS_MS: f64 = 4.0;

/// Concurrent loops: more than the threads for plugins on two cores, so that some wait.
const LOOPS: usize = 4;

fn overshoot(stage: &Stage) -> Result<Vec<Measured>> {
    let host = stage.measured()?;
    let tenant = host.tenant("figure-overshoot")?;
    tenant.deploy(&stage.guests.faults)?;
    let call = Call::get(host.public, &format!("/{}/faults/loop", tenant.name));
    let report = ClosedLoop::new(call, LOOPS, Duration::from_secs(stage.scaled(1, 20))).run()?;
    ensure!(
        report.latency(504).count() == report.requests(),
        "{}",
        report.trouble()
    );
    let records = tenant.records(200)?;
    let mut used: Vec<u64> = records
        .iter()
        .filter_map(|record| record["usage"]["cpu_us"].as_u64())
        .collect();
    used.sort_unstable();
    let p99 = *used
        .get(used.len().saturating_sub(1 + used.len() / 100))
        .context("no record of a loop")?;
    let budget = stage.cpu_us();
    let over = Duration::from_micros(p99.saturating_sub(budget));
    let measured = Measured::new(
        "CPU beyond the budget at p99, ms",
        over.as_secs_f64() * 1e3,
        Bar::AtMost(TWO_TICKS_MS),
    );
    Ok(vec![
        measured
            .note(format!("budget {} ms, {} records", budget / 1_000, used.len()))
            .raw(used),
    ])
}
