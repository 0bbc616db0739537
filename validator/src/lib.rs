//! Checks JSON bodies against the JSON Schemas of plugins.
//!
//! The host links this crate for schemas whose check is known to be cheap. For all others it runs
//! the crate as a component, under the limits of an invocation.

mod body;
#[cfg(target_family = "wasm")]
mod guest;

use std::error::Error;
use std::fmt::{self, Write as _};

use jsonschema::error::ValidationErrorKind;
use jsonschema::{PatternOptions, ReferencingError, Retrieve, Uri, ValidationError, Validator};
use serde_json::Value;

pub use body::{is_coded, is_json_type, without_bom};

/// The most mismatches that are listed for one body.
pub const MAX_MISMATCHES: usize = 20;

/// The most bytes of the description of a mismatch, which quotes the caller's value.
pub const MAX_DETAIL_BYTES: usize = 200;

/// The most bytes of a JSON pointer into a body.
pub const MAX_POINTER_BYTES: usize = 1_024;

/// All mismatches are listed only for bodies up to this size. The validator collects all errors
/// before it returns the first one, which takes a multiple of the body's memory.
const MAX_LISTED_BODY_BYTES: usize = 32 * 1024;

/// The most bytes of a compiled pattern. Patterns do not backtrack, so only their memory needs a
/// bound.
const MAX_PATTERN_BYTES: usize = 256 * 1024;

/// The most bytes of the error message for a schema that does not compile.
const MAX_PROBLEM_BYTES: usize = 400;

/// The meaning of the keyword `format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Formats {
    /// As the draft of the schema defines it: an annotation since draft 2019-09.
    ByDraft,
    /// A value must have the format.
    Asserted,
}

/// A compiled schema.
#[derive(Debug)]
pub struct Schema {
    validator: Validator,
}

/// A mismatch between a body and its schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// JSON pointer into the body.
    pub pointer: String,
    /// The description of the mismatch.
    pub detail: String,
}

impl Schema {
    /// Compiles the text of a schema. The error contains a JSON pointer. References must stay
    /// inside the document: nothing is fetched.
    pub fn compile(text: &str, formats: Formats) -> Result<Self, String> {
        let schema: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        Self::of(&schema, formats)
    }

    /// Compiles a parsed schema.
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

    /// Returns the mismatches of a body: all, up to [`MAX_MISMATCHES`], if the body is small, and
    /// otherwise the first. `bytes` is the length of the body's text.
    pub fn mismatches(&self, body: &Value, bytes: usize) -> Vec<Mismatch> {
        if bytes <= MAX_LISTED_BODY_BYTES {
            let errors = self.validator.iter_errors(body).take(MAX_MISMATCHES);
            return errors.map(|error| mismatch(&error)).collect();
        }
        let first = self.validator.validate(body).err();
        first.iter().map(mismatch).collect()
    }
}

/// Rejects references to other documents. [`describe`] creates the error message, because a
/// relative reference is rejected before this is called.
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
    // The message quotes the invalid value, which can be the whole schema.
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

/// Formats at most `most` bytes of a text that may be long. The rest is never created.
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
