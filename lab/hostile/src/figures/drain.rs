//! Measures whether every accepted request is answered after SIGTERM under load.

use rig::clock::{now, pass, spoken};
use rig::{Bar, Measured};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use load::{Call, ClosedLoop};
use rustix::process::Signal;

use crate::figure::Figure;
use crate::stage::{GOOD, GOOD_PATH, Stage};

pub const DRAIN: Figure = Figure {
    name: "drain",
    what: "SIGTERM under load: requests that ran and were not answered",
    run: measure,
};

fn measure(stage: &Stage) -> Result<Vec<Measured>> {
    let rounds = stage.scaled(1_u32, 5);
    let (mut lost, mut answered, mut slowest) = (0, 0, Duration::ZERO);
    for _ in 0..rounds {
        let host = stage.fresh(&stage.launch())?;
        let call = Call::get(host.public, GOOD_PATH);
        // The load does not exceed what the ledger can write, so every request that ran has a
        // record.
        let load = ClosedLoop::new(call, 4, Duration::from_secs(60)).start()?;
        pass(Duration::from_millis(500 + stage.random(500)));
        let begin = now();
        host.signal(Signal::TERM)?;
        let folder = host.stopped()?;
        slowest = slowest.max(begin.elapsed());
        let report = load.stop();
        let failed = report.responses(|status| status != 200);
        let host = stage.launch().start_on(folder)?;
        let usage = host.admin().get(&host.known(GOOD).path("/usage"))?.ok()?;
        let ran = usage["plugins"][0]["invocations"]
            .as_u64()
            .context("a number of invocations")?;
        // One request was sent while the host was prepared.
        let served = report.latency(200).count() + 1;
        ensure!(
            ran * 100 >= served * 99,
            "{ran} were recorded of {served}, so the records prove nothing"
        );
        lost += failed + ran.saturating_sub(served);
        answered += served;
        host.stop()?;
    }
    #[expect(clippy::cast_precision_loss, reason = "far fewer requests than 2^52")]
    let measured = Measured::new(
        "accepted requests that fail at SIGTERM",
        lost as f64,
        Bar::AtMost(0.0),
    );
    Ok(vec![measured.note(format!(
        "{answered} answered in {rounds} rounds, the slowest drain took {}",
        spoken(slowest)
    ))])
}
