//! `cargo xtask judge`: tests a running host with independent programs and libraries.
//!
//! HTTP clients send requests that the host rejects early, with bodies of many sizes, and then
//! valid ones on the same connection: no response may be lost. Client generators read the admin
//! API's document, and the compiler of their language checks the generated code. Libraries for
//! webhooks sign what the host verifies, and verify what the host signs. A mail server receives
//! mail.

mod cases;
mod judge;
mod messages;
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

/// Runs the judges one after the other. Returns whether none had a complaint.
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

/// Writes a line to standard output. Errors are ignored, for example if it is closed.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
