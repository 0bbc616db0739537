//! `cargo xtask hostile`: the catalogue of attacks against a running host, and the figures.

use std::path::PathBuf;

use crate::prepare::prepare;
use crate::run::{self, cargo, target_folder};
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
            "building the host and its attackers for use (the first time takes some minutes)",
            Profile::Release,
        ),
    };
    let built = steps.step(what, || build(profile))?;
    steps.step("attacking the host", || built.attack(arguments))
}

/// The quick run, as a part of the tests.
pub fn quick() -> Result<()> {
    build(Profile::Dev)?.attack(&["--quick".to_owned()])
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Profile {
    Dev,
    Release,
}

/// The folder of the executables.
struct Built(PathBuf);

fn build(profile: Profile) -> Result<Built> {
    // With the whole workspace's features, so that nothing has to be built again for the tests.
    let mut cargo = cargo(&["build", "--workspace", "--bin", "mortise", "--bin", "hostile"]);
    let folder = match profile {
        Profile::Dev => "debug",
        Profile::Release => "release",
    };
    if profile == Profile::Release {
        cargo.arg("--release");
    }
    run::run(&mut cargo)?;
    Ok(Built(target_folder()?.join(folder)))
}

impl Built {
    fn attack(&self, arguments: &[String]) -> Result<()> {
        let mut hostile = std::process::Command::new(self.0.join("hostile"));
        hostile
            .arg("--executable")
            .arg(self.0.join("mortise"))
            .args(arguments);
        run::run(&mut hostile)
    }
}
