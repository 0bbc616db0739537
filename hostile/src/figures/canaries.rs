//! What one tenant finds of another in the slot that both use in turn.

use anyhow::Result;

use crate::figure::{Bar, Figure, Measured};
use crate::rows::guest::canaries;
use crate::stage::Stage;

pub const CANARIES: Figure = Figure {
    name: "canaries",
    what: "memory, table, globals and stack full of a canary, then another tenant's look, in the one slot of a host",
    run: measure,
};

fn measure(stage: &Stage) -> Result<Vec<Measured>> {
    let swaps = stage.scaled(50, 10_000);
    // With one instance, every request gets what the one before it has left.
    let host = stage.fresh(&stage.launch().set("runtime.instances", "1"))?;
    let (filler, scanner) = canaries(&host, stage.patient())?;
    let mut found = 0_u32;
    for _ in 0..swaps {
        filler.get("raw", "/fill")?.is("200")?;
        found += u32::from(scanner.get("raw", "/scan")?.is("200").is_err());
    }
    host.stop()?;
    let measured = Measured::new("canaries found", f64::from(found), Bar::AtMost(0.0));
    Ok(vec![measured.note(format!("in {swaps} swaps"))])
}
