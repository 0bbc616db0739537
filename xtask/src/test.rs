//! `cargo xtask test`: every test, after the same preparation as the demo and with the same profile.

use crate::prepare::prepare;
use crate::run::{self, cargo};
use crate::steps::{Result, Steps};

/// Runs every test. `arguments` go to `cargo test`.
pub fn run(arguments: &[String]) -> Result<()> {
    let mut steps = Steps::new(3);
    steps.step("looking at the toolchain", prepare)?;
    steps.step(
        "building the tests (the first time takes some minutes: wasmtime is compiled)",
        || run::run(&mut cargo(&["test", "--workspace", "--no-run"])),
    )?;
    steps.step("running the tests", || {
        run::run(cargo(&["test", "--workspace"]).args(arguments))
    })
}
