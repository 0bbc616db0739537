//! `cargo xtask tidy`: the rules of this repository that no other tool checks. Each rule is a
//! function from the files to complaints, so that tests can show that it passes and that it fails.

mod contract;
mod cycles;
mod dependencies;
mod documents;
mod files;
mod packages;
mod paths;
mod scanner;
mod security;
mod sources;
mod widths;
mod words;
mod wrap;

use std::path::Path;

use crate::steps::{Result, say};

use files::File;

/// A rule, which returns one line for each violation.
type Rule = fn(&[File]) -> Vec<String>;

const RULES: [(&str, Rule); 13] = [
    (
        "every Rust file starts with a sentence that says what it is for",
        sources::documented,
    ),
    (
        "no Rust file is longer than 500 lines without its tests",
        sources::short,
    ),
    ("no code is unfinished, skipped or silenced", sources::finished),
    (
        "lines have no trailing blanks, and files end with a line feed",
        sources::trimmed,
    ),
    (
        "modules use only the crates that they may use",
        dependencies::in_direction,
    ),
    (
        "no two top-level modules of the host depend on each other",
        cycles::without_cycles,
    ),
    ("names use the established terms", words::of_the_field),
    (
        "lines of code, comments and Markdown have at most 110, 100 and 120 characters (`cargo xtask tidy --wrap` wraps \
         comments and Markdown)",
        widths::narrow,
    ),
    (
        "every package has the licence and the lints of the workspace",
        packages::uniform,
    ),
    (
        "every capability has the same name in the contract, the host and the SDK",
        contract::one_name,
    ),
    ("every path in the code map exists", documents::map_is_true),
    (
        "every link between documents leads somewhere",
        documents::links_lead_somewhere,
    ),
    (
        "every promise about security names a row or a test that exists",
        security::promises_are_shown,
    ),
];

/// Runs the command: checks the rules, or with `--wrap` wraps lines that are too wide.
pub fn command(root: &Path, arguments: &[String]) -> Result<()> {
    match arguments {
        [] => run(root),
        [flag] if flag == "--wrap" => wrap(root),
        _ => Err("cargo xtask tidy takes `--wrap` or nothing".to_owned()),
    }
}

/// Wraps comments and Markdown with lines that are too wide.
fn wrap(root: &Path) -> Result<()> {
    for file in files::read(root)? {
        if let Some(text) = widths::wrapped(&file) {
            let path = root.join(&file.path);
            std::fs::write(&path, text)
                .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
            say(&format!("wrapped {}\n", file.path));
        }
    }
    Ok(())
}

/// Checks every rule on the repository at `root`.
pub fn run(root: &Path) -> Result<()> {
    let files = files::read(root)?;
    let mut complaints = String::new();
    for (rule, check) in RULES {
        let found = check(&files);
        if !found.is_empty() {
            complaints.push_str(&format!("\n{rule}:\n"));
            complaints.extend(found.iter().map(|complaint| format!("  {complaint}\n")));
        }
    }
    if complaints.is_empty() {
        Ok(())
    } else {
        Err(format!("the repository is not tidy\n{complaints}"))
    }
}
