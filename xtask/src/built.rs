//! Builds the host together with the lab executables that test it from outside.

use std::path::{Path, PathBuf};

use crate::run::{self, cargo, target_folder};
use crate::steps::Result;

/// The build profile.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// The profile of the tests.
    Dev,
    /// The release profile.
    Release,
}

/// The folder of the executables.
pub struct Built(PathBuf);

/// Builds all executables with the features of the whole workspace, so that the next command need
/// not build anything again.
pub fn build(profile: Profile) -> Result<Built> {
    build_with(profile, None)
}

/// Builds all executables with an additional feature.
pub fn build_with(profile: Profile, feature: Option<&str>) -> Result<Built> {
    let mut cargo = cargo(&[
        "build",
        "--workspace",
        "--bin",
        "mortise",
        "--bin",
        "hostile",
        "--bin",
        "fuzz",
        "--bin",
        "bench",
        "--bin",
        "judge",
        "--bin",
        "schema-suite",
    ]);
    let folder = match profile {
        Profile::Dev => "debug",
        Profile::Release => "release",
    };
    if profile == Profile::Release {
        cargo.arg("--release");
    }
    match feature {
        Some(feature) => {
            cargo.args(["--features", feature]);
        }
        // The tests need more features of some dependencies. Built together with the tests, both
        // use the same build of each dependency, which takes some minutes less after
        // `cargo xtask test`.
        None if profile == Profile::Dev => {
            cargo.arg("--tests");
        }
        None => {}
    }
    run::run(&mut cargo)?;
    Ok(Built(target_folder()?.join(folder)))
}

impl Built {
    /// Runs an executable on the host that was built with it. `arguments` can name another host.
    pub fn run(&self, name: &str, arguments: &[String]) -> Result<()> {
        self.run_at(&self.0.join("mortise"), name, arguments)
    }

    /// Runs an executable on the host `executable`.
    pub fn run_at(&self, executable: &Path, name: &str, arguments: &[String]) -> Result<()> {
        let mut command = std::process::Command::new(self.0.join(name));
        command.arg("--executable").arg(executable).args(arguments);
        run::run(&mut command)
    }
}
