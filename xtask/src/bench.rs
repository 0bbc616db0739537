//! `cargo xtask bench`: how fast the host is, beside native baselines.

use crate::built::{Profile, build};
use crate::prepare::prepare;
use crate::steps::{Result, Steps};

/// Builds the host for use and measures it. `arguments` go to the measuring.
pub fn run(arguments: &[String]) -> Result<()> {
    let mut steps = Steps::new(3);
    steps.step("looking at the toolchain", prepare)?;
    let built = steps.step(
        "building the host for use (the first time takes a quarter of an hour)",
        || build(Profile::Release),
    )?;
    steps.step("measuring the host", || built.run("bench", arguments))
}
