//! The rule that each promise in `docs/security.md` names an existing test.

use super::files::File;
use super::paths::{at, is_path};

const DOCUMENT: &str = "docs/security.md";

/// The folder of the catalogue's rows.
const ROWS: &str = "lab/hostile/src/rows/";

/// The document names exactly the rows of the catalogue, and every file, folder and test that it
/// names exists.
pub fn promises_are_shown(files: &[File]) -> Vec<String> {
    let Some(document) = files.iter().find(|file| file.path == DOCUMENT) else {
        return vec![format!("{DOCUMENT} is not there")];
    };
    let there = rows(files);
    let mut named = Vec::new();
    let mut complaints = Vec::new();
    for line in document.text.lines().filter(|line| line.starts_with('|')) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        for id in cells.iter().flat_map(|cell| ids(cell)) {
            if !there.contains(&id) {
                complaints.push(format!(
                    "{DOCUMENT} names the row {id}, which is not in the catalogue"
                ));
            }
            named.push(id);
        }
    }
    for id in &there {
        if !named.contains(id) {
            complaints.push(format!("{DOCUMENT} says nothing about the row {id}"));
        }
    }
    for word in document.text.split('`').skip(1).step_by(2) {
        if let Some(complaint) = absent(files, word) {
            complaints.push(format!("{DOCUMENT}: {complaint}"));
        }
    }
    complaints
}

/// The ids of all rows.
fn rows(files: &[File]) -> Vec<String> {
    let sources = files.iter().filter(|file| file.path.starts_with(ROWS));
    let lines = sources.flat_map(|file| file.text.lines());
    lines
        .filter_map(|line| line.trim().strip_prefix("id: \"")?.split('"').next())
        .map(str::to_owned)
        .collect()
}

/// The rows in a table cell, which may contain other text: `B1`, `A1–A3`, `C1–C4, C11; a test`.
fn ids(cell: &str) -> Vec<String> {
    let mut ids = Vec::new();
    for piece in cell.split([',', ';', ' ']) {
        let (first, last) = piece.split_once('–').unwrap_or((piece, piece));
        if let (Some((area, first)), Some((other, last))) = (id(first), id(last))
            && area == other
        {
            ids.extend((first..=last).map(|number| format!("{area}{number}")));
        }
    }
    ids
}

fn id(text: &str) -> Option<(char, u32)> {
    let area = text.chars().next().filter(char::is_ascii_uppercase)?;
    let number = text.get(1..)?;
    let plain = number.bytes().all(|byte| byte.is_ascii_digit());
    Some((area, number.parse().ok().filter(|_| plain)?))
}

/// The problem of a word in backquotes: a path that does not exist, or `path::name` without a
/// function of that name in the files below the path.
fn absent(files: &[File], word: &str) -> Option<String> {
    let (path, function) = match word.split_once("::") {
        Some((path, function)) => (path, Some(function)),
        None => (word, None),
    };
    if !path.contains('/') || !is_path(path) {
        return None;
    }
    let below: Vec<&File> = at(files, path).collect();
    if below.is_empty() {
        return Some(format!("`{path}` is not there"));
    }
    let function = function?;
    let has = below
        .iter()
        .any(|file| file.text.contains(&format!("fn {function}(")));
    (!has).then(|| format!("`{word}`: there is no such function"))
}

#[cfg(test)]
mod tests {
    use super::super::files::file;
    use super::*;

    const ROW: &str = "    Row {\n        id: \"B1\",\n    },\n    Row {\n        id: \"B2\",\n    },\n";

    fn complaints(document: &str) -> Vec<String> {
        promises_are_shown(&[
            file(DOCUMENT, document),
            file("lab/hostile/src/rows/guest.rs", ROW),
            file("tests/it/faults.rs", "fn a_loop_ends() {}\n"),
        ])
    }

    #[test]
    fn a_promise_that_is_shown_is_accepted() {
        let document = "| B1–B2 | loops | `tests/it/` | `tests/it/faults.rs::a_loop_ends` |\n| H | Header |\n`cargo xtask`\n";
        assert_eq!(complaints(document), [""; 0]);
        assert_eq!(complaints("| B1, B2 | loops |\n"), [""; 0]);
        assert_eq!(
            complaints("| loops | B1, B2; `tests/it/faults.rs::a_loop_ends` |\n"),
            [""; 0]
        );
    }

    #[test]
    fn a_promise_that_nothing_shows_is_found() {
        let document = "| B1–B3 | `tests/it/gone.rs` | `tests/it/faults.rs::nobody` |\n";
        assert_eq!(
            complaints(document),
            [
                "docs/security.md names the row B3, which is not in the catalogue",
                "docs/security.md: `tests/it/gone.rs` is not there",
                "docs/security.md: `tests/it/faults.rs::nobody`: there is no such function",
            ]
        );
        assert_eq!(
            complaints("| B1 | loops |\n"),
            ["docs/security.md says nothing about the row B2"]
        );
        assert_eq!(promises_are_shown(&[]), ["docs/security.md is not there"]);
    }
}
