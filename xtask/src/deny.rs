//! cargo-deny: licences, sources and banned crates of everything that is built in.

use std::path::PathBuf;
use std::process::Command;

use crate::run::{self, cargo, root, target_folder};
use crate::steps::{Result, say};

/// The version that is installed if the machine has none.
const VERSION: &str = "0.20.2";

/// What is checked. Advisories need a database from the network, which a build must not depend on.
const CHECKS: [&str; 3] = ["bans", "licenses", "sources"];

/// Checks the workspace.
pub fn run() -> Result<()> {
    // It reads the packages of all systems, of which a build has fetched only this one's.
    run::run(&mut cargo(&["fetch", "--locked", "--quiet"]))?;
    let mut deny = Command::new(executable()?);
    // The metadata that it reads comes from the same cargo that builds.
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

/// The one of the machine, or one that is installed into the target folder once.
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
        // Debug builds of it are as good and take a third of the time.
        install.arg(&folder).args(["--debug", "cargo-deny"]);
        run::run(&mut install).map_err(|error| format!("cargo-deny could not be installed: {error}"))?;
    }
    Ok(executable)
}
