//! `cargo xtask test`: every test, after the same preparation as the demo and with the same profile.

use crate::fuzz;
use crate::hostile;
use crate::prepare::prepare;
use crate::run::{self, cargo};
use crate::steps::{Result, Steps};

/// Runs every test, and the quick attacks on a running host. `arguments` go to `cargo test`; who names some wants these
/// tests and nothing else.
pub fn run(arguments: &[String]) -> Result<()> {
    let attacks = arguments.is_empty();
    let mut steps = Steps::new(if attacks { 5 } else { 3 });
    steps.step("looking at the toolchain", prepare)?;
    steps.step(
        "building the tests (the first time takes some minutes: wasmtime is compiled)",
        || run::run(&mut cargo(&["test", "--workspace", "--no-run"])),
    )?;
    steps.step("running the tests", || {
        run::run(cargo(&["test", "--workspace"]).args(arguments))
    })?;
    if attacks {
        steps.step("attacking a running host", hostile::quick)?;
        steps.step("sending generated inputs to a running host", fuzz::quick)?;
    }
    Ok(())
}
