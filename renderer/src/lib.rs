//! Renders the mail templates of plugins: a subject, a text part and an HTML part.
//!
//! The host runs this crate as a component, under limits of time and memory. `mortise build` and
//! the SDK's test host link it, for the author's own templates.
//!
//! A template is a set of files with one name: `paid.subject`, and `paid.txt`, `paid.html` or
//! `paid.mjml`. Files whose names begin with `_` are parts, which other files include or extend.

mod engine;
mod files;
#[cfg(target_family = "wasm")]
mod guest;
mod mjml;
mod plain;

use std::fmt;

use serde_json::{Map, Value};

pub use files::{Files, MAX_FILE_BYTES, MAX_FILES, check_names};
pub use plain::text_of;

/// The most bytes of the text and the HTML part of a mail together.
pub const MAX_MAIL_BYTES: usize = 1 << 20;

/// The most bytes of a subject, as many as a line of a mail may have (RFC 5322, 2.1.1).
pub const MAX_SUBJECT_BYTES: usize = 998;

/// The most bytes of an error message, which may quote values.
const MAX_MESSAGE_BYTES: usize = 400;

/// A rendered mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// The subject: one line without control characters.
    pub subject: String,
    /// The text part. It is made from the HTML part if the template has no text.
    pub text: String,
    /// The HTML part.
    pub html: Option<String>,
}

/// What is wrong with a file of the templates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub file: String,
    /// The line, if it is known.
    pub line: Option<u32>,
    /// The description.
    pub message: String,
}

/// Why a template was not rendered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The values are not a JSON object.
    Values(String),
    /// There is no such template, or it does not accept the values.
    Failed(String),
    /// Too much was computed or written.
    Limit(String),
}

/// Checks the names and the syntax of all files.
pub fn check(files: &Files) -> Result<(), Problem> {
    check_names(files)?;
    engine::environment(files)?;
    files
        .iter()
        .filter(|(file, _)| file.ends_with(".mjml"))
        .try_for_each(|(file, text)| mjml::check(file, text))
}

/// Renders a template. `files` contains its files and all parts, and `values` is the text of a JSON
/// object.
pub fn render(files: &Files, template: &str, values: &str) -> Result<Mail, Failure> {
    let values: Map<String, Value> =
        serde_json::from_str(values).map_err(|error| Failure::Values(error.to_string()))?;
    let environment = engine::environment(files).map_err(|problem| Failure::Failed(problem.to_string()))?;
    let file = |extension: &str| {
        let name = format!("{template}.{extension}");
        files.contains_key(&name).then_some(name)
    };
    let rendered = |name: &str| engine::render(&environment, name, &values);
    let subject = file("subject").filter(|_| !template.starts_with('_'));
    let subject = subject.ok_or_else(|| Failure::Failed(unknown(files, template)))?;
    let subject = one_line(&subject, &rendered(&subject)?)?;
    let html = match (file("mjml"), file("html")) {
        (Some(name), _) => Some(mjml::to_html(&name, &rendered(&name)?)?),
        (None, Some(name)) => Some(rendered(&name)?),
        (None, None) => None,
    };
    let text = match (file("txt"), &html) {
        (Some(name), _) => rendered(&name)?,
        (None, Some(html)) => text_of(html),
        (None, None) => String::new(),
    };
    let bytes = text.len() + html.as_ref().map_or(0, String::len);
    if bytes > MAX_MAIL_BYTES {
        return Err(Failure::Limit(format!(
            "the mail has {bytes} bytes, more than {MAX_MAIL_BYTES}"
        )));
    }
    Ok(Mail { subject, text, html })
}

/// The subject as one line. A line break in a value becomes a space, so that no value adds a header
/// to the mail.
fn one_line(file: &str, rendered: &str) -> Result<String, Failure> {
    let subject = rendered.split_whitespace().collect::<Vec<_>>().join(" ");
    let failed = |problem: &str| Err(Failure::Failed(format!("{file}: {problem}")));
    if subject.is_empty() {
        return failed("the subject is empty");
    }
    if subject.chars().any(char::is_control) {
        return failed("the subject has a control character");
    }
    if subject.len() > MAX_SUBJECT_BYTES {
        return Err(Failure::Limit(format!(
            "{file}: the subject has {} bytes, more than {MAX_SUBJECT_BYTES}",
            subject.len()
        )));
    }
    Ok(subject)
}

/// The message for a template that does not exist, which is also that of the host.
fn unknown(files: &Files, template: &str) -> String {
    let names = files.keys().filter_map(|file| file.strip_suffix(".subject"));
    let names: Vec<&str> = names.filter(|name| !name.starts_with('_')).collect();
    let known = match names.is_empty() {
        true => "it has none; put NAME.subject and NAME.txt or NAME.html or NAME.mjml into the folder that \
                 [email] templates names"
            .to_owned(),
        false => format!("it has {}", names.join(", ")),
    };
    let shown: String = template.chars().take(80).collect();
    format!("the plugin has no template `{shown}`; {known}")
}

/// At most `most` bytes of a text that may be long.
fn shown(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(most);
    format!("{}…", &text[..end])
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(formatter, "{}:{line}: {}", self.file, self.message),
            None => write!(formatter, "{}: {}", self.file, self.message),
        }
    }
}

impl std::error::Error for Problem {}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Values(why) => write!(formatter, "the values of the template are not valid: {why}"),
            Self::Failed(why) => formatter.write_str(why),
            Self::Limit(why) => write!(formatter, "rendering the template exceeded a limit: {why}"),
        }
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests;
