//! The template language, which is that of minijinja.

use std::error::Error as _;

use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior};
use serde_json::{Map, Value};

use crate::{Failure, Files, MAX_MESSAGE_BYTES, Problem, shown};

/// The instructions of one rendering, which bound loops.
const FUEL: u64 = 1_000_000;

/// The deepest nesting of macros and blocks; an include counts ten times.
const MAX_RECURSION: usize = 200;

/// The file extensions whose values are escaped for HTML.
const ESCAPED: [&str; 2] = [".html", ".mjml"];

/// Compiles all files. A file with a syntax error is refused.
pub fn environment(files: &Files) -> Result<Environment<'_>, Problem> {
    let mut environment = Environment::new();
    // A missing value is a mistake that the author should see, and not a mail with a hole. It may
    // still be tested for, as in `{% if note %}`.
    environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(MAX_RECURSION);
    environment.set_trim_blocks(true);
    environment.set_lstrip_blocks(true);
    environment.set_auto_escape_callback(|name| {
        match ESCAPED.iter().any(|extension| name.ends_with(extension)) {
            true => AutoEscape::Html,
            false => AutoEscape::None,
        }
    });
    for (file, text) in files {
        environment
            .add_template(file, text)
            .map_err(|error| problem(file, &error))?;
    }
    Ok(environment)
}

/// Renders one file.
pub fn render(
    environment: &Environment<'_>,
    file: &str,
    values: &Map<String, Value>,
) -> Result<String, Failure> {
    let template = environment.get_template(file);
    let rendered = template.and_then(|template| template.render(values));
    rendered.map_err(|error| {
        let cause = innermost(&error);
        match cause.kind() {
            ErrorKind::OutOfFuel => Failure::Limit(format!(
                "{file} needs more than {FUEL} instructions; is there a loop over too many values?"
            )),
            _ => Failure::Failed(problem(file, cause).to_string()),
        }
    })
}

/// The error that caused the others, for example in an included file.
fn innermost(error: &Error) -> &Error {
    let mut found = error;
    while let Some(cause) = found.source().and_then(|cause| cause.downcast_ref::<Error>()) {
        found = cause;
    }
    found
}

/// The place and the description of an error. `file` is the file if the error names none.
fn problem(file: &str, error: &Error) -> Problem {
    let message = match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    };
    Problem {
        file: error.name().unwrap_or(file).to_owned(),
        line: error.line().and_then(|line| u32::try_from(line).ok()),
        message: shown(&message, MAX_MESSAGE_BYTES),
    }
}
