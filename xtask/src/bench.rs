//! `cargo xtask bench`: measures the host and native baselines.

use crate::built::{Profile, build};
use crate::prepare::prepare;
use crate::steps::{Result, Steps};

/// Makes a release build of the host and measures it. `arguments` are passed to the benchmark.
pub fn run(arguments: &[String]) -> Result<()> {
    let mut steps = Steps::new(3);
    steps.step("checking the toolchain", prepare)?;
    let built = steps.step(
        "making a release build of the host (the first time takes a quarter of an hour)",
        || build(Profile::Release),
    )?;
    steps.step("measuring the host", || built.run("bench", arguments))
}
