//! Builds the guests and the plugins for wasm, in a separate target folder, because cargo has
//! locked the current one.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "wasm32-wasip2";
const PLUGINS: [&str; 5] = [
    "bench-plugin",
    "bench-wasi-http",
    "conformance",
    "hello",
    "orders",
];

/// The initial memory of a guest. Growing it during a request costs system calls.
const RUSTFLAGS: &str = "-C link-arg=--initial-memory=2097152";

fn main() {
    let tests = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    let root = tests.parent().expect("the tests are a folder of the repository");
    for path in [
        "wit",
        "sdk/conformance",
        "sdk/rust",
        "plugins",
        "lab/bench/plugin",
        "lab/bench/wasi-http",
        "tests/guests",
        "Cargo.toml",
        "Cargo.lock",
    ] {
        println!("cargo::rerun-if-changed={}", root.join(path).display());
    }
    let out = PathBuf::from(variable("OUT_DIR"));
    let target = shared_target_folder(&out);
    build(root, &target);

    let built = target.join(TARGET).join("guest");
    let mut code = String::new();
    let guests = guests(&tests.join("guests/examples"));
    for guest in &guests {
        constant(&mut code, guest, &built.join("examples").join(guest));
    }
    for plugin in PLUGINS {
        let file = plugin.replace('-', "_");
        constant(&mut code, &file, &built.join(&file));
    }
    let names = guests.join(" ");
    let _ = write!(
        code,
        "/// Calls the macro `$each` with the names of all guests.\n\
         #[macro_export]\nmacro_rules! foreach_guest {{ ($each:ident) => {{ $each! {{ {names} }} }}; }}\n"
    );
    std::fs::write(out.join("artifacts.rs"), code).expect("the output folder can be written");
}

fn build(root: &Path, target: &Path) {
    let mut cargo = Command::new(variable("CARGO"));
    // Cargo's variables for this build must not affect the build of the guests.
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
        .args([
            "build",
            "--quiet",
            "--profile",
            "guest",
            "--target",
            TARGET,
            "--target-dir",
        ])
        .arg(target)
        .args(["--package", "test-guests", "--examples", "--lib"])
        .args(PLUGINS.iter().flat_map(|plugin| ["--package", plugin]))
        .env("CARGO_TARGET_WASM32_WASIP2_RUSTFLAGS", RUSTFLAGS);
    let status = cargo.status().expect("cargo can be started");
    assert!(
        status.success(),
        "the guests do not build; is the target there? `rustup target add {TARGET}`"
    );
}

/// Returns the target folder. The output folder is `target/PROFILE/build/PACKAGE/out`.
fn shared_target_folder(out: &Path) -> PathBuf {
    out.ancestors()
        .nth(4)
        .expect("the output folder lies deep in the target folder")
        .join("guests")
}

/// The names of the guests, which are those of their files.
fn guests(folder: &Path) -> Vec<String> {
    let files = std::fs::read_dir(folder).expect("the guests can be listed");
    let paths = files.map(|file| file.expect("the guests can be listed").path());
    let mut names: Vec<String> = paths
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    names
}

fn constant(code: &mut String, name: &str, path: &Path) {
    let _ = writeln!(
        code,
        "/// The component `{name}`.\npub const {}: &str = {:?};",
        name.to_uppercase(),
        path.with_extension("wasm")
    );
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"))
}
