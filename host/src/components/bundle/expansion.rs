//! How much work a schema can make: its size with every reference replaced by what it refers to.
//!
//! Each place of a body is checked against no more subschemas than that, so the work is at most their number times the
//! body's places. Without a bound, references that double at each level make a schema of a few lines that takes years;
//! and a schema that refers to itself has no such size, so it is refused. References that are no pointer into the
//! document are refused too: what they lead to could not be counted.

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

/// Subschemas of one schema with its references expanded.
pub const MAX_SUBSCHEMAS: usize = 10_000;

/// Keywords whose value is data, not a schema.
const DATA: [&str; 2] = ["default", "examples"];

/// Keywords whose value is data that each place is compared with, so that it counts like subschemas.
const COMPARED: [&str; 2] = ["const", "enum"];

/// Keywords whose value has names as keys and schemas as values.
const BY_NAME: [&str; 4] = [
    "dependentSchemas",
    "dependencies",
    "patternProperties",
    "properties",
];

/// Keywords that hold what is only used by reference.
const DEFINITIONS: [&str; 2] = ["$defs", "definitions"];

/// Keywords whose target depends on more than the document's own structure.
const UNBOUNDED: [&str; 4] = ["$dynamicRef", "$recursiveRef", "$anchor", "$dynamicAnchor"];

/// How many subschemas a schema has, expanded. The error is a sentence for its author.
pub fn subschemas(schema: &Value) -> Result<usize, String> {
    let mut expansion = Expansion {
        root: schema,
        open: Vec::new(),
        subschemas: 0,
    };
    expansion.schema(schema, true)?;
    Ok(expansion.subschemas)
}

struct Expansion<'a> {
    root: &'a Value,
    /// The references that lead to where the walk is.
    open: Vec<&'a str>,
    subschemas: usize,
}

impl<'a> Expansion<'a> {
    fn schema(&mut self, schema: &'a Value, is_root: bool) -> Result<(), String> {
        self.count()?;
        match schema {
            Value::Object(keywords) => self.keywords(keywords, is_root),
            Value::Array(schemas) => schemas.iter().try_for_each(|schema| self.schema(schema, false)),
            _ => Ok(()),
        }
    }

    fn keywords(&mut self, keywords: &'a Map<String, Value>, is_root: bool) -> Result<(), String> {
        for (keyword, value) in keywords {
            match (keyword.as_str(), value) {
                ("$ref", Value::String(reference)) => self.reference(reference)?,
                ("$id" | "id", Value::String(_)) if !is_root => {
                    return Err(format!(
                        "`{keyword}` below the top would move its references; leave it out"
                    ));
                }
                (keyword, _) if COMPARED.contains(&keyword) => self.data(value)?,
                (keyword, _) if UNBOUNDED.contains(&keyword) => {
                    return Err(format!("`{keyword}` cannot be used here; refer by `#/$defs/…`"));
                }
                (keyword, _) if DATA.contains(&keyword) || DEFINITIONS.contains(&keyword) => {}
                (keyword, Value::Object(by_name)) if BY_NAME.contains(&keyword) => {
                    by_name
                        .values()
                        .try_for_each(|schema| self.schema(schema, false))?;
                }
                (_, Value::Object(_) | Value::Array(_)) => self.schema(value, false)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// References are URI fragments, in which a pointer may be percent-encoded.
    fn target(&self, pointer: &str) -> Option<&'a Value> {
        self.root
            .pointer(&percent_decode_str(pointer).decode_utf8().ok()?)
    }

    fn data(&mut self, value: &Value) -> Result<(), String> {
        self.count()?;
        match value {
            Value::Array(items) => items.iter().try_for_each(|item| self.data(item)),
            Value::Object(members) => members.values().try_for_each(|member| self.data(member)),
            _ => Ok(()),
        }
    }

    fn count(&mut self) -> Result<(), String> {
        self.subschemas += 1;
        if self.subschemas > MAX_SUBSCHEMAS {
            return Err(format!(
                "with its references expanded it has more than {MAX_SUBSCHEMAS} subschemas and values"
            ));
        }
        Ok(())
    }

    fn reference(&mut self, reference: &'a str) -> Result<(), String> {
        let pointer = reference
            .strip_prefix('#')
            .filter(|pointer| pointer.is_empty() || pointer.starts_with('/'));
        let target = pointer.and_then(|pointer| self.target(pointer));
        let Some(target) = target else {
            return Err(format!(
                "`{reference}` leads to nothing in this schema; refer by `#/$defs/…`"
            ));
        };
        if reference == "#" || self.open.contains(&reference) {
            return Err(format!(
                "`{reference}` refers to itself; write out the levels that are needed"
            ));
        }
        self.open.push(reference);
        self.schema(target, false)?;
        self.open.pop();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn doubling(levels: usize, reference: impl Fn(usize) -> Value) -> Value {
        let mut definitions = Map::new();
        for level in 0..levels {
            definitions.insert(level.to_string(), reference(level + 1));
        }
        definitions.insert(levels.to_string(), json!({"type": "object"}));
        json!({"$ref": "#/$defs/0", "$defs": definitions})
    }

    #[test]
    fn references_that_double_are_bounded() {
        let all_of = |level| json!({"allOf": [{"$ref": format!("#/$defs/{level}")}, {"$ref": format!("#/$defs/{level}")}]});
        assert!(subschemas(&doubling(5, all_of)).is_ok());
        assert!(
            subschemas(&doubling(30, all_of))
                .unwrap_err()
                .contains("more than 10000 subschemas and values")
        );

        let hidden = |level| {
            let next = json!({"$ref": format!("#/%24defs/{level}")});
            json!({"properties": {"enum": next, "const": next}})
        };
        assert!(subschemas(&doubling(30, hidden)).is_err());
    }

    #[test]
    fn a_schema_that_refers_to_itself_is_refused() {
        let tree = json!({"$ref": "#/$defs/node", "$defs": {"node": {"properties": {"child": {"$ref": "#/$defs/node"}}}}});
        assert!(subschemas(&tree).unwrap_err().contains("refers to itself"));
        assert!(subschemas(&json!({"properties": {"child": {"$ref": "#"}}})).is_err());
        assert!(subschemas(&json!({"$dynamicRef": "#x", "$dynamicAnchor": "x"})).is_err());
        assert!(
            subschemas(&json!({"properties": {"a": {"$id": "https://x.example/", "$ref": "#/a"}}})).is_err()
        );
    }

    #[test]
    fn what_is_only_defined_or_is_data_costs_nothing() {
        let many: Vec<u32> = (0..20_000).collect();
        let schema = json!({"default": many, "$defs": {"a": {"$ref": "#/$defs/a"}}, "$id": "https://x.example/a.json"});
        assert_eq!(subschemas(&schema), Ok(1));
        assert_eq!(subschemas(&json!({"enum": [1, {"a": [2]}]})), Ok(6));
    }
}
