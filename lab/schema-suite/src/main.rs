//! `cargo xtask schema-suite FOLDER`: runs the official JSON Schema test suite (draft 2020-12)
//! through routes of a running host.
//!
//! Each schema of the suite becomes the request schema of a route, to which each instance is sent.
//! A schema that the host rejects at upload must be listed in `refused.txt`.

mod deployed;
mod suite;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use rig::host::{Host, Launch};

use deployed::Deployed;
use suite::Case;

/// The cases whose schema the host rejects, one per line. Blank lines and lines that begin with `#`
/// are skipped.
const REFUSED: &str = include_str!("../refused.txt");

/// A part of the suite, and the contract version of its plugins.
struct Part {
    name: &'static str,
    folder: &'static str,
    contract: &'static str,
}

const PARTS: [Part; 2] = [
    Part {
        name: "required, `format` as annotation",
        folder: "tests/draft2020-12",
        contract: "0.1",
    },
    Part {
        name: "optional/format, `format` asserted",
        folder: "tests/draft2020-12/optional/format",
        contract: "0.2",
    },
];

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

/// Runs the suite. Returns whether all results are as expected.
fn run() -> Result<bool> {
    let (executable, folder) = arguments()?;
    // The suite sends thousands of requests in a row.
    let host = Launch::new(&executable)
        .set("limits.requests_per_second", "100000")
        .set("limits.request_burst", "100000")
        .start()?;
    let expected: BTreeSet<&str> = REFUSED
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect();
    let (mut refused, mut is_good) = (BTreeMap::new(), true);
    for part in &PARTS {
        is_good &= run_part(&host, part, &folder, &mut refused)?;
    }
    for (case, reason) in &refused {
        if !expected.contains(case.as_str()) {
            is_good = false;
            say(&format!(
                "refused, but not listed in refused.txt: {case}: {reason}"
            ));
        }
    }
    for case in expected {
        if !refused.contains_key(case) {
            is_good = false;
            say(&format!("listed in refused.txt, but not refused: {case}"));
        }
    }
    Ok(is_good)
}

/// Runs one part and adds the rejected schemas to `refused`. Returns whether all sent instances
/// agree.
fn run_part(
    host: &Host,
    part: &Part,
    folder: &std::path::Path,
    refused: &mut BTreeMap<String, String>,
) -> Result<bool> {
    let cases = Case::read(&folder.join(part.folder))?;
    let tenant = host.tenant(&part.contract.replace("0.", "contract-0-"))?;
    let (mut agree, mut differ, mut refused_here) = (0_usize, 0_usize, 0_usize);
    for cases in cases.chunks(deployed::MAX_CASES) {
        let deployed = Deployed::new(&tenant, cases.to_vec(), part.contract)?;
        refused_here += deployed.refused.len();
        refused.extend(deployed.refused.iter().cloned());
        for (route, case) in &deployed.cases {
            for test in &case.tests {
                let answer = deployed.answer(*route, &test.data)?;
                if answer.is_valid == test.valid {
                    agree += 1;
                    continue;
                }
                differ += 1;
                let expected = if test.valid { "valid" } else { "invalid" };
                say(&format!(
                    "{}: {}: {expected}, but {}",
                    case.name, test.description, answer.seen
                ));
            }
        }
    }
    say(&format!(
        "{}: {agree} agree, {differ} differ, {refused_here} schemas refused",
        part.name
    ));
    Ok(differ == 0)
}

/// The executable of the host, and the folder of the suite.
fn arguments() -> Result<(PathBuf, PathBuf)> {
    let mut arguments = std::env::args().skip(1);
    let (mut executable, mut folder) = (None, None);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--executable" => executable = arguments.next(),
            other if other.starts_with('-') => bail!("there is no `{other}`"),
            other => folder = Some(other.to_owned()),
        }
    }
    let executable = executable.context("--executable FILE is missing")?;
    let folder = folder.context("name the folder of the suite: `cargo xtask schema-suite FOLDER`")?;
    Ok((PathBuf::from(executable).canonicalize()?, folder.into()))
}

fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
