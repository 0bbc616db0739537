//! `mortise build`: builds a plugin's folder to a single `.wasm` file.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Args;
use serde_json::Value;

use super::{CliError, Output};
use crate::components::bundle::Bundle;
use crate::components::check_listed;
use crate::domain::limits::Limits;
use crate::domain::manifest_checks::{ExceededLimit, exceeded_limits};

const TARGET: &str = "wasm32-wasip2";

/// Build settings of plugins: small, optimised, without unwinding tables. They are passed by
/// environment variables, so that a plugin's own profile need not contain them.
const PROFILE: [(&str, &str); 6] = [
    ("CARGO_PROFILE_RELEASE_LTO", "true"),
    ("CARGO_PROFILE_RELEASE_PANIC", "abort"),
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1"),
    ("CARGO_PROFILE_RELEASE_STRIP", "debuginfo"),
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "3"),
    // 2 MiB of initial memory are enough for most requests, so memory seldom grows during one.
    (
        "CARGO_TARGET_WASM32_WASIP2_RUSTFLAGS",
        "-C link-arg=--initial-memory=2097152",
    ),
];

/// Arguments of `mortise build`.
#[derive(Debug, Args)]
pub struct Build {
    /// Folder of the plugin, with plugin.toml and Cargo.toml
    folder: PathBuf,
    /// File to write; by default <name>.wasm in the current folder
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Use this component, in any language, instead of running cargo
    #[arg(long, value_name = "FILE")]
    component: Option<PathBuf>,
}

impl Build {
    /// Builds the plugin and writes the file.
    pub fn run(self, output: &mut Output) -> Result<(), CliError> {
        let bundle = Bundle::from_folder(&self.folder)?;
        let component = match &self.component {
            Some(path) => std::fs::read(path).map_err(|error| CliError::file("read", path, &error))?,
            None => compile(&self.folder, output)?,
        };
        let plugin = embed(&bundle, &component)?;
        for ExceededLimit { name, asked, most } in exceeded_limits(&bundle.manifest, &Limits::ceiling()) {
            output.news(format_args!(
                "warning: {name}: {asked} is refused by a host whose operator has not raised its ceiling of {most}"
            ));
        }
        let out = self
            .out
            .unwrap_or_else(|| PathBuf::from(format!("{}.wasm", bundle.manifest.plugin.name)));
        write(&out, &plugin)?;
        output.object(&serde_json::json!({
            "plugin": bundle.manifest.plugin.name.to_string(),
            "version": bundle.manifest.plugin.version,
            "file": out.display().to_string(),
            "bytes": plugin.len(),
            "digest": crate::domain::id::VersionDigest::of(&plugin).to_string(),
        }))
    }
}

/// Builds a folder and returns the bytes of the plugin.
pub fn build_folder(folder: &Path, output: &mut Output) -> Result<Vec<u8>, CliError> {
    // The manifest is checked first, so that its errors are reported before the compiler runs.
    let bundle = Bundle::from_folder(folder)?;
    embed(&bundle, &compile(folder, output)?)
}

/// Embeds the bundle in the component. The component must handle the routes and functions of the
/// manifest.
fn embed(bundle: &Bundle, component: &[u8]) -> Result<Vec<u8>, CliError> {
    let plugin = bundle.embed(component)?;
    check_listed(&plugin, &bundle.manifest)
        .map_err(|refusal| CliError::failed(refusal.message, refusal.hint))?;
    Ok(plugin)
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|error| CliError::file("create", folder, &error))?;
    }
    std::fs::write(path, bytes).map_err(|error| CliError::file("write", path, &error))
}

fn compile(folder: &Path, output: &mut Output) -> Result<Vec<u8>, CliError> {
    let manifest = folder.join("Cargo.toml");
    let manifest = manifest.canonicalize().map_err(|_| {
        CliError::failed(
            format!("{} does not exist", manifest.display()),
            "for a plugin in another language, build the component with its own tools and name it with --component",
        )
    })?;
    require_target(folder)?;
    output.news(format_args!("building {} for {TARGET}", folder.display()));
    let built = cargo(&manifest)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| {
            CliError::failed(
                format!("cannot run cargo: {error}"),
                "install Rust from https://rustup.rs",
            )
        })?;
    if !built.status.success() {
        return Err(CliError::failed(
            "cargo could not build the plugin",
            "its messages are above",
        ));
    }
    let path = artifact(&String::from_utf8_lossy(&built.stdout), &manifest).ok_or_else(|| {
        CliError::failed(
            format!("{} has no library that becomes a component", manifest.display()),
            "add `[lib]` with `crate-type = [\"cdylib\"]` to it",
        )
    })?;
    std::fs::read(&path).map_err(|error| CliError::file("read", &path, &error))
}

fn cargo(manifest: &Path) -> Command {
    let mut command = Command::new(tool("CARGO", "cargo"));
    command
        .args([
            "build",
            "--release",
            "--lib",
            "--target",
            TARGET,
            "--message-format=json-render-diagnostics",
        ])
        .arg("--manifest-path")
        .arg(manifest)
        .envs(PROFILE)
        // Either variable would override the flags above.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    // The plugin's folder selects the toolchain.
    if let Some(folder) = manifest.parent() {
        command.current_dir(folder);
    }
    command
}

/// The component that cargo reports for the package at `manifest`.
fn artifact(messages: &str, manifest: &Path) -> Option<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["reason"] == "compiler-artifact")
        .filter(|message| {
            message["manifest_path"]
                .as_str()
                .is_some_and(|path| Path::new(path) == manifest)
        })
        .filter_map(|message| {
            let files = message["filenames"].as_array()?;
            let file = files
                .iter()
                .filter_map(Value::as_str)
                .find(|file| file.ends_with(".wasm"))?;
            Some(PathBuf::from(file))
        })
        .next_back()
}

fn require_target(folder: &Path) -> Result<(), CliError> {
    let answer = Command::new(tool("RUSTC", "rustc"))
        .args(["--print", "target-libdir", "--target", TARGET])
        .current_dir(folder)
        .output()
        .map_err(|error| {
            CliError::failed(
                format!("cannot run rustc: {error}"),
                "install Rust from https://rustup.rs",
            )
        })?;
    let folder = String::from_utf8_lossy(&answer.stdout).trim().to_owned();
    if answer.status.success() && Path::new(&folder).is_dir() {
        return Ok(());
    }
    Err(CliError::failed(
        format!("the Rust target {TARGET} is not installed"),
        format!("rustup target add {TARGET}"),
    ))
}

fn tool(variable: &str, name: &str) -> OsString {
    std::env::var_os(variable).unwrap_or_else(|| name.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_is_told_how_plugins_are_built() {
        let command = cargo(Path::new("/plugins/hello/Cargo.toml"));
        let arguments: Vec<_> = command
            .get_args()
            .map(|argument| argument.to_str().unwrap())
            .collect();
        assert_eq!(
            arguments.join(" "),
            "build --release --lib --target wasm32-wasip2 --message-format=json-render-diagnostics \
             --manifest-path /plugins/hello/Cargo.toml"
        );
        let variable = |name: &str| {
            command
                .get_envs()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value.map(|value| value.to_str().unwrap()))
        };
        assert_eq!(variable("CARGO_PROFILE_RELEASE_LTO"), Some(Some("true")));
        assert_eq!(variable("CARGO_PROFILE_RELEASE_PANIC"), Some(Some("abort")));
        assert_eq!(variable("RUSTFLAGS"), Some(None), "removed");
        assert_eq!(command.get_current_dir(), Some(Path::new("/plugins/hello")));
    }

    #[test]
    fn the_plugin_s_own_artifact_is_taken() {
        let messages = [
            r#"{"reason":"compiler-artifact","manifest_path":"/dep/Cargo.toml","filenames":["/t/dep.wasm"]}"#,
            r#"{"reason":"compiler-artifact","manifest_path":"/p/Cargo.toml","filenames":["/t/libp.rlib","/t/p.wasm"]}"#,
            r#"{"reason":"build-finished","success":true}"#,
            "not json",
        ]
        .join("\n");
        assert_eq!(
            artifact(&messages, Path::new("/p/Cargo.toml")),
            Some(PathBuf::from("/t/p.wasm"))
        );
        assert_eq!(artifact(&messages, Path::new("/q/Cargo.toml")), None);
    }
}
