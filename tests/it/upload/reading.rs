//! Tests that uploads are parsed in the compile worker: whatever the parsing costs, the host
//! continues and reports the reason.

use std::fmt::Write as _;

use serde_json::{Value, json};
use test_artifacts::ECHO;

use super::wasm::{COMPONENT, with_content, with_manifest};
use crate::app::{App, open_manifest};

const PLUGIN: &str = "[plugin]\nname = 'p'\nversion = '1'\n";

const WITH_SCHEMA: &str = "[plugin]\nname = 'p'\nversion = '1'\n[[route]]\nmethod = 'POST'\npath = '/'\n\
    auth = 'public'\nrequest = 's.json'\n";

/// How a definition refers to the next one.
type Link<'a> = &'a dyn Fn(Value) -> Value;

/// A chain of definitions, each of which refers to the next one by `link`.
fn chain(length: usize, link: Link<'_>) -> Value {
    let mut definitions = serde_json::Map::new();
    for level in 0..length {
        let next = json!({ "$ref": format!("#/$defs/{}", level + 1) });
        definitions.insert(level.to_string(), link(next));
    }
    definitions.insert(length.to_string(), json!({ "type": "object" }));
    json!({ "$ref": "#/$defs/0", "$defs": definitions })
}

/// Fault X1 and similar ones: a stack overflow ends the worker and not the host.
#[tokio::test]
async fn a_schema_that_leads_deep_ends_at_most_the_worker() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    acme.deploy(ECHO, &open_manifest("echo", ""), &[]).await;
    let links: [(&str, Link<'_>); 6] = [
        ("$ref", &|next| next),
        ("allOf", &|next| json!({ "allOf": [next] })),
        ("not", &|next| json!({ "not": next })),
        ("then", &|next| json!({ "if": true, "then": next })),
        ("items", &|next| json!({ "items": next })),
        (
            "dependentSchemas",
            &|next| json!({ "dependentSchemas": { "a": next } }),
        ),
    ];
    for (name, link) in links {
        for length in [2_400, 4_800] {
            let schema = chain(length, link);
            let content = json!({ "format": 1, "manifest": WITH_SCHEMA, "schemas": { "s.json": schema } });
            let reply = acme
                .upload("p", with_content(COMPONENT, &content.to_string()))
                .await;
            // The component has no handler, so it is rejected in any case.
            let (status, code) = reply.problem();
            assert!(
                status == 422 && code != "internal",
                "{name} {length}: {}",
                reply.text()
            );
            app.get("/acme/echo/x").send().await.expect(200);
        }
    }
}

/// Fault X2 and similar ones: text that grows when it is parsed.
#[tokio::test]
async fn text_that_grows_when_it_is_parsed_is_refused() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    let header = |number: usize| format!("[a.b{number}{}]\n", ".a".repeat(70));
    let mut headers = PLUGIN.to_owned();
    for number in 0..1_500 {
        headers.push_str(&header(number));
    }
    let mut large = headers.clone();
    for number in 0..20_000 {
        large.push_str(&header(number));
    }
    let mut keys = PLUGIN.to_owned();
    for number in 0..20_000 {
        writeln!(keys, "k{number}={{}}").unwrap();
    }
    let arrays = format!("{PLUGIN}x = [{}]\n", "[],".repeat(80_000));
    let nested = format!("{PLUGIN}x = {}\n", "[".repeat(250_000));
    let dotted = format!("{PLUGIN}{}a = 1\n", "a.".repeat(120_000));
    for manifest in [headers, large, keys, arrays, nested, dotted] {
        let reply = acme.upload("p", with_manifest(COMPONENT, &manifest)).await;
        let (status, code) = reply.problem();
        let is_refused = status == 422 && (code == "invalid-manifest" || code == "compile-limit");
        assert!(is_refused, "{}: {}", &manifest[40..80], reply.text());
    }
    for schema in [
        "[".repeat(200_000),
        format!("{}1{}", r#"{"a":"#.repeat(20_000), "}".repeat(20_000)),
        format!("[{}1]", "1,".repeat(120_000)),
    ] {
        let manifest = serde_json::to_string(WITH_SCHEMA).unwrap();
        let content = format!(r#"{{"format":1,"manifest":{manifest},"schemas":{{"s.json":{schema}}}}}"#);
        let reply = acme.upload("p", with_content(COMPONENT, &content)).await;
        let (status, code) = reply.problem();
        assert!(
            status == 422 && code != "internal",
            "{}: {}",
            &schema[..20],
            reply.text()
        );
    }
}

/// An upload under another name is rejected before anything is compiled.
#[tokio::test]
async fn a_refusal_says_what_to_do_next() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    for (component, hint) in [
        (b"(component)".to_vec(), "wasm-tools parse"),
        (super::wasm::MODULE.to_vec(), "wasm-tools component new"),
        (b"\x7fELF".to_vec(), "mortise build"),
        (COMPONENT.to_vec(), "mortise build <folder> --component"),
        (with_manifest(COMPONENT, "[plugin"), "correct plugin.toml"),
        (
            with_manifest(COMPONENT, &PLUGIN.replace("'p'", "'q'")),
            "plugin.name",
        ),
        (with_manifest(COMPONENT, &open_manifest("p", "")), "http-handler"),
    ] {
        let problem = acme.upload("p", component).await.json();
        assert_eq!(problem["status"], 422, "{problem}");
        assert!(
            problem["hint"].as_str().unwrap().contains(hint),
            "{hint}: {problem}"
        );
    }
}
