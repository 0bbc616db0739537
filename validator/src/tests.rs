//! Native tests of compiling schemas and checking bodies.

use serde_json::json;

use super::*;

fn compiled(schema: Value) -> Schema {
    Schema::of(&schema, Formats::ByDraft).unwrap()
}

fn refusal(schema: Value) -> String {
    Schema::of(&schema, Formats::ByDraft).err().unwrap_or_default()
}

#[test]
fn references_stay_inside_the_schema_and_may_be_recursive() {
    let tree = json!({
        "type": "object",
        "properties": { "children": { "items": { "$ref": "#" } }, "id": { "$ref": "#id" } },
        "required": ["id"],
        "$defs": { "id": { "$anchor": "id", "type": "string", "pattern": "^[a-z]+$" } },
    });
    let tree = compiled(tree);
    assert!(tree.is_valid(&json!({"id": "a", "children": [{"id": "b", "children": []}]})));
    assert!(!tree.is_valid(&json!({"id": "a", "children": [{"id": "b", "children": [{}]}]})));
    assert!(!tree.is_valid(&json!({"id": "A"})));
}

#[test]
fn an_inner_id_and_a_dynamic_reference_are_resolved() {
    let schema = json!({
        "$id": "https://example.com/tree",
        "$dynamicAnchor": "node",
        "properties": { "next": { "$dynamicRef": "#node" }, "size": { "$ref": "size" } },
        "$defs": { "size": { "$id": "size", "type": "integer" } },
    });
    let schema = compiled(schema);
    assert!(schema.is_valid(&json!({"next": {"size": 1}})));
    assert!(!schema.is_valid(&json!({"next": {"size": "1"}})));
}

#[test]
fn nothing_is_fetched() {
    for uri in [
        "http://127.0.0.1:1/x.json",
        "https://example.com/x.json",
        "file:///etc/hostname",
        "other.json",
    ] {
        let error = refusal(json!({"properties": {"a": {"$ref": uri}}}));
        assert!(error.contains("refer to `#/$defs/"), "{uri}: {error}");
    }
}

#[test]
fn a_wrong_schema_is_named_with_its_place() {
    let error = refusal(json!({"properties": {"a": {"type": "strin"}}}));
    assert!(error.starts_with("/properties/a/type: "), "{error}");
}

#[test]
fn patterns_that_backtrack_or_are_too_large_are_refused() {
    for pattern in ["^(a+)+\\1$", "(\\w{1000}){1000}"] {
        assert_ne!(refusal(json!({"pattern": pattern})), "", "{pattern}");
    }
}

#[test]
fn a_format_is_asserted_only_if_that_is_asked_for() {
    let schema = json!({"format": "ipv4"});
    for (formats, expected) in [(Formats::ByDraft, true), (Formats::Asserted, false)] {
        let schema = Schema::of(&schema, formats).unwrap();
        assert_eq!(schema.is_valid(&json!("localhost")), expected);
    }
}

#[test]
fn mismatches_are_few_and_short() {
    let schema = compiled(json!({"additionalProperties": {"type": "integer"}}));
    let long = "ö".repeat(2_000);
    let mut body = json!({});
    for number in 0..100 {
        body[format!("{number}{long}")] = json!(long);
    }
    for (bytes, expected) in [
        (0, MAX_MISMATCHES),
        (MAX_LISTED_BODY_BYTES, MAX_MISMATCHES),
        (MAX_LISTED_BODY_BYTES + 1, 1),
    ] {
        let mismatches = schema.mismatches(&body, bytes);
        assert_eq!(mismatches.len(), expected);
        for Mismatch { pointer, detail } in mismatches {
            assert!(
                pointer.len() <= MAX_POINTER_BYTES && pointer.ends_with('…'),
                "{pointer}"
            );
            assert!(
                detail.len() <= MAX_DETAIL_BYTES && detail.ends_with('…'),
                "{detail}"
            );
        }
    }
}

#[test]
fn a_text_is_cut_only_if_it_is_longer_than_it_may_be() {
    assert_eq!(bounded("abcdef", 6), "abcdef");
    assert_eq!(bounded("abcdefg", 6), "abc…");
    assert_eq!(bounded("ööö", 5), "ö…");
}
