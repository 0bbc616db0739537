//! `cargo xtask bench`: measures the speed of a host. Each measurement has a native baseline in the
//! same run: the two alternate in rounds, and the result is the ratio of each round.

mod growth;
mod in_process;
mod jobs;
mod native;
mod options;
mod peers;
mod processor;
mod profile;
mod reconcile;
mod series;
mod subject;
mod traffic;
mod whole_path;

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use rig::Measured;
use serde_json::json;

use options::{Options, Part};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == native::COMMAND) {
        return match native::serve(&arguments[1..]) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => complain(&error),
        };
    }
    match run(arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => complain(&error),
    }
}

/// Runs the selected measurements. Returns whether every bar was met; a quick run checks none.
fn run(arguments: Vec<String>) -> Result<bool> {
    let options = Options::parse(arguments.into_iter())?;
    let mut bars: Vec<Measured> = Vec::new();
    let mut raw = serde_json::Map::new();
    for part in &options.parts {
        let found = match part {
            Part::InProcess => in_process::run(&options)?,
            Part::WholePath => whole_path::run(&options)?,
            Part::Growth => growth::run(&options)?,
            Part::Reconcile => reconcile::run(&options)?,
            Part::Jobs => jobs::run(&options)?,
            Part::Peers => peers::run(&options)?,
        };
        raw.insert(part.name().to_owned(), found.raw);
        bars.extend(found.bars);
    }
    say("\n");
    for bar in &bars {
        say(&format!("bar {bar}\n"));
    }
    let met = bars.iter().all(Measured::is_met);
    if let Some(path) = &options.json {
        let all = json!({ "parts": raw, "bars": bars });
        std::fs::write(path, serde_json::to_vec_pretty(&all)?).with_context(|| path.display().to_string())?;
    }
    Ok(met || options.quick)
}

/// Writes to standard output. Errors are ignored, for example if it is closed.
fn say(text: &str) {
    let mut stdout = std::io::stdout();
    let _ = stdout.write_all(text.as_bytes());
    let _ = stdout.flush();
}

fn complain(error: &anyhow::Error) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "error: {error:#}");
    ExitCode::from(2)
}
