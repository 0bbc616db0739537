//! Checks JSON bodies against the JSON Schemas of plugins.
//!
//! The host links this crate for bodies whose check is proven small, and embeds it as a component for all others: there
//! a check runs under the limits of an invocation and can be stopped.

mod body;
#[cfg(target_family = "wasm")]
mod guest;

use std::error::Error;
use std::fmt::{self, Write as _};

use jsonschema::error::ValidationErrorKind;
use jsonschema::{PatternOptions, ReferencingError, Retrieve, Uri, ValidationError, Validator};
use serde_json::Value;

pub use body::{is_coded, is_json_type, without_bom};

/// At most so many places of a body are listed.
pub const MAX_MISMATCHES: usize = 20;

/// Bytes of the sentence about one place. It quotes the caller's own value.
pub const MAX_DETAIL_BYTES: usize = 200;

/// Bytes of a JSON pointer into a body.
pub const MAX_POINTER_BYTES: usize = 1_024;

/// All mismatches are listed only for bodies up to this size. The validator collects errors before it returns the first
/// one, and their memory is a multiple of the body's.
const MAX_LISTED_BODY_BYTES: usize = 32 * 1024;

/// Bytes of one compiled pattern. Patterns have no backtracking; this bounds their memory.
const MAX_PATTERN_BYTES: usize = 256 * 1024;

/// Bytes of the sentence about a schema that does not compile.
const MAX_PROBLEM_BYTES: usize = 400;

/// What `format` means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Formats {
    /// What the draft of the schema says: an annotation since draft 2019-09.
    ByDraft,
    /// A value that does not have the format does not match.
    Asserted,
}

/// A compiled schema.
#[derive(Debug)]
pub struct Schema {
    validator: Validator,
}

/// A place of a body that does not match its schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// JSON pointer into the body.
    pub pointer: String,
    /// What is wrong there.
    pub detail: String,
}

impl Schema {
    /// Compiles the text of a schema. The error names the place by JSON pointer. Nothing is fetched: references stay inside
    /// the document.
    pub fn compile(text: &str, formats: Formats) -> Result<Self, String> {
        let schema: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        Self::of(&schema, formats)
    }

    /// Compiles a schema that is parsed already.
    pub fn of(schema: &Value, formats: Formats) -> Result<Self, String> {
        let mut options = jsonschema::options().with_retriever(Refuse).with_pattern_options(
            PatternOptions::regex()
                .size_limit(MAX_PATTERN_BYTES)
                .dfa_size_limit(MAX_PATTERN_BYTES),
        );
        if formats == Formats::Asserted {
            options = options.should_validate_formats(true);
        }
        let validator = options.build(schema).map_err(|error| describe(&error))?;
        Ok(Self { validator })
    }

    /// Whether a body matches.
    pub fn is_valid(&self, body: &Value) -> bool {
        self.validator.is_valid(body)
    }

    /// Places where a body does not match: all, up to [`MAX_MISMATCHES`], if the body is small, and otherwise the first.
    /// `bytes` is the length of the body's text.
    pub fn mismatches(&self, body: &Value, bytes: usize) -> Vec<Mismatch> {
        if bytes <= MAX_LISTED_BODY_BYTES {
            let errors = self.validator.iter_errors(body).take(MAX_MISMATCHES);
            return errors.map(|error| mismatch(&error)).collect();
        }
        let first = self.validator.validate(body).err();
        first.iter().map(mismatch).collect()
    }
}

/// Refuses whatever a schema refers to outside of itself. [`describe`] has the sentence about it, since a
/// relative reference is refused before anything is asked for it.
struct Refuse;

impl Retrieve for Refuse {
    fn retrieve(&self, _: &Uri<String>) -> Result<Value, Box<dyn Error + Send + Sync>> {
        Err("nothing is fetched".into())
    }
}

fn mismatch(error: &ValidationError<'_>) -> Mismatch {
    Mismatch {
        pointer: bounded(error.instance_path(), MAX_POINTER_BYTES),
        detail: bounded(error, MAX_DETAIL_BYTES),
    }
}

fn describe(error: &ValidationError<'_>) -> String {
    let place = match error.instance_path().as_str() {
        "" => "the schema",
        pointer => pointer,
    };
    // The message repeats the value that is wrong, which can be the whole schema.
    let message = match (error.kind(), error.source()) {
        (ValidationErrorKind::Referencing(ReferencingError::Unretrievable { uri, .. }), _) => bounded(
            format_args!("`{uri}` is outside the schema; put it under `$defs` and refer to `#/$defs/…`"),
            MAX_PROBLEM_BYTES,
        ),
        (_, Some(source)) => bounded(format_args!("{error}: {source}"), MAX_PROBLEM_BYTES),
        (_, None) => bounded(error, MAX_PROBLEM_BYTES),
    };
    format!("{}: {message}", bounded(place, MAX_POINTER_BYTES))
}

/// The first `most` bytes of a text that may be long. No more of it is made than that.
fn bounded(text: impl fmt::Display, most: usize) -> String {
    let mut bounded = Bounded {
        text: String::new(),
        most,
    };
    match write!(bounded, "{text}") {
        Ok(()) => bounded.text,
        Err(fmt::Error) => {
            let end = bounded
                .text
                .floor_char_boundary(most.saturating_sub('…'.len_utf8()));
            bounded.text.truncate(end);
            bounded.text.push('…');
            bounded.text
        }
    }
}

struct Bounded {
    text: String,
    most: usize,
}

impl fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.most - self.text.len();
        self.text.push_str(&text[..text.floor_char_boundary(room)]);
        match text.len() <= room {
            true => Ok(()),
            false => Err(fmt::Error),
        }
    }
}

#[cfg(test)]
mod tests;
