//! What the demo and the tests need of a machine: Rust, a C compiler, and the target that plugins are built for.

use std::path::Path;
use std::process::Command;

use crate::run::{read, root, run};
use crate::steps::Result;

const TARGET: &str = "wasm32-wasip2";

/// Checks the machine and adds the target where it is missing.
pub fn prepare() -> Result<()> {
    c_compiler()?;
    target()
}

/// SQLite and the TLS library are C.
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
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let folder = read(
        Command::new(rustc)
            .args(["--print", "target-libdir", "--target", TARGET])
            .current_dir(root()),
    )
    .map_err(|error| format!("{error}; install Rust from https://rustup.rs"))?;
    Ok(Path::new(folder.trim()).is_dir())
}
