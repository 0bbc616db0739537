//! Generates schemas of routes, with bodies to check against them.

use rig::guest::Recipe;
use serde_json::{Map, Value, json};

use super::value::{NAMES, name, number, value};
use super::with_tenant;
use crate::chance::Chance;
use crate::failure::Failure;
use crate::input::{Part, named};
use crate::target::{Target, deploy, sound};

/// Cheap patterns, and patterns with large automata.
const PATTERNS: [&str; 14] = [
    "^[a-z]+$",
    "x",
    "^.{3,8}$",
    "\\d{4}-\\d{2}",
    "(a|b)*c",
    "^\\p{L}*$",
    "[ab]*a[ab]{200}c",
    "(x+x+)+y",
    "^(([a-z])+.)+[A-Z]$",
    "(.*)*",
    "\\w{1,500}$",
    "(a?){50}a{50}",
    "[^\\s]*@[^\\s]*",
    "(?:(?:a{1,20}){1,20}){1,20}",
];

const FORMATS: [&str; 10] = [
    "date",
    "date-time",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "uri",
    "uuid",
    "regex",
    "idn-hostname",
];

/// The number of definitions in each schema.
const DEFINITIONS: usize = 4;

/// Returns a schema as the part `schema`, and parts `body` that are sent as requests, as responses,
/// or as both, unless a part `only` selects one.
pub fn generate(chance: &mut Chance) -> Vec<Part> {
    if chance.odds(1, 8) {
        let mut parts = dear(chance);
        if chance.odds(2, 3) {
            parts.push(Part::new("only").text(chance.pick(&["request", "response"])));
        }
        return parts;
    }
    let depth = chance.between(1, 4);
    let mut schema = schema(chance, depth, 0);
    let all: Map<String, Value> = (0..DEFINITIONS)
        .map(|index| (format!("d{index}"), self::schema(chance, 2, index)))
        .collect();
    if let Some(members) = schema.as_object_mut() {
        members.insert("$defs".to_owned(), Value::Object(all));
    }
    let mut parts = vec![Part::new("schema").text(schema.to_string())];
    for _ in 0..chance.between(1, 6) {
        let body = match chance.below(8) {
            0 => chance.text(60),
            1 => value(chance, 3).to_string() + chance.pick(&["", ",", "}", "\0"]),
            2..=4 => value(chance, 3).to_string(),
            _ => sample(&schema, &schema, chance, 6).to_string(),
        };
        parts.push(Part::new("body").text(body));
    }
    parts
}

/// A random schema. It may refer to definitions from number `least` on.
fn schema(chance: &mut Chance, depth: usize, least: usize) -> Value {
    if depth == 0 {
        return leaf(chance, least);
    }
    let list = |chance: &mut Chance| -> Value {
        let count = chance.between(1, 4);
        (0..count).map(|_| schema(chance, depth - 1, least)).collect()
    };
    let members = |chance: &mut Chance| -> Value {
        let count = chance.between(1, 4);
        let all = (0..count).map(|_| (name(chance), schema(chance, depth - 1, least)));
        Value::Object(all.collect())
    };
    let mut schema = Map::new();
    let mut set = |name: &str, value: Value| drop(schema.insert(name.to_owned(), value));
    for _ in 0..chance.between(1, 3) {
        match chance.below(17) {
            0 | 1 => set("properties", members(chance)),
            2 => set("items", self::schema(chance, depth - 1, least)),
            3 => set("prefixItems", list(chance)),
            4 => set("allOf", list(chance)),
            5 => set("anyOf", list(chance)),
            6 => set("oneOf", list(chance)),
            7 => set("not", self::schema(chance, depth - 1, least)),
            8 => {
                set("if", self::schema(chance, depth - 1, least));
                set("then", self::schema(chance, depth - 1, least));
                set("else", self::schema(chance, depth - 1, least));
            }
            9 => set("additionalProperties", self::schema(chance, depth - 1, least)),
            10 => set("unevaluatedProperties", self::schema(chance, depth - 1, least)),
            11 => set("unevaluatedItems", self::schema(chance, depth - 1, least)),
            12 => set("dependentSchemas", members(chance)),
            13 => set("contains", self::schema(chance, depth - 1, least)),
            14 => set("propertyNames", leaf(chance, least)),
            15 => set(
                "patternProperties",
                json!({ (chance.pick(&PATTERNS)): leaf(chance, least) }),
            ),
            _ => set("required", json!([name(chance)])),
        }
    }
    Value::Object(schema)
}

fn leaf(chance: &mut Chance, least: usize) -> Value {
    match chance.below(13) {
        0 => json!(true),
        1 => {
            json!({ "type": chance.pick(&["string", "integer", "number", "object", "array", "boolean", "null"]) })
        }
        2 => json!({ "type": ["string", "null"], "maxLength": chance.size(5_000) }),
        3 => json!({ "pattern": chance.pick(&PATTERNS) }),
        4 => json!({ "format": chance.pick(&FORMATS) }),
        5 => json!({ "enum": [value(chance, 1), value(chance, 1), value(chance, 2)] }),
        6 => json!({ "const": value(chance, 2) }),
        7 => json!({ "minimum": number(chance), "exclusiveMaximum": number(chance) }),
        8 => json!({ "multipleOf": ([0.1, 1e-300, 3.0, 0.5, 1e300][chance.below(5)]) }),
        9 => json!({ "uniqueItems": true, "maxItems": chance.size(1_000) }),
        10 => json!({ "minProperties": chance.below(4), "maxProperties": chance.between(1, 9) }),
        _ if chance.odds(1, 8) => {
            json!({ "$ref": chance.pick(&["#", "#/properties/a", "#/$defs/d0/anyOf/0", "#x", "https://example.com/s"]) })
        }
        _ => json!({ "$ref": format!("#/$defs/d{}", chance.between(least, DEFINITIONS - 1)) }),
    }
}

/// A value that the schema may accept: it follows types, members and the first alternative.
fn sample(schema: &Value, root: &Value, chance: &mut Chance, depth: usize) -> Value {
    let Some(members) = schema.as_object().filter(|_| depth > 0) else {
        return value(chance, 1);
    };
    if let Some(first) = ["allOf", "anyOf", "oneOf"]
        .iter()
        .find_map(|name| members.get(*name)?.get(0))
    {
        return sample(first, root, chance, depth - 1);
    }
    if let Some(constant) = members.get("const") {
        return constant.clone();
    }
    if let Some(first) = members.get("enum").and_then(|all| all.get(0)) {
        return first.clone();
    }
    let target = members.get("$ref").and_then(Value::as_str);
    if let Some(target) = target.and_then(|target| root.pointer(target.trim_start_matches('#'))) {
        return sample(target, root, chance, depth - 1);
    }
    if let Some(properties) = members.get("properties").and_then(Value::as_object) {
        let sampled = properties
            .iter()
            .map(|(name, schema)| (name.clone(), sample(schema, root, chance, depth - 1)));
        return Value::Object(sampled.collect());
    }
    if let Some(items) = members.get("items") {
        return (0..chance.below(4))
            .map(|_| sample(items, root, chance, depth - 1))
            .collect();
    }
    match members.get("type").and_then(Value::as_str) {
        Some("integer") => json!(chance.below(1_000)),
        Some("number") => json!(0.5),
        Some("object") => json!({ NAMES[0]: 1 }),
        Some("array") => json!([1, "a"]),
        Some("boolean") => json!(true),
        Some("null") => Value::Null,
        _ => json!(chance.text(20)),
    }
}

/// A schema with a large number of one element, and a body that exercises it.
fn dear(chance: &mut Chance) -> Vec<Part> {
    let schema = Part::new("schema");
    let body = Part::new("body");
    match chance.below(8) {
        // Each definition refers to the next one.
        0 => {
            let depth = chance.much(9_000);
            let link = chance.pick(&[
                "\"{i}\":{\"$ref\":\"#/$defs/{j}\"},",
                "\"{i}\":{\"allOf\":[{\"$ref\":\"#/$defs/{j}\"}]},",
                "\"{i}\":{\"not\":{\"$ref\":\"#/$defs/{j}\"}},",
                "\"{i}\":{\"if\":{\"$ref\":\"#/$defs/{j}\"}},",
                "\"{i}\":{\"properties\":{\"a\":{\"$ref\":\"#/$defs/{j}\"}}},",
            ]);
            let schema = schema
                .text(r##"{"$ref":"#/$defs/0","$defs":{"##)
                .times(depth, link)
                .text(format!("\"{depth}\":true}}}}"));
            let nested = chance.much(100);
            vec![schema, body.times(nested, "{\"a\":").text("1").times(nested, "}")]
        }
        // Each level is nested in the one before.
        1 => {
            let depth = chance.much(150);
            let (open, close) = [
                ("{\"not\":", "}"),
                ("{\"items\":", "}"),
                ("{\"allOf\":[", "]}"),
                ("{\"properties\":{\"a\":", "}}"),
            ][chance.below(4)];
            let nested = chance.much(120);
            vec![
                schema.times(depth, open).text("true").times(depth, close),
                body.times(nested, "[").times(nested, "]"),
            ]
        }
        // Patterns with large automata, and a long string.
        2 => {
            let (count, states) = (chance.much(60).max(1), chance.much(2_500));
            let length = chance.much(900_000);
            let pattern = format!("{{\"pattern\":\"[ab]*a[ab]{{{{{states}}}}}c{{i}}\"}},")
                .replace("{{", "{")
                .replace("}}", "}");
            vec![
                schema.text("{\"anyOf\":[").times(count, pattern).text("false]}"),
                body.text("\"")
                    .times(length / 8, chance.pick(&["abbabaab", "aaaaaaaa", "abababab"]))
                    .text("\""),
            ]
        }
        // Evaluated properties are computed again at each level.
        3 => {
            let depth = chance.much(40);
            vec![
                schema
                    .times(depth, "{\"unevaluatedProperties\":false,\"anyOf\":[")
                    .text("{\"properties\":{\"a\":true}}")
                    .times(depth, ",{\"properties\":{\"b\":true}}]}"),
                body.text("{\"a\":1,\"c\":[")
                    .times(chance.much(60), "{i},")
                    .text("0]}"),
            ]
        }
        // Each item has several errors.
        4 => {
            let items = chance.much(450_000);
            let types = "{\"type\":\"string\"},".repeat(chance.between(1, 12));
            vec![
                schema.text(format!("{{\"items\":{{\"anyOf\":[{types}false]}}}}")),
                body.text("[").times(items, "1,").text("1]"),
            ]
        }
        // Everything is compared with everything.
        5 => {
            let items = chance.much(60_000);
            vec![
                schema.text("{\"uniqueItems\":true}"),
                body.text("[")
                    .times(items, chance.pick(&["{i},", "[{i}],", "{\"a\":{i}},"]))
                    .text("-1]"),
            ]
        }
        // Many names, each of which is matched by many patterns.
        6 => {
            let patterns = chance.much(200);
            vec![
                schema
                    .text("{\"patternProperties\":{")
                    .times(patterns, "\"^k{i}|x{i}$\":{\"type\":\"integer\"},")
                    .text("\"z\":true}}"),
                body.text("{")
                    .times(chance.much(40_000), "\"k{i}\":{i},")
                    .text("\"z\":0}"),
            ]
        }
        // Many values to compare with.
        _ => {
            let values = chance.much(60_000);
            vec![
                schema
                    .text("{\"items\":{\"enum\":[")
                    .times(values, "{\"v\":{i}},")
                    .text("0]}}"),
                body.text("[")
                    .times(chance.much(20_000), "{\"v\":-{j}},")
                    .text("0]"),
            ]
        }
    }
}

/// Uploads the schema for requests and for responses, and sends the bodies to both.
pub fn run(target: &Target, parts: &[Part]) -> Result<bool, Failure> {
    let schema: String = named(parts, "schema").map(Part::to_text).collect();
    let only: String = named(parts, "only").map(Part::to_text).collect();
    let checks = ["request", "response"].map(|check| (check, only.is_empty() || only == check));
    let checks = || {
        checks
            .iter()
            .filter(|(_, is_wanted)| *is_wanted)
            .map(|(check, _)| *check)
    };
    let mut recipe = Recipe::from_bytes("fuzz", target.guests().tiny.clone()).schema_text("s.json", &schema);
    for check in checks() {
        recipe = recipe.route_with(
            "POST",
            &format!("/{check}"),
            &format!("auth = 'public'\n{check} = 's.json'"),
        );
    }
    let guest = recipe.guest();
    with_tenant(target, |tenant| {
        if !deploy(tenant, "fuzz", &guest.component, &Value::Null)? {
            return Ok(false);
        }
        let mut checked = false;
        for body in named(parts, "body") {
            let content = body.content();
            for route in checks() {
                let path = format!("/{}/fuzz/{route}", tenant.name);
                let sent = target
                    .public()
                    .send("POST", &path, Some(("application/json", &content)));
                let reply = sound(sent, &path)?;
                checked |= reply.status < 500;
            }
        }
        Ok(checked)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_schemas_are_json() {
        let all: Vec<Vec<Part>> = (0..300)
            .map(|number| generate(&mut Chance::of(1, "schemas", number)))
            .collect();
        for parts in &all {
            let text = parts[0].to_text();
            // The parser of this test does not support the generated nesting.
            let deep = text.matches("{\"").count() > 100;
            assert!(
                deep || serde_json::from_str::<Value>(&text).is_ok(),
                "{text:.300}"
            );
        }
    }

    #[test]
    fn a_sample_follows_its_schema() {
        let schema = json!({ "anyOf": [{ "$ref": "#/$defs/d0" }], "$defs": { "d0": { "properties": { "a": { "const": 7 } } } } });
        let sampled = sample(&schema, &schema, &mut Chance::of(1, "", 0), 6);
        assert_eq!(sampled, json!({ "a": 7 }));
    }
}
