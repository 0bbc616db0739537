//! The files of templates, and the rules for their names.

use std::collections::BTreeMap;

use crate::Problem;

/// The texts of the files by their names, without a folder.
pub type Files = BTreeMap<String, String>;

/// The most files of a plugin's templates.
pub const MAX_FILES: usize = 500;

/// The largest file in bytes.
pub const MAX_FILE_BYTES: usize = 256 * 1024;

/// The longest name of a template, without `_` and the extension.
const MAX_NAME: usize = 64;

/// Checks the names and the sizes of the files, but not their syntax.
pub fn check_names(files: &Files) -> Result<(), Problem> {
    let wrong = |file: &str, message: String| {
        Err(Problem {
            file: crate::shown(file, 2 * MAX_NAME),
            line: None,
            message,
        })
    };
    if files.len() > MAX_FILES {
        return wrong("*", format!("{} files are more than {MAX_FILES}", files.len()));
    }
    for (file, text) in files {
        let Some((name, extension)) = file.rsplit_once('.') else {
            return wrong(
                file,
                "the name needs `.subject`, `.txt`, `.html` or `.mjml`".to_owned(),
            );
        };
        if text.len() > MAX_FILE_BYTES {
            return wrong(
                file,
                format!("{} bytes are more than {MAX_FILE_BYTES}", text.len()),
            );
        }
        let part = name.strip_prefix('_');
        if !is_name(part.unwrap_or(name)) {
            let message = format!(
                "a name is 1 to {MAX_NAME} of a-z, 0-9 and `-`, begins with a letter or digit, and may have `_` before it"
            );
            return wrong(file, message);
        }
        let is_body = matches!(extension, "txt" | "html" | "mjml");
        if !is_body && extension != "subject" {
            let message = format!("`.{extension}` is not one of `.subject`, `.txt`, `.html` and `.mjml`");
            return wrong(file, message);
        }
        if part.is_some() {
            continue;
        }
        let has = |extension: &str| files.contains_key(&format!("{name}.{extension}"));
        if !has("subject") {
            return wrong(file, format!("the template has no subject; add {name}.subject"));
        }
        if !(has("txt") || has("html") || has("mjml")) {
            return wrong(
                file,
                format!("the template has no body; add {name}.txt, {name}.html or {name}.mjml"),
            );
        }
        if has("html") && has("mjml") {
            let message = format!("{name}.html and {name}.mjml are both the HTML part; remove one");
            return wrong(file, message);
        }
    }
    Ok(())
}

fn is_name(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let mut bytes = text.bytes();
    text.len() <= MAX_NAME
        && bytes.next().is_some_and(is_plain)
        && bytes.all(|byte| is_plain(byte) || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(names: &[&str]) -> Option<String> {
        let files = names.iter().map(|name| ((*name).to_owned(), "x".to_owned()));
        let checked = check_names(&files.collect());
        checked.err().map(|problem| problem.to_string())
    }

    #[test]
    fn a_template_has_a_subject_and_a_body() {
        for names in [
            &["paid.subject", "paid.txt"][..],
            &["paid.subject", "paid.txt", "paid.html"],
            &["paid.subject", "paid.mjml", "_footer.mjml", "_layout.html"],
            &[],
        ] {
            assert_eq!(problem(names), None, "{names:?}");
        }
        for (names, wanted) in [
            (
                &["paid.txt"][..],
                "paid.txt: the template has no subject; add paid.subject",
            ),
            (&["paid.subject"], "paid.subject: the template has no body"),
            (
                &["paid.html", "paid.mjml", "paid.subject"],
                "paid.html: paid.html and paid.mjml are both the HTML part",
            ),
            (&["paid"], "paid: the name needs `.subject`"),
            (&["paid.css"], "paid.css: `.css` is not one of"),
            (&["Paid.txt"], "Paid.txt: a name is 1 to 64 of"),
            (&["../paid.txt"], "../paid.txt: a name is 1 to 64 of"),
            (&["_.txt"], "_.txt: a name is 1 to 64 of"),
        ] {
            let found = problem(names).unwrap();
            assert!(found.starts_with(wanted), "{found} does not begin with {wanted}");
        }
    }

    #[test]
    fn there_are_only_so_many_files_of_only_such_a_size() {
        let large = Files::from([("_a.txt".to_owned(), "x".repeat(MAX_FILE_BYTES + 1))]);
        let found = check_names(&large).unwrap_err().to_string();
        assert_eq!(found, "_a.txt: 262145 bytes are more than 262144");
        let many = (0..=MAX_FILES).map(|number| (format!("_{number}.txt"), String::new()));
        let found = check_names(&many.collect()).unwrap_err().to_string();
        assert_eq!(found, "*: 501 files are more than 500");
    }
}
