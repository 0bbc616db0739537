//! `cargo xtask test`: runs every test, with the same preparation and profile as the demo.

use crate::fuzz;
use crate::hostile;
use crate::prepare::prepare;
use crate::run::{self, cargo};
use crate::steps::{Result, Steps};

/// Runs every test, and the quick attacks on a running host. `arguments` are passed to
/// `cargo test`; with arguments, no attacks are run.
pub fn run(arguments: &[String]) -> Result<()> {
    let attacks = arguments.is_empty();
    let mut steps = Steps::new(if attacks { 5 } else { 3 });
    steps.step("checking the toolchain", prepare)?;
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
