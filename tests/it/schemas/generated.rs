//! Tests with generated schemas and bodies: each check ends within its limits, and small ones agree
//! with the validator in this process.

use mortise_validator::{Formats, Schema};
use serde_json::{Map, Value, json};
use test_artifacts::ECHO_0_1;

use super::{component, doubling_unevaluated, letters, manifest, nested_unevaluated, patterns};
use crate::app::App;

/// A reproducible sequence of numbers.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % most
    }

    fn one_of<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }
}

const NAMES: [&str; 4] = ["a", "b", "id", "next"];

fn value(numbers: &mut Numbers, depth: usize) -> Value {
    match numbers.below(if depth == 0 { 5 } else { 8 }) {
        0 => json!(null),
        1 => json!(numbers.below(2) == 0),
        2 => json!(numbers.below(20)),
        3 => json!(1.5 * f64::from(u32::try_from(numbers.below(9)).unwrap())),
        4 => json!(numbers.one_of(&["", "a", "abab", "2026-11-26", "ö", "::1"])),
        5 => (0..numbers.below(4)).map(|_| value(numbers, depth - 1)).collect(),
        _ => {
            let members =
                (0..numbers.below(4)).map(|_| (numbers.one_of(&NAMES).to_owned(), value(numbers, depth - 1)));
            Value::Object(members.collect())
        }
    }
}

fn schema(numbers: &mut Numbers, depth: usize) -> Value {
    if depth == 0 {
        return json!(numbers.below(4) > 0);
    }
    let mut keywords = Map::new();
    for _ in 0..=numbers.below(3) {
        let inner = |numbers: &mut Numbers| schema(numbers, depth - 1);
        let several = |numbers: &mut Numbers| {
            (0..=numbers.below(2))
                .map(|_| schema(numbers, depth - 1))
                .collect::<Vec<_>>()
        };
        let (keyword, content) = match numbers.below(20) {
            0 => (
                "type",
                json!(numbers.one_of(&["object", "array", "string", "integer", "number", "null"])),
            ),
            1 => ("enum", json!([value(numbers, 1), value(numbers, 1)])),
            2 => ("const", value(numbers, 1)),
            3 => ("minimum", json!(numbers.below(10))),
            4 => ("maxLength", json!(numbers.below(4))),
            5 => ("pattern", json!(numbers.one_of(&["^a", "b$", "^(ab)*$", "[^a]"]))),
            6 => ("required", json!([numbers.one_of(&NAMES)])),
            7 => ("properties", json!({ numbers.one_of(&NAMES): inner(numbers) })),
            8 => ("patternProperties", json!({ "^.$": inner(numbers) })),
            9 => ("additionalProperties", inner(numbers)),
            10 => ("unevaluatedProperties", inner(numbers)),
            11 => ("items", inner(numbers)),
            12 => ("unevaluatedItems", inner(numbers)),
            13 => ("uniqueItems", json!(true)),
            14 => ("contains", inner(numbers)),
            15 => ("allOf", json!(several(numbers))),
            16 => ("anyOf", json!(several(numbers))),
            17 => ("oneOf", json!(several(numbers))),
            18 => ("not", inner(numbers)),
            _ => ("multipleOf", json!(numbers.one_of(&[1.0, 2.0, 0.5, 0.1]))),
        };
        keywords.insert(keyword.to_owned(), content);
    }
    Value::Object(keywords)
}

#[tokio::test]
async fn a_sandbox_says_the_same_as_this_process() {
    const SCHEMAS: usize = 100;
    const BODIES: usize = 8;
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    acme.limit(&json!({ "requests_per_second": 100_000, "request_burst": 100_000 }))
        .await;
    let mut numbers = Numbers(17);
    let schemas: Vec<Value> = (0..SCHEMAS).map(|_| schema(&mut numbers, 3)).collect();
    let mut manifest = "[plugin]\nname = 'p'\nversion = '1'\n".to_owned();
    let mut files = Vec::new();
    for (number, schema) in schemas.iter().enumerate() {
        manifest += &format!(
            "[[route]]\nmethod = 'POST'\npath = '/{number}'\nauth = 'public'\nrequest = '{number}.json'\n"
        );
        files.push((format!("{number}.json"), schema.to_string()));
    }
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    acme.deploy(ECHO_0_1, &manifest, &files).await;
    let mut valid = 0;
    for (number, schema) in schemas.iter().enumerate() {
        let compiled = Schema::of(schema, Formats::ByDraft).unwrap();
        for _ in 0..BODIES {
            let body = value(&mut numbers, 3);
            let expected = compiled.is_valid(&body);
            valid += usize::from(expected);
            let reply = app.post(&format!("/acme/p/{number}")).json(&body).send().await;
            let seen = reply.status.as_u16();
            assert_eq!(
                seen,
                if expected { 200 } else { 400 },
                "{schema} {body}: {}",
                reply.text()
            );
        }
    }
    let checked = SCHEMAS * BODIES;
    assert!(
        valid > checked / 5 && valid < checked * 4 / 5,
        "{valid} of {checked} match"
    );
}

#[tokio::test]
async fn whatever_is_checked_ends_within_its_limits() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    acme.limit(&json!({ "cpu": "50ms", "wall": "60s" })).await;
    let mut numbers = Numbers(4);
    let mut checked = 0;
    for round in 0..12 {
        let schema = match numbers.below(5) {
            0 => patterns(1 + numbers.below(8), 1 + numbers.below(300)),
            1 if numbers.below(2) == 0 => doubling_unevaluated(1 + numbers.below(40)),
            1 => nested_unevaluated(1 + numbers.below(40)),
            2 => json!({ "items": { "anyOf": [schema(&mut numbers, 2), schema(&mut numbers, 2)] } }),
            3 => json!({ "uniqueItems": true, "items": schema(&mut numbers, 1) }),
            _ => {
                json!({ "additionalProperties": { "multipleOf": 1e-300 }, "items": { "multipleOf": 1e-300 } })
            }
        };
        let manifest = manifest("") + "request = 's.json'\n";
        let manifest = manifest.replace("version = '1'", &format!("version = '{round}'"));
        let reply = acme.upload("p", component(&manifest, &schema)).await;
        if reply.status == 422 {
            // Its compilation exceeded a limit of uploads.
            assert!(reply.text().contains("s.json: compiling it"), "{}", reply.text());
            continue;
        }
        let version = reply.expect(201).json()["version"].as_str().unwrap().to_owned();
        acme.activate("p", &version).await.expect(200);
        checked += 1;
        let count = 1 + numbers.below(100_000);
        let body = match numbers.below(4) {
            0 => json!(letters(count)),
            1 => json!((0..count).collect::<Vec<_>>()),
            2 => (0..count / 10)
                .map(|number| (format!("p{number}"), json!(1e300)))
                .collect::<Map<_, _>>()
                .into(),
            _ => json!(vec![value(&mut numbers, 3); count / 100]),
        };
        let reply = app.post("/acme/p/checked").json(&body).send().await;
        let seen = reply.status.as_u16();
        assert!([200, 400, 502, 504].contains(&seen), "{schema}: {}", reply.text());
        let usage = acme.invocation(&reply).await["usage"].clone();
        // The compilation of the schema is charged in addition to the budget.
        assert!(usage["cpu_us"].as_u64().unwrap() < 5_000_000, "{schema}: {usage}");
    }
    assert!(checked >= 6, "{checked} of 12 schemas were accepted");
}
