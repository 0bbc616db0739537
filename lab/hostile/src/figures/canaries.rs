//! Measures whether a tenant finds data of another tenant in an instance slot that both use in
//! turn.

use anyhow::Result;
use rig::clock::until;
use rig::{Bar, Measured};

use crate::figure::Figure;
use crate::rows::guest::canaries;
use crate::stage::Stage;

pub const CANARIES: Figure = Figure {
    name: "canaries",
    what: "memory, table, globals and stack full of a canary, then another tenant's look, in the one slot of a host",
    run: measure,
};

fn measure(stage: &Stage) -> Result<Vec<Measured>> {
    let swaps = stage.scaled(50, 10_000);
    // With one instance, every request uses the slot of the previous one.
    let host = stage.fresh(
        &stage
            .launch()
            .set("runtime.instances", "1")
            .set("runtime.instances_kept", "0"),
    )?;
    let (filler, scanner) = canaries(&host, stage.patient())?;
    let mut found = 0_u32;
    for _ in 0..swaps {
        until("a fill that came to its end", || {
            Ok((filler.get("raw", "/fill")?.status == 200).then_some(()))
        })?;
        // The plugin traps if it finds something. A request that fails because the machine is busy
        // is repeated.
        let scan = until("a scan that came to its end", || {
            let reply = scanner.get("raw", "/scan")?;
            Ok([200, 502].contains(&reply.status).then_some(reply))
        })?;
        found += u32::from(scan.is("200").is_err());
    }
    host.stop()?;
    let measured = Measured::new("canaries found", f64::from(found), Bar::AtMost(0.0));
    Ok(vec![measured.note(format!("in {swaps} swaps"))])
}
