//! `cargo xtask fuzz`: generated inputs of every kind, and what a running host makes of them.

use crate::built::{Profile, build, build_with};
use crate::prepare::prepare;
use crate::run::root;
use crate::steps::{Result, Steps};

/// How long the tests generate inputs, and from which seed.
const QUICK: [&str; 3] = ["60", "--seed", "17"];

/// Inputs that once harmed a host.
const KEPT: &str = "lab/fuzz/kept";

/// Guards of the host that can be switched off one by one, and the kinds of input that are held back by each.
const GUARDS: [(&str, &str); 8] = [
    ("schemas-apart", "schemas"),
    ("manifests-apart", "manifests"),
    ("sql-memory", "sql"),
    ("patterns-apart", "schemas"),
    ("unevaluated-apart", "schemas"),
    ("mismatches-apart", "schemas"),
    ("loaded-memory", "components"),
    ("sql-clock", "sql"),
];

/// How long generated inputs may look for what a guard held back.
const GUARD_SECONDS: &str = "300";

/// Builds the host and its attackers, and lets them at it. `arguments` go to the attackers; with
/// `--quick` everything is built as for the tests, otherwise for use.
pub fn run(arguments: &[String]) -> Result<()> {
    if let Some(("--guards", names)) = arguments
        .split_first()
        .map(|(first, rest)| (first.as_str(), rest))
    {
        return guards(names);
    }
    let mut steps = Steps::new(3);
    steps.step("looking at the toolchain", prepare)?;
    let (quick, rest): (Vec<String>, Vec<String>) = arguments
        .iter()
        .cloned()
        .partition(|argument| argument == "--quick");
    let (what, profile) = match quick.is_empty() {
        false => ("building the host and its attackers", Profile::Dev),
        true => (
            "building the host and its attackers for use (the first time takes a quarter of an hour)",
            Profile::Release,
        ),
    };
    let built = steps.step(what, || build(profile))?;
    steps.step("sending generated inputs", || built.run("fuzz", &rest))
}

/// Switches guards off one by one, all or the named ones. Each time the generated inputs have to find what
/// the guard prevents.
fn guards(names: &[String]) -> Result<()> {
    if let Some(unknown) = names
        .iter()
        .find(|name| GUARDS.iter().all(|(guard, _)| guard != name))
    {
        let known = GUARDS.map(|(guard, _)| guard).join(", ");
        return Err(format!("`{unknown}` is no guard; the guards are {known}"));
    }
    let wanted: Vec<_> = GUARDS
        .iter()
        .filter(|(guard, _)| names.is_empty() || names.iter().any(|name| name == guard))
        .collect();
    let mut steps = Steps::new(wanted.len() + 2);
    steps.step("looking at the toolchain", prepare)?;
    let built = steps.step("building a host whose guards can be switched off", || {
        build_with(Profile::Dev, Some("mortise/unguarded"))
    })?;
    for (guard, kind) in wanted {
        let arguments = [GUARD_SECONDS, "--without", guard, "--kind", kind].map(str::to_owned);
        steps.step(&format!("without {guard}"), || built.run("fuzz", &arguments))?;
    }
    Ok(())
}

/// A minute of a fixed seed and all kept inputs, as a part of the tests.
pub fn quick() -> Result<()> {
    let built = build(Profile::Dev)?;
    let kept = root().join(KEPT).display().to_string();
    built.run("fuzz", &["--replay".to_owned(), kept])?;
    built.run("fuzz", &QUICK.map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guards_are_those_of_the_host() {
        let host = std::fs::read_to_string(root().join("host/src/unguarded.rs")).unwrap();
        for (guard, _) in GUARDS {
            assert!(host.contains(&format!("=> \"{guard}\"")), "{guard}");
        }
        assert!(host.contains(&format!("const ALL: [Self; {}]", GUARDS.len())));
    }
}
