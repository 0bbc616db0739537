//! The schemas of one plugin version, and validation of bodies on the host's own threads.

use std::collections::BTreeMap;
use std::sync::Arc;

use mortise_validator::{Formats, Schema as Compiled};
use serde_json::Value;

use super::native;
use crate::domain::manifest::{Contract, Manifest};
use crate::unguarded::{Guard, is_off};

/// The texts of a version's schemas. A sandbox caches the compiled schemas by index.
#[derive(Debug)]
pub struct Schemas {
    texts: Vec<String>,
    formats: Formats,
}

/// A schema for validating bodies.
#[derive(Debug)]
pub struct Schema {
    version: Arc<Schemas>,
    index: u32,
    native: Option<Native>,
}

/// A schema that the host validates itself, for small bodies.
#[derive(Debug)]
struct Native {
    schema: Compiled,
    body_bytes: usize,
}

/// The result of a validation without a sandbox.
#[derive(Debug, PartialEq, Eq)]
pub enum QuickCheck {
    /// The body matches the schema.
    Valid,
    /// The body is not JSON. The text says where.
    NotJson(String),
    /// The body must be validated in a sandbox, which can be stopped and limits the errors.
    Unknown,
}

impl Schemas {
    /// The schemas of a version, by the names that its manifest uses.
    pub fn of(manifest: &Manifest, texts: BTreeMap<String, String>) -> BTreeMap<String, Arc<Schema>> {
        let (names, texts): (Vec<String>, Vec<String>) = texts.into_iter().unzip();
        let version = Arc::new(Self {
            texts,
            formats: formats(manifest),
        });
        let schema = |index| {
            let native = Native::of(&version, index);
            let version = version.clone();
            Arc::new(Schema {
                version,
                index,
                native,
            })
        };
        names.into_iter().zip((0..).map(schema)).collect()
    }

    /// The text of a schema.
    pub fn text(&self, index: u32) -> &str {
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        self.texts.get(index).map_or("", String::as_str)
    }

    /// How `format` is interpreted.
    pub fn formats(&self) -> Formats {
        self.formats
    }
}

impl Schema {
    /// All schemas of its version.
    pub fn version(&self) -> &Arc<Schemas> {
        &self.version
    }

    /// The index within the version.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Validates a body if the cost is provably small enough for the host's own threads.
    pub fn quick_check(&self, body: &[u8]) -> QuickCheck {
        let Some(native) = self
            .native
            .as_ref()
            .filter(|native| body.len() <= native.body_bytes)
        else {
            return QuickCheck::Unknown;
        };
        match serde_json::from_slice(body) {
            Ok(body) if native.schema.is_valid(&body) => QuickCheck::Valid,
            Ok(body) => {
                if is_off(Guard::MismatchesApart) {
                    drop(native.schema.mismatches(&body, 0));
                }
                QuickCheck::Unknown
            }
            Err(error) => QuickCheck::NotJson(error.to_string()),
        }
    }
}

impl Native {
    fn of(version: &Schemas, index: u32) -> Option<Self> {
        let text = version.text(index);
        let schema: Value = serde_json::from_str(text).ok()?;
        let body_bytes = native::body_bytes(text, &schema, version.formats)?;
        let schema = Compiled::of(&schema, version.formats).ok()?;
        Some(Self { schema, body_bytes })
    }
}

/// How `format` is interpreted in the schemas of a version. Contract 0.1 leaves it to the schema's
/// draft.
pub fn formats(manifest: &Manifest) -> Formats {
    match manifest.plugin.contract {
        Contract::V0_1 => Formats::ByDraft,
        Contract::V0_2 => Formats::Asserted,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema(contract: &str, schema: &Value) -> Arc<Schema> {
        let manifest = format!("[plugin]\nname = 'p'\nversion = '1'\n{contract}");
        let manifest = Manifest::parse(&manifest).unwrap();
        let mut schemas = Schemas::of(&manifest, [("s.json".to_owned(), schema.to_string())].into());
        schemas.remove("s.json").unwrap()
    }

    #[test]
    fn a_small_body_that_matches_needs_no_sandbox() {
        let schema = schema("", &json!({"required": ["a"]}));
        assert_eq!(schema.quick_check(br#"{"a":1}"#), QuickCheck::Valid);
        assert_eq!(
            schema.quick_check(b"{}"),
            QuickCheck::Unknown,
            "its errors are collected in a sandbox"
        );
        assert!(matches!(schema.quick_check(b"{"), QuickCheck::NotJson(_)));
        let large = format!("{{\"a\":\"{}\"}}", "x".repeat(40_000));
        assert_eq!(schema.quick_check(large.as_bytes()), QuickCheck::Unknown);
    }

    #[test]
    fn a_schema_that_can_be_expensive_needs_a_sandbox() {
        assert_eq!(
            schema("", &json!({"pattern": "a"})).quick_check(b"1"),
            QuickCheck::Unknown
        );
    }

    #[test]
    fn a_stored_schema_of_any_depth_takes_little_stack() {
        let mut definitions = serde_json::Map::new();
        for level in 0..8_000 {
            let next = json!({"allOf": [{"$ref": format!("#/$defs/{}", level + 1)}]});
            definitions.insert(level.to_string(), next);
        }
        let chain = json!({"$ref": "#/$defs/0", "$defs": definitions});
        let nested = format!("{}true{}", "{\"not\":".repeat(40_000), "}".repeat(40_000));
        let look = move || {
            assert_eq!(schema("", &chain).quick_check(b"1"), QuickCheck::Unknown);
            let manifest = Manifest::parse("[plugin]\nname = 'p'\nversion = '1'").unwrap();
            let schemas = Schemas::of(&manifest, [("s.json".to_owned(), nested)].into());
            assert_eq!(schemas["s.json"].quick_check(b"1"), QuickCheck::Unknown);
        };
        let thread = std::thread::Builder::new().stack_size(1 << 20);
        thread.spawn(look).unwrap().join().unwrap();
    }

    #[test]
    fn a_format_is_asserted_from_contract_0_2_on() {
        let date = json!({"format": "date"});
        assert_eq!(schema("", &date).quick_check(br#""today""#), QuickCheck::Valid);
        assert_eq!(
            schema("contract = '0.1'", &date).quick_check(br#""today""#),
            QuickCheck::Valid
        );
        assert_eq!(
            schema("contract = '0.2'", &date).quick_check(br#""today""#),
            QuickCheck::Unknown
        );
        assert_eq!(
            schema("contract = '0.2'", &date).quick_check(br#""2026-11-26""#),
            QuickCheck::Valid
        );
    }
}
