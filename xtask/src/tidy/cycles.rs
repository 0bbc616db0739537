//! The rule against cyclic dependencies between the top-level modules of the host.

use std::collections::{BTreeMap, BTreeSet};

use super::files::{File, only_for_tests};

const ROOT: &str = "host/src/";

/// Files that combine the top-level modules.
const ENTRY_FILES: [&str; 2] = ["lib.rs", "main.rs"];

/// The modules that each module names, with the first place of each.
type Modules<'a> = BTreeMap<&'a str, BTreeMap<String, String>>;

/// No two modules depend on each other, directly or indirectly, so each can be read with only those
/// below it.
pub fn without_cycles(files: &[File]) -> Vec<String> {
    let modules = modules(files);
    let reachable: BTreeMap<&str, BTreeSet<&str>> = modules
        .keys()
        .map(|module| (*module, reachable(&modules, module)))
        .collect();
    let mut complaints = Vec::new();
    for (module, named) in &modules {
        for (other, place) in named {
            if reachable
                .get(other.as_str())
                .is_some_and(|below| below.contains(module))
            {
                complaints.push(format!(
                    "{place}: `{module}` names `{other}`, which leads back to `{module}`"
                ));
            }
        }
    }
    complaints
}

fn modules(files: &[File]) -> Modules<'_> {
    let tests = only_for_tests(files);
    let mut modules = Modules::new();
    for file in files {
        let Some(path) = file
            .path
            .strip_prefix(ROOT)
            .filter(|path| !ENTRY_FILES.contains(path))
        else {
            continue;
        };
        if !file.is_rust() || tests.iter().any(|test| file.path.starts_with(test.as_str())) {
            continue;
        }
        let module = path.split(['/', '.']).next().unwrap_or(path);
        let named = modules.entry(module).or_default();
        let mut is_test = false;
        for (number, line) in file.code() {
            // This skips an import that only tests need.
            if !std::mem::replace(&mut is_test, line.trim() == "#[cfg(test)]") {
                for other in named_modules(&line).filter(|other| *other != module) {
                    named
                        .entry(other.to_owned())
                        .or_insert_with(|| format!("{}:{number}", file.path));
                }
            }
        }
    }
    modules
}

/// The names after `crate::` in a line.
fn named_modules(line: &str) -> impl Iterator<Item = &str> {
    let paths = line.split("crate::").skip(1);
    let names = paths.flat_map(|rest| match rest.strip_prefix('{') {
        Some(group) => group.split(',').map(str::trim_start).collect(),
        None => vec![rest],
    });
    names.map(|name| {
        let end = name.find(|c: char| !c.is_alphanumeric() && c != '_');
        &name[..end.unwrap_or(name.len())]
    })
}

/// The modules that one leads to.
fn reachable<'a>(modules: &'a Modules<'_>, from: &'a str) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut open: Vec<&str> = vec![from];
    while let Some(module) = open.pop() {
        for other in modules.get(module).into_iter().flat_map(BTreeMap::keys) {
            if found.insert(other.as_str()) {
                open.push(other);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::files::file;
    use super::*;

    #[test]
    fn modules_that_only_go_down_are_accepted() {
        let files = [
            file("host/src/lib.rs", "pub mod a;\n"),
            file(
                "host/src/a/mod.rs",
                "mod b;\nuse crate::storage::{Page, Row};\nuse crate::a::b;\n",
            ),
            file(
                "host/src/storage/mod.rs",
                "use crate::domain::Id; // crate::a\n#[cfg(test)]\nuse crate::a::x;\n#[cfg(test)]\npub(crate) mod conformance;\n",
            ),
            file("host/src/storage/conformance/mod.rs", "use crate::a::b;\n"),
            file(
                "host/src/domain.rs",
                "fn f() {}\n#[cfg(test)]\nmod tests {\nuse crate::storage::x;\n}\n",
            ),
        ];
        assert_eq!(without_cycles(&files), [""; 0]);
    }

    #[test]
    fn a_cycle_is_found_at_every_step() {
        let files = [
            file("host/src/a/mod.rs", "use crate::{b::x, domain};\n"),
            file("host/src/b.rs", "\nfn f(x: crate::c::C) {}\n"),
            file("host/src/c/deep/x.rs", "use crate::a;\n"),
            file("host/src/domain/mod.rs", ""),
        ];
        assert_eq!(
            without_cycles(&files),
            [
                "host/src/a/mod.rs:1: `a` names `b`, which leads back to `a`",
                "host/src/b.rs:2: `b` names `c`, which leads back to `b`",
                "host/src/c/deep/x.rs:1: `c` names `a`, which leads back to `c`"
            ]
        );
    }
}
