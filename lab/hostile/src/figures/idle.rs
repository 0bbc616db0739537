//! Measures the effect of thousands of slow connections on the good tenant.

use anyhow::Result;
use load::SlowSockets;
use rig::clock::{spoken, until};
use rig::{Bar, Measured};
use serde_json::json;

use super::neighbours::{alone, good, span};
use crate::figure::Figure;
use crate::stage::Stage;

pub const IDLE: Figure = Figure {
    name: "idle",
    what: "slow sockets that are held while the good tenant's p99 stays as it is",
    run: measure,
};

const RATIO: f64 = 1.2;
const RATE: f64 = 500.0;

fn measure(stage: &Stage) -> Result<Vec<Measured>> {
    let host = stage.measured()?;
    let count = stage.scaled(200_u32, 5_000);
    let before = good(host, RATE, span(stage))?;
    let held = SlowSockets::new(host.public, usize::try_from(count)?).start()?;
    // The host closes slow sockets, and they reconnect: nearly all of them are open at any time.
    until("so many open sockets", || {
        Ok((held.open() >= u64::from(count) * 95 / 100).then_some(()))
    })?;
    let during = good(host, RATE, span(stage))?;
    let open = held.open();
    held.stop();
    stage.look_around()?;
    let after = good(host, RATE, span(stage))?;
    let (alone, beside) = (alone(&before, &after), during.latency(200).p99());
    let ratio = beside.as_secs_f64() / alone.as_secs_f64().max(1e-6);
    #[expect(clippy::cast_precision_loss, reason = "a few thousand sockets")]
    let (open, failures) = (
        open as f64,
        (before.failures() + during.failures() + after.failures()) as f64,
    );
    Ok(vec![
        Measured::new("slow sockets held", open, Bar::AtLeast(f64::from(count) * 0.95)),
        Measured::new("p99 beside them / alone", ratio, Bar::AtMost(RATIO))
            .note(format!(
                "{} alone, {} beside them at {RATE}/s",
                spoken(alone),
                spoken(beside)
            ))
            .raw(json!({ "before": before, "during": during, "after": after })),
        Measured::new(
            "errors of the good tenant beside them",
            failures,
            Bar::AtMost(0.0),
        ),
    ])
}
