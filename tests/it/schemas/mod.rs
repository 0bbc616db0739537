//! Tests with expensive schemas and bodies: each check is charged, ended by the limit, and does not
//! affect other tenants.

mod generated;
mod requests;
mod responses;
mod uploads;

use serde_json::{Map, Value, json};
use test_artifacts::{ECHO, ECHO_0_1};

use crate::app::{App, TestTenant};
use crate::upload::wasm::with_content;

/// The manifest of the guest `echo` with one route, `POST /checked`, whose request has this schema.
fn manifest(more: &str) -> String {
    format!(
        "[plugin]\nname = 'p'\nversion = '1'\n{more}\n[[route]]\nmethod = 'POST'\npath = '/checked'\nauth = 'public'\n"
    )
}

/// Deploys a plugin whose requests have this schema.
async fn deploy_checked<'a>(app: &'a App, name: &str, schema: &Value) -> TestTenant<'a> {
    let tenant = app.tenant(name).await;
    let manifest = manifest("") + "request = 's.json'\n";
    tenant
        .deploy(ECHO, &manifest, &[("s.json", &schema.to_string())])
        .await;
    tenant
}

/// Deploys a plugin whose successful responses have this schema.
async fn deploy_promised<'a>(app: &'a App, name: &str, schema: &Value) -> TestTenant<'a> {
    let tenant = app.tenant(name).await;
    let manifest = manifest("") + "response = 's.json'\n";
    tenant
        .deploy(ECHO, &manifest, &[("s.json", &schema.to_string())])
        .await;
    tenant
}

/// Patterns whose automata have many states, each different.
fn patterns(count: usize, states: usize) -> Value {
    let pattern = |number: usize| json!({ "pattern": format!("[ab]*a[ab]{{{states}}}c{number}") });
    json!({ "anyOf": (0..count).map(pattern).collect::<Vec<_>>() })
}

/// A non-periodic text of `a` and `b`.
fn letters(length: usize) -> String {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        if state >> 31 == 0 { 'a' } else { 'b' }
    };
    (0..length).map(|_| next()).collect()
}

/// Nested `unevaluatedProperties` in `anyOf`: the work doubles at each level.
fn nested_unevaluated(levels: usize) -> Value {
    let innermost = json!({ "properties": { "a": true } });
    (0..levels).fold(
        innermost,
        |inner, _| json!({ "anyOf": [inner], "unevaluatedProperties": false }),
    )
}

/// The same with references, in an object that each level checks twice.
fn doubling_unevaluated(levels: usize) -> Value {
    let mut definitions = Map::new();
    for level in 0..levels {
        let next = json!({ "$ref": format!("#/$defs/{}", level + 1) });
        definitions.insert(
            level.to_string(),
            json!({ "anyOf": [{ "allOf": [next, false] }, next], "unevaluatedProperties": false }),
        );
    }
    definitions.insert(levels.to_string(), json!({ "properties": { "a": true } }));
    json!({ "$ref": "#/$defs/0", "$defs": definitions })
}

/// A component of the guest `echo` with a schema that was not compiled before.
fn component(manifest: &str, schema: &Value) -> Vec<u8> {
    let content = json!({ "format": 1, "manifest": manifest, "schemas": { "s.json": schema } });
    with_content(&std::fs::read(ECHO_0_1).unwrap(), &content.to_string())
}
