//! `cargo xtask hostile`: attacks a running host, and measures what its good tenants notice of it.
//!
//! The catalogue lists what customers, plugins and callers may try. Each row prints one line.
//!
//! The host is the real executable, started on a data folder of its own. Everything goes over its sockets; what needs
//! the inside (a worker that is killed, bytes that flip, a host that dies) is done through the data folder and the
//! process. After each row the good tenant is served, and the host holds no more than before.

mod catalogue;
mod figure;
mod figures;
mod options;
mod rows;
mod server;
mod stage;

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use options::Options;
use rig::Measured;
use stage::{Scale, Stage};

/// Descriptors that the callers here need: one for each of thousands of sockets.
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

/// Runs what is wanted. Whether every row passed and, in the full run, every bar was met.
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
    let stage = Stage::new(executable, options.scale, options.seed)?;
    let verdicts = catalogue::run(&stage, &rows);
    let survived = catalogue::survived(&verdicts);
    let measured = figure::run(&stage, &figures);
    let met = measured.iter().all(Measured::is_met);
    if let Some(path) = options.json {
        let raw = json!({ "seed": options.seed, "rows": verdicts, "figures": measured });
        std::fs::write(&path, serde_json::to_vec_pretty(&raw)?)
            .with_context(|| path.display().to_string())?;
    }
    Ok(survived && (met || options.scale == Scale::Quick))
}

/// All, or those that are named.
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

/// As many as the system lets this process have, up to what is needed. The hosts inherit it.
fn raise_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let now = getrlimit(Resource::Nofile);
    let wanted = now.maximum.map_or(DESCRIPTORS, |most| most.min(DESCRIPTORS));
    if now.current.is_some_and(|current| current < wanted) {
        let limit = Rlimit {
            current: Some(wanted),
            maximum: now.maximum,
        };
        // Where this fails, what needs many sockets says so.
        let _ = setrlimit(Resource::Nofile, limit);
    }
}

/// Writes to standard output. Who closed it does not want to know.
fn say(text: &str) {
    let mut stdout = std::io::stdout();
    let _ = stdout.write_all(text.as_bytes());
    let _ = stdout.flush();
}
