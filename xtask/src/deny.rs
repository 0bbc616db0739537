//! Runs cargo-deny: licences, sources and banned crates of all dependencies.

use std::path::PathBuf;
use std::process::Command;

use crate::run::{self, cargo, root, target_folder};
use crate::steps::{Result, say};

/// The version to install if cargo-deny is missing.
const VERSION: &str = "0.20.2";

/// The checks. Advisories are not checked, because a build must not depend on a database from the
/// network.
const CHECKS: [&str; 3] = ["bans", "licenses", "sources"];

/// Checks the workspace.
pub fn run() -> Result<()> {
    // cargo-deny reads the packages of all platforms, but a build fetches only those of this one.
    run::run(&mut cargo(&["fetch", "--locked", "--quiet"]))?;
    let mut deny = Command::new(executable()?);
    // cargo-deny reads the metadata of the cargo that builds.
    if let Some(cargo) = std::env::var_os("CARGO") {
        deny.env("CARGO", cargo);
    }
    deny.current_dir(root())
        .args([
            "--offline",
            "--log-level",
            "error",
            "check",
            "--hide-inclusion-graph",
        ])
        .args(CHECKS);
    run::run(&mut deny)
}

/// Returns the installed cargo-deny, or installs one into the target folder.
fn executable() -> Result<PathBuf> {
    let found = Command::new("cargo-deny").arg("--version").output();
    if found.is_ok_and(|output| output.status.success()) {
        return Ok("cargo-deny".into());
    }
    let folder = target_folder()?.join("tools");
    let executable = folder.join("bin").join("cargo-deny");
    if !executable.is_file() {
        say(&format!(
            "installing cargo-deny {VERSION} into {} (once; it takes some minutes)\n",
            folder.display()
        ));
        let mut install = cargo(&["install", "--locked", "--quiet", "--version", VERSION, "--root"]);
        // A debug build is sufficient and takes a third of the time.
        install.arg(&folder).args(["--debug", "cargo-deny"]);
        run::run(&mut install).map_err(|error| format!("cargo-deny could not be installed: {error}"))?;
    }
    Ok(executable)
}
