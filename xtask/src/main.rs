//! The commands of this repository, run as `cargo xtask <command>`.

mod bench;
mod built;
mod demo;
mod deny;
mod fuzz;
mod hostile;
mod judge;
mod lint;
mod prepare;
mod release;
mod run;
mod schema_suite;
mod steps;
mod test;
mod tidy;

use std::process::ExitCode;

const HELP: &str = "\
cargo xtask <command>

  demo   build everything, start a host with a tenant and two plugins, and print curl lines that work
         --data FOLDER (./mortise-data)  --public ADDRESS (127.0.0.1:8080)  --admin ADDRESS (127.0.0.1:8081)
         --erp ADDRESS (127.0.0.1:8082; the demo plays the shop's ERP there)
  test   run every test, the quick attacks (also on jobs, mail, webhooks and a shop) and a minute of generated inputs; further arguments go to cargo test, without the attacks
  hostile  attack a host with the whole catalogue, and measure what its good tenants notice
         --quick (rows alone, in small)  --row B1,D4  --figure loops  --seed NUMBER  --json FILE  --list
         --jobs (kill hosts at fail points and at random moments while they run jobs, and count what became of the jobs)
         --mail (the same with mail and webhooks)  --orders (the same with a shop, whose books are checked)
  fuzz   send generated inputs of every kind to a host, and look for one that harms it
         SECONDS (60)  --seed NUMBER  --kind sql,http2  --quick (a host built as for the tests)
         --replay FILE (a finding once more; a folder: all of them)
         --guards [NAME …] (switches guards of the host off one by one; each time something has to be found in 300 s)
  schema-suite FOLDER  the official JSON Schema test suite (draft 2020-12) through routes of a host
  judge  let programs that others wrote judge a host: HTTP clients of Node and Python, curl, generators of clients, libraries for webhooks, a mail server
         --judge curl,httpx (some of them)
  bench  measure a host beside native baselines
         --quick (a look in two minutes)  --part in-process,whole-path,growth,reconcile,jobs,peers  --json FILE
         --executable target/guided/mortise (what `release` built)  --beside FILE (another host, to tell what a change changes)
         --profile (where the time goes, by perf)  --plugins NUMBER (the most that growth deploys: 10000)
  release  build the host for use, with a profile of itself: target/guided/mortise
  lint   formatting, clippy, documentation, tidy and cargo-deny, with warnings denied
  tidy   the rules of this repository that no other tool checks; --wrap wraps comments and Markdown that are too wide
  ci     test, judge and lint
";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next().unwrap_or_default();
    let rest: Vec<String> = arguments.collect();
    let result = match command.as_str() {
        "demo" => demo::run(&rest),
        "test" => test::run(&rest),
        "hostile" => hostile::run(&rest),
        "fuzz" => fuzz::run(&rest),
        "schema-suite" => schema_suite::run(&rest),
        "judge" => judge::run(&rest),
        "bench" => bench::run(&rest),
        "release" if rest.is_empty() => release::run(),
        "lint" if rest.is_empty() => lint::run(),
        "tidy" => tidy::command(&run::root(), &rest),
        "ci" if rest.is_empty() => test::run(&[])
            .and_then(|()| judge::run(&[]))
            .and_then(|()| lint::run()),
        "" | "help" | "--help" | "-h" => {
            steps::say(HELP);
            return ExitCode::SUCCESS;
        }
        _ => {
            steps::complain(&format!("there is no `{} {}`\n\n{HELP}", command, rest.join(" ")));
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            steps::complain(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}
