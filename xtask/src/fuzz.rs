//! `cargo xtask fuzz`: sends generated inputs of every kind to a running host.

use crate::built::{Profile, build, build_with};
use crate::prepare::prepare;
use crate::run::root;
use crate::steps::{Result, Steps};

/// The seconds and the seed of the quick run.
const QUICK: [&str; 3] = ["60", "--seed", "17"];

/// Inputs that once harmed a host.
const KEPT: &str = "lab/fuzz/kept";

/// The guards of the host that can be switched off, each with the kinds of input that it protects
/// from.
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

/// The time limit for finding an input that a disabled guard would have stopped.
const GUARD_SECONDS: &str = "300";

/// Builds the host and the fuzzer, and runs it. `arguments` are passed to the fuzzer. With
/// `--quick` the build has the profile of the tests, otherwise the release profile.
pub fn run(arguments: &[String]) -> Result<()> {
    if let Some(("--guards", names)) = arguments
        .split_first()
        .map(|(first, rest)| (first.as_str(), rest))
    {
        return guards(names);
    }
    let mut steps = Steps::new(3);
    steps.step("checking the toolchain", prepare)?;
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

/// Switches off one guard after the other, all or the named ones. Each time the generated inputs
/// must find what the guard prevents.
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
    steps.step("checking the toolchain", prepare)?;
    let built = steps.step("building a host whose guards can be switched off", || {
        build_with(Profile::Dev, Some("mortise/unguarded"))
    })?;
    for (guard, kind) in wanted {
        let arguments = [GUARD_SECONDS, "--without", guard, "--kind", kind].map(str::to_owned);
        steps.step(&format!("without {guard}"), || built.run("fuzz", &arguments))?;
    }
    Ok(())
}

/// Runs the fuzzer for a minute with a fixed seed, and all kept inputs, as part of the tests.
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
