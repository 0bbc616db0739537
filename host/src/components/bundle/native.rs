//! Decides whether a body can be validated on the host's own threads, because the cost is provably
//! small.
//!
//! Each value of a body is checked against each subschema at most once. So the cost is at most the
//! number of values times the number of subschemas with expanded references. This holds only for
//! the keywords listed here.
//!
//! Patterns, `unevaluated…`, `uniqueItems` and references that are not pointers cost more. A schema
//! with any of them is validated in a sandbox, and so is a body whose product exceeds [`MAX_WORK`].

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use mortise_validator::Formats;

use crate::unguarded::{Guard, is_off};

/// Bytes of a body times subschemas. A byte costs a few nanoseconds per subschema at most, so the
/// whole check stays well below a tick.
const MAX_WORK: usize = 64 * 1024;

/// The most subschemas, names and compared values of a schema with expanded references.
const MAX_SUBSCHEMAS: usize = 512;

/// The most levels of a schema with expanded references. The host recurses over them.
const MAX_DEPTH: usize = 32;

/// The longest text of a schema in bytes.
const MAX_TEXT_BYTES: usize = 16 * 1024;

const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Keywords without effect on validation, and keywords whose check takes constant time.
const CONSTANT: [&str; 24] = [
    "$comment",
    "$defs",
    "default",
    "definitions",
    "deprecated",
    "description",
    "examples",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "maxContains",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minContains",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "readOnly",
    "title",
    "type",
    "writeOnly",
    "example",
];

/// Formats whose check reads a value once.
const FORMATS: [&str; 6] = ["date", "date-time", "time", "uuid", "ipv4", "ipv6"];

/// The largest body that the host validates itself; `None` if it always uses a sandbox.
pub fn body_bytes(text: &str, schema: &Value, formats: Formats) -> Option<usize> {
    let is_unguarded = (is_off(Guard::PatternsApart) && text.contains("\"pattern"))
        || (is_off(Guard::UnevaluatedApart) && text.contains("\"unevaluated"))
        || is_off(Guard::MismatchesApart)
        || is_off(Guard::SchemasApart);
    if is_unguarded {
        return Some(usize::MAX);
    }
    if text.len() > MAX_TEXT_BYTES || has_identity(schema, true) {
        return None;
    }
    let mut expansion = Expansion {
        root: schema,
        formats,
        subschemas: 0,
    };
    expansion.schema(schema, 0)?;
    Some(MAX_WORK / expansion.subschemas)
}

/// Whether a part of the schema has its own identifier for references. The parser limits the depth
/// of the text.
fn has_identity(schema: &Value, is_root: bool) -> bool {
    match schema {
        Value::Array(items) => items.iter().any(|item| has_identity(item, false)),
        Value::Object(keywords) => keywords.iter().any(|(keyword, value)| {
            let names = match keyword.as_str() {
                "$id" => !is_root,
                "$anchor" | "$dynamicAnchor" => true,
                _ => false,
            };
            names || has_identity(value, false)
        }),
        _ => false,
    }
}

struct Expansion<'a> {
    root: &'a Value,
    formats: Formats,
    subschemas: usize,
}

impl<'a> Expansion<'a> {
    /// Checks a subschema. `None` if the cost is not provably small. Each call is counted, so their
    /// number is limited.
    fn schema(&mut self, schema: &'a Value, depth: usize) -> Option<()> {
        self.count(1)?;
        match schema {
            Value::Bool(_) => Some(()),
            Value::Object(keywords) if depth < MAX_DEPTH => keywords
                .iter()
                .try_for_each(|(keyword, value)| self.keyword(keyword, value, depth)),
            _ => None,
        }
    }

    fn keyword(&mut self, keyword: &str, value: &'a Value, depth: usize) -> Option<()> {
        let below = depth + 1;
        match (keyword, value) {
            (keyword, _) if CONSTANT.contains(&keyword) || keyword.starts_with("x-") => Some(()),
            ("$schema", Value::String(draft)) => {
                (depth == 0 && draft.trim_end_matches('#') == DRAFT).then_some(())
            }
            // Only the root can have one, because `has_identity` was checked before.
            ("$id", Value::String(_)) => Some(()),
            ("format", Value::String(format)) => match self.formats {
                Formats::ByDraft => Some(()),
                Formats::Asserted => FORMATS.contains(&format.as_str()).then_some(()),
            },
            // For other numbers, the validator computes with exact fractions.
            ("multipleOf", Value::Number(divisor)) => divisor.as_u64().map(|_| ()),
            ("const" | "enum", value) => self.data(value),
            ("required", Value::Array(names)) => self.count(names.len()),
            ("dependentRequired", Value::Object(lists)) => lists
                .values()
                .try_for_each(|names| self.count(1 + names.as_array()?.len())),
            ("properties" | "dependentSchemas", Value::Object(schemas)) => self.schemas(schemas, below),
            ("allOf" | "anyOf" | "oneOf" | "prefixItems", Value::Array(schemas)) => {
                schemas.iter().try_for_each(|schema| self.schema(schema, below))
            }
            (
                "items"
                | "additionalProperties"
                | "contains"
                | "propertyNames"
                | "not"
                | "if"
                | "then"
                | "else",
                schema,
            ) => self.schema(schema, below),
            ("$ref", Value::String(reference)) => self.schema(self.target(reference)?, below),
            _ => None,
        }
    }

    fn schemas(&mut self, schemas: &'a Map<String, Value>, depth: usize) -> Option<()> {
        schemas.values().try_for_each(|schema| self.schema(schema, depth))
    }

    /// The target of a reference: a URI fragment with a JSON pointer that may be percent-encoded.
    fn target(&self, reference: &str) -> Option<&'a Value> {
        let pointer = reference.strip_prefix('#')?;
        self.root
            .pointer(&percent_decode_str(pointer).decode_utf8().ok()?)
    }

    /// Counts data that each value is compared with.
    fn data(&mut self, value: &Value) -> Option<()> {
        self.count(1)?;
        match value {
            Value::Array(items) => items.iter().try_for_each(|item| self.data(item)),
            Value::Object(members) => members.values().try_for_each(|member| self.data(member)),
            _ => Some(()),
        }
    }

    fn count(&mut self, subschemas: usize) -> Option<()> {
        self.subschemas = self.subschemas.saturating_add(subschemas);
        (self.subschemas <= MAX_SUBSCHEMAS).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn bytes(schema: &Value, formats: Formats) -> Option<usize> {
        body_bytes(&schema.to_string(), schema, formats)
    }

    fn is_native(schema: &Value) -> bool {
        bytes(schema, Formats::ByDraft).is_some()
    }

    #[test]
    fn the_larger_the_schema_the_smaller_the_bodies() {
        assert_eq!(bytes(&json!(true), Formats::ByDraft), Some(MAX_WORK));
        assert_eq!(
            bytes(&json!({"required": ["a", "b", "c"]}), Formats::ByDraft),
            Some(MAX_WORK / 4)
        );
        let order = json!({
            "$schema": DRAFT,
            "type": "object",
            "properties": {"id": {"$ref": "#/$defs/id"}, "state": {"enum": ["new", "paid"]}},
            "$defs": {"id": {"type": "string", "minLength": 1}, "unused": {"pattern": "x"}},
        });
        assert_eq!(bytes(&order, Formats::ByDraft), Some(MAX_WORK / 7));
        let most = |names: usize| json!({"required": vec!["a"; names]});
        assert!(is_native(&most(MAX_SUBSCHEMAS - 1)));
        assert!(!is_native(&most(MAX_SUBSCHEMAS)));
    }

    #[test]
    fn a_keyword_that_can_cost_more_is_never_native() {
        for (keyword, value) in [
            ("pattern", json!("a")),
            ("patternProperties", json!({"a": true})),
            ("unevaluatedProperties", json!(false)),
            ("unevaluatedItems", json!(false)),
            ("uniqueItems", json!(true)),
            ("multipleOf", json!(0.01)),
            ("$dynamicRef", json!("#a")),
            ("$anchor", json!("a")),
            ("contentEncoding", json!("base64")),
            ("$schema", json!("http://json-schema.org/draft-07/schema#")),
            ("unheardOf", json!(1)),
        ] {
            let mut inner = Map::new();
            inner.insert(keyword.to_owned(), value);
            assert!(!is_native(&json!({"properties": {"a": inner}})), "{keyword}");
        }
        let named =
            json!({"$ref": "#/$defs/a/items", "$defs": {"a": {"$id": "a", "items": {"$ref": "#/items"}}}});
        assert!(!is_native(&named));
    }

    #[test]
    fn an_asserted_format_is_native_only_if_its_check_is_short() {
        let format = |name: &str| json!({"properties": {"a": {"format": name}}});
        assert!(is_native(&format("regex")));
        assert_eq!(bytes(&format("regex"), Formats::Asserted), None);
        assert!(bytes(&format("uuid"), Formats::Asserted).is_some());
    }

    #[test]
    fn references_that_lead_back_or_double_are_not_native() {
        assert!(!is_native(&json!({"properties": {"child": {"$ref": "#"}}})));
        assert!(!is_native(&json!({"$ref": "#/$defs/none"})));
        assert!(!is_native(&json!({"$ref": "https://example.com/"})));
        let doubling = |levels: usize| {
            let mut definitions = Map::new();
            for level in 0..levels {
                let next = json!({"$ref": format!("#/%24defs/{}", level + 1)});
                definitions.insert(level.to_string(), json!({"allOf": [next, next]}));
            }
            definitions.insert(levels.to_string(), json!(true));
            json!({"$ref": "#/$defs/0", "$defs": definitions})
        };
        assert!(is_native(&doubling(5)));
        assert!(!is_native(&doubling(12)));
    }

    #[test]
    fn a_deep_schema_is_not_native() {
        let nested = |levels: usize| (0..levels).fold(json!(true), |inner, _| json!({"not": inner}));
        assert!(is_native(&nested(MAX_DEPTH)));
        assert!(!is_native(&nested(MAX_DEPTH + 1)));
    }
}
