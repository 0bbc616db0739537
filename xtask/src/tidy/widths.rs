//! The rules for line widths, and the command that wraps comments and Markdown.

use super::files::File;
use super::scanner::scan;
use super::wrap::{self, Prefix};

/// The most characters in a line.
const CODE: usize = 110;
const COMMENT: usize = 100;
const MARKDOWN: usize = 120;

/// No line of code, comments or Markdown is too wide.
pub fn narrow(files: &[File]) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in files {
        let wide = match file.path.rsplit_once('.').map(|(_, kind)| kind) {
            Some("rs") => wide_rust(&file.text),
            Some("md") => wide_markdown(&file.text),
            _ => continue,
        };
        let complaint = |(number, most)| format!("{}:{number}: more than {most} characters", file.path);
        complaints.extend(wide.into_iter().map(complaint));
    }
    complaints
}

/// The lines of Rust that are too wide, with their numbers and their maximum widths. String
/// literals do not count: rustfmt does not wrap them, and an unbroken message can be searched.
fn wide_rust(text: &str) -> Vec<(usize, usize)> {
    let mut wide = Vec::new();
    let mut fence = false;
    for (index, (text, line)) in text.lines().zip(scan(text)).enumerate() {
        let width = text.chars().count();
        let most = match line.is_comment {
            true => {
                let prefix = Prefix::of_comment(text);
                let (is_code, may_be_wide) = comment(&mut fence, text, prefix);
                match (is_code, may_be_wide) {
                    (true, _) => CODE + prefix.map_or(0, |prefix| prefix.width(text)),
                    (false, true) => continue,
                    (false, false) => COMMENT,
                }
            }
            false => CODE,
        };
        if width.saturating_sub(line.in_literals) > most {
            wide.push((index + 1, most));
        }
    }
    wide
}

/// Whether a comment is example code, and whether it cannot be wrapped.
fn comment(fence: &mut bool, text: &str, prefix: Option<Prefix>) -> (bool, bool) {
    let Some(prefix) = prefix else {
        return (false, false);
    };
    let content = &text[prefix.len..];
    if wrap::is_fence(content) {
        *fence = !*fence;
        return (true, false);
    }
    (
        *fence,
        wrap::cannot_be_wrapped(content, COMMENT - prefix.width(text)),
    )
}

/// The lines of Markdown that are too wide. Table rows cannot be wrapped, and code is not checked.
fn wide_markdown(text: &str) -> Vec<(usize, usize)> {
    let mut fence = false;
    let mut wide = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if wrap::is_fence(line) {
            fence = !fence;
        } else if !fence && line.chars().count() > MARKDOWN && !wrap::cannot_be_wrapped(line, MARKDOWN) {
            wide.push((index + 1, MARKDOWN));
        }
    }
    wide
}

/// The file with its comments or Markdown wrapped; `None` if no line is too wide.
pub fn wrapped(file: &File) -> Option<String> {
    let text = match file.path.rsplit_once('.').map(|(_, kind)| kind) {
        Some("rs") => {
            let lines = scan(&file.text);
            wrap::wrap(&file.text, COMMENT, |index, text| {
                let is_comment = lines.get(index).is_some_and(|line| line.is_comment);
                Prefix::of_comment(text).filter(|_| is_comment)
            })
        }
        Some("md") => wrap::wrap(&file.text, MARKDOWN, |_, _| Some(Prefix::none())),
        _ => return None,
    };
    (text != file.text).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::super::files::file;
    use super::*;

    fn complaints(path: &str, text: &str) -> Vec<String> {
        narrow(&[file(path, text)])
    }

    #[test]
    fn each_kind_of_line_has_its_width() {
        let words = |width: usize| {
            format!("{}b", "a ".repeat(width / 2))
                .chars()
                .take(width)
                .collect::<String>()
        };
        for (path, before, most) in [
            ("a.rs", "// ", COMMENT),
            ("a.rs", "", CODE),
            ("a.md", "", MARKDOWN),
        ] {
            let line = |width: usize| format!("{before}{}\n", words(width - before.len()));
            assert_eq!(complaints(path, &line(most)), [""; 0]);
            let found = complaints(path, &line(most + 1));
            assert_eq!(found, [format!("{path}:1: more than {most} characters")]);
        }
    }

    #[test]
    fn what_cannot_be_wrapped_may_be_wide() {
        let long = "a/".repeat(100);
        let row = format!("| {} |", "a ".repeat(100));
        for (path, text) in [
            ("a.rs", format!("    let text = \"{}\";\n", "a ".repeat(100))),
            ("a.rs", format!("    /// {long}\n    /// {row}\n")),
            ("a.rs", format!("/// ```\n/// {}\n/// ```\n", "a ".repeat(52))),
            (
                "a.md",
                format!("{row}\n- {long}\n```\n{}\n```\n", "a ".repeat(100)),
            ),
        ] {
            assert_eq!(complaints(path, &text), [""; 0], "{text}");
        }
    }

    #[test]
    fn wide_comments_are_wrapped_and_narrow_ones_stay() {
        let wide = format!(
            "fn f() {{}}\n\n/// {}\n/// {}\nfn g() {{}}\n",
            "word ".repeat(30).trim_end(),
            "more"
        );
        let text = wrapped(&file("a.rs", &wide)).unwrap();
        assert_eq!(complaints("a.rs", &text), [""; 0]);
        assert_eq!(text.split_whitespace().filter(|word| *word == "word").count(), 30);
        assert!(text.ends_with(" word more\nfn g() {}\n"), "{text}");
        assert_eq!(wrapped(&file("a.rs", &text)), None);
    }
}
