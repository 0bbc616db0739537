//! `cargo xtask fuzz`: generated inputs of every kind, and what a running host makes of them.

use crate::built::{Profile, build};
use crate::prepare::prepare;
use crate::steps::{Result, Steps};

/// Builds the host and its attackers, and lets them at it. `arguments` go to the attackers; with
/// `--quick` everything is built as for the tests, otherwise for use.
pub fn run(arguments: &[String]) -> Result<()> {
    let mut steps = Steps::new(3);
    steps.step("looking at the toolchain", prepare)?;
    let (quick, rest): (Vec<String>, Vec<String>) = arguments
        .iter()
        .cloned()
        .partition(|argument| argument == "--quick");
    let (what, profile) = match quick.is_empty() {
        false => ("building the host and its attackers", Profile::Dev),
        true => (
            "building the host and its attackers for use (the first time takes a quarter of an hour)",
            Profile::Release,
        ),
    };
    let built = steps.step(what, || build(profile))?;
    steps.step("sending generated inputs", || built.run("fuzz", &rest))
}
