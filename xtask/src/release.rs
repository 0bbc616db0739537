//! `cargo xtask release`: makes a release build of the host with profile-guided optimization.
//!
//! A first executable records a profile under load. The compiler uses it to inline hot code and to
//! place it together. docs/performance.md has the measured effect.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::built::{Profile, build};
use crate::prepare::{prepare, profile_tool};
use crate::run::{self, cargo, read, rustc, target_folder};
use crate::steps::{Result, Steps, say};

/// The separator of the flags in cargo's variable.
const BETWEEN: &str = "\x1f";

/// The load for the profile: every kind of route, with a key, a schema and a database.
const LOAD: [&str; 3] = ["--part", "whole-path", "--quick"];

/// Builds the host, records the profile, and builds the host again.
pub fn run() -> Result<()> {
    let mut steps = Steps::new(5);
    let tool = steps.step("checking the toolchain", || {
        prepare()?;
        profile_tool()
    })?;
    let folder = target_folder()?.join("guided");
    let (counts, profile) = (folder.join("counts"), folder.join("host.profdata"));
    let counting = steps.step(
        "building the host with instrumentation (the first time takes a quarter of an hour)",
        || host(&folder, &flag("-Cprofile-generate=", &counts)),
    )?;
    let load = steps.step("building the load", || build(Profile::Dev))?;
    steps.step("recording a profile under load", || {
        clear(&counts)?;
        load.run_at(&counting, "bench", &LOAD.map(str::to_owned))?;
        run::run(
            Command::new(&tool)
                .arg("merge")
                .arg("-o")
                .arg(&profile)
                .arg(&counts),
        )
    })?;
    let built = steps.step("building the host with the profile (as long as before)", || {
        host(&folder, &flag("-Cprofile-use=", &profile))
    })?;
    let executable = folder.join("mortise");
    std::fs::copy(&built, &executable).map_err(|error| format!("{}: {error}", executable.display()))?;
    say(&format!("the host is {}\n", executable.display()));
    Ok(())
}

/// Builds the host with one more compiler flag. Everything else must be the same in both builds,
/// because profiles refer to functions by names that depend on it.
fn host(folder: &Path, flag: &str) -> Result<PathBuf> {
    let triple = read(&mut rustc(&["--print", "host-tuple"]))?;
    let triple = triple.trim();
    let given = std::env::var("RUSTFLAGS").unwrap_or_default();
    let flags: Vec<&str> = given.split_whitespace().chain([flag]).collect();
    // The target is named, so that build scripts and macros are built without the flag.
    let mut cargo = cargo(&["build", "--release", "--bin", "mortise", "--target", triple]);
    cargo
        .arg("--target-dir")
        .arg(folder)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join(BETWEEN));
    run::run(&mut cargo)?;
    Ok(folder.join(triple).join("release").join("mortise"))
}

/// Removes the profile of an earlier build, which would not match.
fn clear(counts: &Path) -> Result<()> {
    match std::fs::remove_dir_all(counts) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("{}: {error}", counts.display()))
        }
        _ => Ok(()),
    }
}

fn flag(name: &str, path: &Path) -> String {
    format!("{name}{}", path.display())
}
