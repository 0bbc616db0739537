//! `cargo xtask fuzz`: generates inputs of every kind for a host, and searches for one that harms
//! it.
//!
//! The host is the real executable. For every input, its process must survive, another (good)
//! tenant must be served, resources must be released, and the host must not report a fault of its
//! own. An input that breaks one of these promises is reduced and stored in a file, from which it
//! can be replayed.

mod chance;
mod failure;
mod find;
mod input;
mod kinds;
mod options;
mod origin;
mod reduce;
mod session;
mod target;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use rig::host::Launch;

use find::Trials;
use input::Finding;
use options::Options;
use session::Settings;
use target::Prepared;

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Runs the fuzzer. Returns whether nothing failed.
fn run() -> Result<bool> {
    let options = Options::parse(std::env::args().skip(1))?;
    let executable = options
        .executable
        .canonicalize()
        .with_context(|| format!("the host {}", options.executable.display()))?;
    let mut launch = launch(&executable);
    if let Some(guard) = &options.without {
        launch = launch.variable("UNGUARDED", guard);
    }
    let prepared = Prepared::new(launch)?;
    match &options.replay {
        Some(path) => replay(path, &options, &prepared),
        None => session::run(
            &Settings {
                time: options.time,
                seed: options.seed,
                bar: options.p99,
                kinds: options.kinds,
                without: options.without,
            },
            &prepared,
        ),
    }
}

/// A host that allows loopback for plugins, with budgets that let a run send many inputs. The
/// promises do not depend on them.
fn launch(executable: &Path) -> Launch {
    Launch::new(executable)
        .set("http_client.allow_loopback", "true")
        .set("breaker.failures", "0")
        .set("server.header_timeout", "2s")
        .set("server.keep_alive", "2s")
        .set("server.body_timeout", "2s")
        .set("server.write_timeout", "2s")
        .set("limits.cpu", "500ms")
        .set("limits.wall", "3s")
        .set("runtime.loaded", "64MiB")
}

/// Replays stored inputs. Returns whether none of them harms the host.
fn replay(path: &Path, options: &Options, prepared: &Prepared) -> Result<bool> {
    let mut trials = Trials::new(prepared, options.p99);
    let mut failures = 0;
    let files = files(path)?;
    for file in &files {
        let finding = Finding::read(file)?;
        match trials.run(&finding.inputs, true)? {
            None => say(&format!("pass  {}\n", file.display())),
            Some(failure) => {
                failures += 1;
                say(&format!("FAIL  {}: {failure}\n", file.display()));
            }
        }
    }
    say(&format!(
        "{} of {} harm nothing\n",
        files.len() - failures,
        files.len()
    ));
    Ok(failures == 0)
}

/// The file, or the files of the folder, sorted by name.
fn files(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = std::fs::read_dir(path).with_context(|| path.display().to_string())?;
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    files.sort();
    Ok(files)
}

/// The folder for findings, in the target folder.
fn findings_folder() -> PathBuf {
    let built = std::env::current_exe().ok();
    let target = built.as_deref().and_then(|path| path.ancestors().nth(2));
    target.unwrap_or(Path::new("target")).join("fuzz")
}

/// Writes to standard output. Errors are ignored, for example if it is closed.
fn say(text: &str) {
    let mut stdout = std::io::stdout();
    let _ = stdout.write_all(text.as_bytes());
    let _ = stdout.flush();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kept_input_can_be_read() {
        let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("kept");
        let files = files(&kept).unwrap();
        assert!(!files.is_empty());
        for file in files {
            let finding = Finding::read(&file).unwrap();
            for input in &finding.inputs {
                assert!(
                    kinds::Kind::named(&input.kind).is_some(),
                    "{}: {}",
                    file.display(),
                    input.kind
                );
            }
        }
    }
}
