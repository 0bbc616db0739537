//! Checks the prerequisites of the demo and the tests: Rust, a C compiler, and the target of
//! plugins. A release needs a further component.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run::{read, root, run, rustc};
use crate::steps::Result;

const TARGET: &str = "wasm32-wasip2";

/// The additional component for `cargo xtask release`.
const COMPONENT: &str = "llvm-tools";

/// Checks the machine, and adds the target if it is missing.
pub fn prepare() -> Result<()> {
    c_compiler()?;
    target()
}

/// Returns the program that merges profiles, in the version of the compiler. Adds it if it is
/// missing.
pub fn profile_tool() -> Result<PathBuf> {
    let libraries = read(&mut rustc(&["--print", "target-libdir"]))?;
    let tool = Path::new(libraries.trim())
        .with_file_name("bin")
        .join("llvm-profdata");
    if !tool.is_file() {
        run(Command::new("rustup").args(["component", "add", COMPONENT]).current_dir(root())).map_err(|error| {
            format!("the component {COMPONENT} of Rust is missing and could not be added: {error}; run `rustup component add {COMPONENT}` and try again")
        })?;
    }
    match tool.is_file() {
        true => Ok(tool),
        false => Err(format!(
            "the component {COMPONENT} of Rust brought no {}",
            tool.display()
        )),
    }
}

/// Checks for a C compiler, because SQLite and the TLS library are written in C.
fn c_compiler() -> Result<()> {
    let named = std::env::var("CC").ok();
    let candidates = named
        .as_deref()
        .map_or(vec!["cc", "gcc", "clang"], |named| vec![named]);
    if candidates
        .iter()
        .any(|compiler| read(Command::new(compiler).arg("--version")).is_ok())
    {
        return Ok(());
    }
    Err(format!(
        "no C compiler ({}): install one, with `apt-get install gcc` or `xcode-select --install`",
        candidates.join(", ")
    ))
}

fn target() -> Result<()> {
    if has_target()? {
        return Ok(());
    }
    run(Command::new("rustup").args(["target", "add", TARGET]).current_dir(root())).map_err(|error| {
        format!("the Rust target {TARGET} is missing and could not be added: {error}; run `rustup target add {TARGET}` and try again")
    })?;
    if has_target()? {
        Ok(())
    } else {
        Err(format!(
            "rustup added {TARGET} to another toolchain than this folder's"
        ))
    }
}

fn has_target() -> Result<bool> {
    let folder = read(&mut rustc(&["--print", "target-libdir", "--target", TARGET]))
        .map_err(|error| format!("{error}; install Rust from https://rustup.rs"))?;
    Ok(Path::new(folder.trim()).is_dir())
}
