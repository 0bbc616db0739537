//! `cargo xtask judge`: programs that others wrote judge a running host.
//!
//! HTTP clients send requests that the host refuses early, with bodies of many sizes, and then good
//! ones on the same connection: no answer may be lost. Generators of clients read the admin API's
//! document, and the compiler of their language checks what they made.

mod cases;
mod judge;
mod options;
mod stage;

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Result;

use judge::JUDGES;
use options::Options;
use stage::Stage;

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

/// Runs the judges one after the other. Whether all of them were content.
fn run() -> Result<bool> {
    let options = Options::parse(std::env::args().skip(1))?;
    let stage = Stage::new(&options)?;
    let mut verdicts = Vec::new();
    for judge in JUDGES.iter().filter(|judge| options.wants(judge.name)) {
        say(&format!("{} …", judge.name));
        verdicts.push(judge.run(&stage, &options)?);
    }
    say("");
    for verdict in &verdicts {
        say(&verdict.to_string());
    }
    let content = verdicts.iter().filter(|verdict| verdict.is_content).count();
    say(&format!("{content} of {} judges are content", verdicts.len()));
    Ok(content == verdicts.len())
}

/// Writes a line to standard output. Who closed it does not want to know.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
