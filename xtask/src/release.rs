//! `cargo xtask release`: the host for use, built with a profile of itself.
//!
//! A first executable counts what it runs under load. From these counts the compiler knows what is hot: it stands together
//! and is inlined, and all the rest is out of its way. What that is worth is in docs/performance.md.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::built::{Profile, build};
use crate::prepare::{prepare, profile_tool};
use crate::run::{self, cargo, read, rustc, target_folder};
use crate::steps::{Result, Steps, say};

/// What stands between flags in cargo's variable for them.
const BETWEEN: &str = "\x1f";

/// The load under which the host counts: every kind of route, with a key, a schema and a database.
const LOAD: [&str; 3] = ["--part", "whole-path", "--quick"];

/// Builds the host, lets it count, and builds it again.
pub fn run() -> Result<()> {
    let mut steps = Steps::new(5);
    let tool = steps.step("looking at the toolchain", || {
        prepare()?;
        profile_tool()
    })?;
    let folder = target_folder()?.join("guided");
    let (counts, profile) = (folder.join("counts"), folder.join("host.profdata"));
    let counting = steps.step(
        "building the host so that it counts what it runs (the first time takes a quarter of an hour)",
        || host(&folder, &flag("-Cprofile-generate=", &counts)),
    )?;
    let load = steps.step("building the load", || build(Profile::Dev))?;
    steps.step("counting under load", || {
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
    let built = steps.step(
        "building the host with what was counted (as long as before)",
        || host(&folder, &flag("-Cprofile-use=", &profile)),
    )?;
    let executable = folder.join("mortise");
    std::fs::copy(&built, &executable).map_err(|error| format!("{}: {error}", executable.display()))?;
    say(&format!("the host is {}\n", executable.display()));
    Ok(())
}

/// Builds the host with one more flag for the compiler. Everything else has to be the same for both builds: the names of
/// functions depend on it, and counts are kept by name.
fn host(folder: &Path, flag: &str) -> Result<PathBuf> {
    let triple = read(&mut rustc(&["--print", "host-tuple"]))?;
    let triple = triple.trim();
    let given = std::env::var("RUSTFLAGS").unwrap_or_default();
    let flags: Vec<&str> = given.split_whitespace().chain([flag]).collect();
    // Named, so that build scripts and macros are built without the flag.
    let mut cargo = cargo(&["build", "--release", "--bin", "mortise", "--target", triple]);
    cargo
        .arg("--target-dir")
        .arg(folder)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join(BETWEEN));
    run::run(&mut cargo)?;
    Ok(folder.join(triple).join("release").join("mortise"))
}

/// Counts of an earlier host would not fit.
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
