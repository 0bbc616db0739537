//! The rules for single source files.

use super::files::{File, only_for_tests};
use super::scanner::scan;

const MAX_LINES: usize = 500;

/// Pieces of code that are not to stay.
const UNFINISHED: [(&str, &str); 6] = [
    ("todo!(", "finish it"),
    ("unimplemented!(", "finish it"),
    ("dbg!(", "remove it"),
    ("#[ignore", "make the test run always, or remove it"),
    ("#[allow(", "use `#[expect(…, reason = \"…\")]`"),
    ("#![allow(", "use `#![expect(…, reason = \"…\")]`"),
];

/// The most characters of a file's first sentence.
const MAX_SENTENCE: usize = 160;

/// A file begins with one sentence that describes its purpose.
pub fn documented(files: &[File]) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        let paragraph: Vec<&str> = file
            .text
            .lines()
            .map_while(|line| line.strip_prefix("//! "))
            .collect();
        let paragraph = paragraph.join(" ");
        match first_sentence(&paragraph) {
            None => complaints.push(format!("{}: the first line is not a `//!` sentence", file.path)),
            Some(sentence) if sentence.chars().count() > MAX_SENTENCE => complaints.push(format!(
                "{}: the first sentence has more than {MAX_SENTENCE} characters",
                file.path
            )),
            Some(_) => {}
        }
    }
    complaints
}

/// Returns the text up to the first full stop at the end of a word.
fn first_sentence(paragraph: &str) -> Option<&str> {
    let end = paragraph
        .match_indices('.')
        .map(|(at, _)| at + 1)
        .find(|end| paragraph[*end..].is_empty() || paragraph[*end..].starts_with(' '))?;
    Some(&paragraph[..end])
}

/// A file is short, because it has one subject.
pub fn short(files: &[File]) -> Vec<String> {
    let tests = only_for_tests(files);
    let is_test = |file: &File| tests.iter().any(|test| file.path.starts_with(test.as_str()));
    let long = files
        .iter()
        .filter(|file| file.is_rust() && !is_test(file) && file.lines_without_tests() > MAX_LINES);
    long.map(|file| format!("{}: {} lines", file.path, file.lines_without_tests()))
        .collect()
}

/// No code is unfinished, skipped or silenced, including tests.
pub fn finished(files: &[File]) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        for (index, line) in scan(&file.text).into_iter().enumerate() {
            for (piece, advice) in UNFINISHED {
                if line.code.contains(piece) {
                    complaints.push(format!("{}:{}: `{piece}`: {advice}", file.path, index + 1));
                }
            }
        }
    }
    complaints
}

/// No trailing blanks and no missing line feed, so that diffs show only changes.
pub fn trimmed(files: &[File]) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in files {
        for (index, line) in file.text.split('\n').enumerate() {
            if line.ends_with([' ', '\t', '\r']) {
                complaints.push(format!(
                    "{}:{}: a blank at the end of the line",
                    file.path,
                    index + 1
                ));
            }
        }
        if !file.text.is_empty() && !file.text.ends_with('\n') {
            complaints.push(format!("{}: the last line does not end", file.path));
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::super::files::file;
    use super::*;

    #[test]
    fn a_file_without_documentation_is_found() {
        let long = format!("//! {}b.\n", "a ".repeat(MAX_SENTENCE / 2));
        let files = [
            file("a.rs", "//! What `b.rs` is\n//! for. And more.\n"),
            file("b.rs", "fn b() {}\n"),
            file("c.md", "C\n"),
            file("d.rs", "//! No sentence\n\nfn d() {}\n"),
            file("e.rs", &long),
        ];
        assert_eq!(
            documented(&files),
            [
                "b.rs: the first line is not a `//!` sentence",
                "d.rs: the first line is not a `//!` sentence",
                "e.rs: the first sentence has more than 160 characters"
            ]
        );
    }

    #[test]
    fn a_long_file_is_found_and_tests_do_not_count() {
        let tests = format!(
            "//! A.\n#[cfg(test)]\nmod tests {{\n{}}}\n",
            "x\n".repeat(MAX_LINES)
        );
        let files = [file("a.rs", &tests), file("b.rs", &"x\n".repeat(MAX_LINES + 1))];
        assert_eq!(short(&files), ["b.rs: 501 lines"]);
    }

    #[test]
    fn everything_unfinished_is_found() {
        for (piece, _) in UNFINISHED {
            assert_eq!(
                finished(&[file("a.rs", &format!("x\n{piece}"))]).len(),
                1,
                "{piece}"
            );
        }
        let text = "// todo!()\nlet words = \"todo!(\";\n";
        assert_eq!(finished(&[file("a.rs", text)]), [""; 0]);
        let text = "let url = \"http://a\"; dbg!(url);\n";
        assert_eq!(finished(&[file("a.rs", text)]), ["a.rs:1: `dbg!(`: remove it"]);
    }

    #[test]
    fn blanks_and_open_ends_are_found() {
        let files = [
            file("a.md", "a \nb\n"),
            file("b.md", "a\r\n"),
            file("c.md", "a"),
            file("d.md", ""),
        ];
        assert_eq!(
            trimmed(&files),
            [
                "a.md:1: a blank at the end of the line",
                "b.md:1: a blank at the end of the line",
                "c.md: the last line does not end"
            ]
        );
    }
}
