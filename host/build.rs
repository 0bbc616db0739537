//! Builds the validator and the renderer for wasm, so that the host can embed them, and notices new
//! migrations, which a macro embeds.

use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "wasm32-wasip2";

/// The components that the host embeds. `mortise-NAME` is the package in the folder `NAME`.
const EMBEDDED: [&str; 2] = ["renderer", "validator"];

fn main() {
    let host = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    let root = host.parent().expect("the host is a folder of the repository");
    for path in ["migrations", "renderer", "validator", "Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", root.join(path).display());
    }
    let out = PathBuf::from(variable("OUT_DIR"));
    // A target folder of its own: cargo holds the lock of the one in use.
    let target = out
        .ancestors()
        .nth(4)
        .expect("the output folder lies at `target/PROFILE/build/PACKAGE/out`")
        .join("embedded");
    build(root, &target);
    for name in EMBEDDED {
        let component = target.join(TARGET).join(format!("guest/mortise_{name}.wasm"));
        let copied = std::fs::copy(&component, out.join(format!("{name}.wasm")));
        copied.unwrap_or_else(|error| panic!("the {name} cannot be copied: {error}"));
    }
}

fn build(root: &Path, target: &Path) {
    let mut cargo = Command::new(variable("CARGO"));
    // What cargo tells this script about its own build must not reach the build of the components.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let inherited = [
            "CARGO_ENCODED_RUSTFLAGS",
            "RUSTFLAGS",
            "RUSTC_WORKSPACE_WRAPPER",
            "RUSTC_WRAPPER",
            "RUSTC",
        ];
        if inherited.contains(&&*text) || text.starts_with("CARGO_PROFILE_") || text.starts_with("CARGO_CFG_")
        {
            cargo.env_remove(&name);
        }
    }
    cargo
        .current_dir(root)
        .args(["build", "--quiet", "--lib"])
        .args(["--profile", "guest", "--target", TARGET, "--target-dir"])
        .arg(target);
    for name in EMBEDDED {
        cargo.args(["--package", &format!("mortise-{name}")]);
    }
    let status = cargo.status().expect("cargo can be started");
    assert!(
        status.success(),
        "the components do not build; is the target there? `rustup target add {TARGET}`"
    );
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"))
}
