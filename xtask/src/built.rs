//! The executables that look at a host from outside, built together with it.

use std::path::{Path, PathBuf};

use crate::run::{self, cargo, target_folder};
use crate::steps::Result;

/// How they are built.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// As for the tests.
    Dev,
    /// For use.
    Release,
}

/// The folder of the executables.
pub struct Built(PathBuf);

/// Builds them, always all of them and with the whole workspace's features, so that nothing has to be built again for
/// the next command.
pub fn build(profile: Profile) -> Result<Built> {
    build_with(profile, None)
}

/// Builds them with a feature that is off otherwise.
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
    if let Some(feature) = feature {
        cargo.args(["--features", feature]);
    }
    run::run(&mut cargo)?;
    Ok(Built(target_folder()?.join(folder)))
}

impl Built {
    /// Lets one of them at the host that was built with it. `arguments` can name another one.
    pub fn run(&self, name: &str, arguments: &[String]) -> Result<()> {
        self.run_at(&self.0.join("mortise"), name, arguments)
    }

    /// Lets one of them at the host `executable`.
    pub fn run_at(&self, executable: &Path, name: &str, arguments: &[String]) -> Result<()> {
        let mut command = std::process::Command::new(self.0.join(name));
        command.arg("--executable").arg(executable).args(arguments);
        run::run(&mut command)
    }
}
