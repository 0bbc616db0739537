//! JSON Schemas of plugins. They come from customers, so that nothing is fetched for them and no pattern can run away.

use std::error::Error;

use jsonschema::{PatternOptions, Retrieve, Uri, ValidationError, Validator};
use serde_json::Value;

use super::expansion;

/// Bytes of one compiled pattern. Patterns run in linear time; this bounds the factor and the memory.
const MAX_PATTERN_BYTES: usize = 256 * 1024;

/// Subschemas of a schema times places of a body. More would keep a thread from everybody else for too long.
const MAX_CHECKS: usize = 5_000_000;

/// A schema that bodies are checked against.
pub struct Schema {
    validator: Validator,
    /// With its references expanded.
    subschemas: usize,
}

impl Schema {
    /// Compiles a schema. References stay inside the document and are bounded, and patterns are those of the `regex`
    /// crate, which has no backtracking. The error names the place by JSON pointer.
    pub fn compile(schema: &Value) -> Result<Self, String> {
        let subschemas = expansion::subschemas(schema)?;
        let validator = jsonschema::options()
            .with_retriever(Refuse)
            .with_pattern_options(
                PatternOptions::regex()
                    .size_limit(MAX_PATTERN_BYTES)
                    .dfa_size_limit(MAX_PATTERN_BYTES),
            )
            .build(schema)
            .map_err(|error| describe(&error))?;
        Ok(Self {
            validator,
            subschemas,
        })
    }

    /// What checks a body.
    pub fn validator(&self) -> &Validator {
        &self.validator
    }

    /// Whether a body has so many places that checking it would take too long.
    pub fn is_too_much(&self, body: &Value) -> bool {
        places(body).saturating_mul(self.subschemas) > MAX_CHECKS
    }
}

fn places(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(places).sum::<usize>(),
        Value::Object(members) => 1 + members.values().map(places).sum::<usize>(),
        _ => 1,
    }
}

/// How many patterns a schema holds: each costs up to 256 KiB.
pub fn patterns(schema: &Value) -> usize {
    match schema {
        Value::Array(items) => items.iter().map(patterns).sum(),
        Value::Object(members) => members
            .iter()
            .map(|(key, value)| {
                patterns(value)
                    + match (key.as_str(), value) {
                        ("pattern", Value::String(_)) => 1,
                        ("patternProperties", Value::Object(by_pattern)) => by_pattern.len(),
                        _ => 0,
                    }
            })
            .sum(),
        _ => 0,
    }
}

struct Refuse;

impl Retrieve for Refuse {
    fn retrieve(&self, uri: &Uri<String>) -> Result<Value, Box<dyn Error + Send + Sync>> {
        Err(format!("`{uri}` is outside the schema; put it under `$defs` and refer to `#/$defs/…`").into())
    }
}

fn describe(error: &ValidationError<'_>) -> String {
    let place = match error.instance_path().as_str() {
        "" => "the schema",
        pointer => pointer,
    };
    // The message repeats the value that is wrong, which can be the whole schema.
    let mut message = error.to_string();
    if let Some(source) = error.source() {
        message = format!("{message}: {source}");
    }
    if message.len() > MAX_MESSAGE {
        message.truncate(message.floor_char_boundary(MAX_MESSAGE));
        message.push('…');
    }
    format!("{place}: {message}")
}

const MAX_MESSAGE: usize = 400;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refusal(schema: &Value) -> String {
        Schema::compile(schema).err().unwrap_or_default()
    }

    #[test]
    fn a_schema_with_inner_references_is_compiled() {
        let schema =
            json!({"$ref": "#/$defs/id", "$defs": {"id": {"type": "string", "pattern": "^[a-z]+$"}}});
        let schema = Schema::compile(&schema).unwrap();
        assert!(schema.validator().is_valid(&json!("abc")));
        assert!(!schema.validator().is_valid(&json!("ABC")));
    }

    #[test]
    fn nothing_is_fetched() {
        for uri in [
            "http://127.0.0.1:1/x.json",
            "https://example.com/x.json",
            "file:///etc/hostname",
            "other.json",
            "json-schema:///#/$defs/a",
            "",
        ] {
            let error = refusal(&json!({"properties": {"a": {"$ref": uri}}}));
            assert!(error.contains("refer by `#/$defs/"), "{uri}: {error}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let error = refusal(&json!({"properties": {"a": {"type": "strin"}}}));
        assert!(error.starts_with("/properties/a/type: "), "{error}");
    }

    #[test]
    fn patterns_that_could_run_away_are_refused() {
        for pattern in ["^(a+)+\\1$", "(\\w{1000}){1000}"] {
            assert_ne!(refusal(&json!({"pattern": pattern})), "", "{pattern}");
        }
    }

    #[test]
    fn patterns_are_counted_wherever_they_stand() {
        let schema = json!({"properties": {"a": {"pattern": "x"}}, "patternProperties": {"b": {"pattern": "c"}, "d": {}}});
        assert_eq!(patterns(&schema), 4);
    }

    #[test]
    fn a_body_with_too_many_places_for_its_schema_is_not_checked() {
        let schema = Schema::compile(&json!({"items": {"enum": (0..999).collect::<Vec<u32>>()}})).unwrap();
        assert!(!schema.is_too_much(&json!(vec![1; 1_000])));
        assert!(schema.is_too_much(&json!(vec![1; 10_000])));
    }
}
