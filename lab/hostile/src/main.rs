//! `cargo xtask hostile`: attacks a running host, and measures the effect on other tenants.
//!
//! The catalogue lists what customers, plugins and callers may try. Each row prints one line.
//!
//! The host is the real executable with its own data folder. All requests go over its sockets.
//! Faults (a killed worker, flipped bytes, a crash) are injected through the data folder and the
//! process. After each row the good tenant must be served, and the host must hold no more resources
//! than before.

mod catalogue;
mod figure;
mod figures;
mod jobs;
mod mail;
mod options;
mod orders;
mod rows;
mod server;
mod stage;

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use options::{Kills, Options};
use rig::Measured;
use stage::{Scale, Stage};

/// The file descriptors that this process needs for thousands of sockets.
const DESCRIPTORS: u64 = 20_000;

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

/// Runs the selected rows and figures. Returns whether every row passed and, in the full run, every
/// bar was met.
fn run() -> Result<bool> {
    let options = Options::parse(std::env::args().skip(1))?;
    let rows = chosen(catalogue::rows(), |row| row.id, options.rows.as_deref())?;
    let figures = chosen(
        figures::FIGURES.to_vec(),
        |figure| figure.name,
        options.figures.as_deref(),
    )?;
    if options.list {
        for row in &rows {
            say(&format!("{:<4} {}\n", row.id, row.tried));
        }
        for figure in &figures {
            say(&format!("figure {:<12} {}\n", figure.name, figure.what));
        }
        return Ok(true);
    }
    raise_descriptors();
    say(&format!("seed {}\n", options.seed));
    let executable = options
        .executable
        .canonicalize()
        .with_context(|| format!("the host {}", options.executable.display()))?;
    if let Some(kills) = options.kills {
        let (name, run): (&str, RunKills) = match kills {
            Kills::Jobs => ("jobs", jobs::run),
            Kills::Mail => ("mail", mail::run),
            Kills::Orders => ("orders", orders::run),
        };
        let (passed, raw) = run(&executable, options.scale, options.seed)?;
        let raw = json!({ "seed": options.seed, name: raw });
        write(options.json.as_deref(), &raw)?;
        return Ok(passed);
    }
    let stage = Stage::new(executable, options.scale, options.seed)?;
    let verdicts = catalogue::run(&stage, &rows);
    let survived = catalogue::survived(&verdicts);
    let measured = figure::run(&stage, &figures);
    let met = measured.iter().all(Measured::is_met);
    let raw = json!({ "seed": options.seed, "rows": verdicts, "figures": measured });
    write(options.json.as_deref(), &raw)?;
    Ok(survived && (met || options.scale == Scale::Quick))
}

/// Runs the stages of one kind of kills. Returns whether they passed, and the raw results.
type RunKills = fn(&Path, Scale, u64) -> Result<(bool, Value)>;

/// Writes the raw results to a file, if one was named.
fn write(path: Option<&Path>, raw: &Value) -> Result<()> {
    match path {
        Some(path) => {
            std::fs::write(path, serde_json::to_vec_pretty(raw)?).with_context(|| path.display().to_string())
        }
        None => Ok(()),
    }
}

/// Returns all items, or the named ones.
fn chosen<T>(all: Vec<T>, name: impl Fn(&T) -> &str, wanted: Option<&[String]>) -> Result<Vec<T>> {
    let Some(wanted) = wanted else { return Ok(all) };
    for wanted in wanted {
        ensure!(
            all.iter().any(|one| name(one) == wanted),
            "there is no `{wanted}`; `--list` says what there is"
        );
    }
    Ok(all
        .into_iter()
        .filter(|one| wanted.iter().any(|wanted| wanted == name(one)))
        .collect())
}

/// Raises the descriptor limit as far as the system allows. The hosts inherit it.
fn raise_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let now = getrlimit(Resource::Nofile);
    let wanted = now.maximum.map_or(DESCRIPTORS, |most| most.min(DESCRIPTORS));
    if now.current.is_some_and(|current| current < wanted) {
        let limit = Rlimit {
            current: Some(wanted),
            maximum: now.maximum,
        };
        // If this fails, the rows that need many sockets report it.
        let _ = setrlimit(Resource::Nofile, limit);
    }
}

/// Writes to standard output. Errors are ignored, for example if it is closed.
fn say(text: &str) {
    let mut stdout = std::io::stdout();
    let _ = stdout.write_all(text.as_bytes());
    let _ = stdout.flush();
}
