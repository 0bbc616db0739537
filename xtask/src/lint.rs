//! `cargo xtask lint`: all checks that do not run the product.

use crate::deny;
use crate::run::{self, cargo, root};
use crate::steps::{Result, Steps};
use crate::tidy;

/// Runs all checks, and stops at the first that fails.
pub fn run() -> Result<()> {
    let mut steps = Steps::new(5);
    steps.step("formatting", || {
        run::run(&mut cargo(&["fmt", "--all", "--check"]))
    })?;
    steps.step("clippy", || {
        run::run(&mut cargo(&[
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ]))
    })?;
    steps.step("documentation", || {
        run::run(cargo(&["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))
    })?;
    steps.step("tidy", || tidy::run(&root()))?;
    steps.step("licences, sources and banned crates", deny::run)
}
