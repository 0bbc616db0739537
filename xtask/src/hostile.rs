//! `cargo xtask hostile`: the catalogue of attacks against a running host, and the figures.

use crate::built::{Profile, build};
use crate::prepare::prepare;
use crate::steps::{Result, Steps};

/// Builds the host and its attackers, and lets them at it. `arguments` go to the attackers; with `--quick` everything is
/// built as for the tests, otherwise for use.
pub fn run(arguments: &[String]) -> Result<()> {
    let mut steps = Steps::new(3);
    steps.step("looking at the toolchain", prepare)?;
    let quick = arguments.iter().any(|argument| argument == "--quick");
    let (what, profile) = match quick {
        true => ("building the host and its attackers", Profile::Dev),
        false => (
            "building the host and its attackers for use (the first time takes a quarter of an hour)",
            Profile::Release,
        ),
    };
    let built = steps.step(what, || build(profile))?;
    steps.step("attacking the host", || built.run("hostile", arguments))
}

/// The quick run, as a part of the tests.
pub fn quick() -> Result<()> {
    build(Profile::Dev)?.run("hostile", &["--quick".to_owned()])
}
