//! `cargo xtask hostile`: runs the catalogue of attacks against a host, and its measurements.

use crate::built::{Profile, build};
use crate::prepare::prepare;
use crate::steps::{Result, Steps};

/// Builds the host and the attacks, and runs them. `arguments` are passed to the attacks. With
/// `--quick` the build has the profile of the tests, otherwise the release profile.
pub fn run(arguments: &[String]) -> Result<()> {
    let mut steps = Steps::new(3);
    steps.step("checking the toolchain", prepare)?;
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

/// Runs the quick attacks and the quick kills of hosts, as part of the tests.
pub fn quick() -> Result<()> {
    let built = build(Profile::Dev)?;
    built.run("hostile", &["--quick".to_owned()])?;
    ["--jobs", "--mail", "--orders"]
        .into_iter()
        .try_for_each(|kills| built.run("hostile", &["--quick".to_owned(), kills.to_owned()]))
}
