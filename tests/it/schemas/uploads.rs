//! Tests of schemas in uploads: a schema that crashes a sandbox does not crash the host.

use serde_json::{Map, Value, json};

use super::manifest;
use crate::app::App;

/// `$defs` in which each definition refers to the next through a keyword.
fn chain(levels: usize, link: impl Fn(Value) -> Value) -> Value {
    let mut definitions = Map::new();
    for level in 0..levels {
        let next = json!({ "$ref": format!("#/$defs/{}", level + 1) });
        definitions.insert(level.to_string(), link(next));
    }
    definitions.insert(levels.to_string(), json!(true));
    json!({ "$ref": "#/$defs/0", "$defs": definitions })
}

fn component(schema: &Value) -> Vec<u8> {
    super::component(&(manifest("") + "request = 's.json'\n"), schema)
}

#[tokio::test]
async fn a_chain_of_references_ends_no_host() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    type Link = fn(Value) -> Value;
    let links: [(&str, Link); 8] = [
        ("$ref", |next| next),
        ("allOf", |next| json!({ "allOf": [next] })),
        ("anyOf", |next| json!({ "anyOf": [next] })),
        ("oneOf", |next| json!({ "oneOf": [next] })),
        ("not", |next| json!({ "not": next })),
        ("if", |next| json!({ "if": next, "then": true })),
        ("properties", |next| json!({ "properties": { "a": next } })),
        (
            "dependentSchemas",
            |next| json!({ "dependentSchemas": { "a": next } }),
        ),
    ];
    for (name, link) in links {
        for levels in [100, 5_000] {
            let schema = chain(levels, link);
            let reply = acme.upload("p", component(&schema)).await;
            if reply.status.is_success() {
                // An accepted schema works, or its check is ended by a limit.
                let version = reply.json()["version"].as_str().unwrap().to_owned();
                acme.activate("p", &version).await.expect(200);
                let reply = app.post("/acme/p/checked").json(&json!({ "a": {} })).send().await;
                assert!(
                    [200, 400, 502, 504].contains(&reply.status.as_u16()),
                    "{name}: {}",
                    reply.text()
                );
            } else {
                let reply = reply.expect_problem(422, "invalid-manifest").json();
                let detail = reply["detail"].as_str().unwrap();
                assert!(detail.starts_with("s.json: "), "{name}: {detail}");
                assert!(levels > 100, "{name}: {detail}");
            }
        }
    }
}

#[tokio::test]
async fn a_schema_that_does_not_compile_is_named_with_its_place() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    let deep = (0..200).fold(json!(true), |inner, _| json!({ "not": inner }));
    for (schema, problem) in [
        (
            json!({ "properties": { "a": { "type": "nothing" } } }),
            "s.json: /properties/a/type: ",
        ),
        (
            json!({ "$ref": "https://example.com/schema.json" }),
            "is outside the schema",
        ),
        (json!({ "pattern": "(" }), "s.json: "),
        (json!({ "pattern": "(\\w{1000}){1000}" }), "s.json: "),
        (deep, "recursion limit"),
    ] {
        let reply = acme.upload("p", component(&schema)).await;
        let reply = reply.expect_problem(422, "invalid-manifest").json();
        let detail = reply["detail"].as_str().unwrap();
        assert!(detail.contains(problem), "{detail}");
    }
}
