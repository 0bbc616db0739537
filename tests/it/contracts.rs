//! Tests of the contract versions: each is supported, and the component's own version is used.

use serde_json::{Value, json};
use test_artifacts::{CAPABILITIES, CAPABILITIES_0_1, DATABASE, DATABASE_0_1, ECHO, ECHO_0_1};

use crate::app::{App, bundled, open_manifest};
use crate::upload::wasm::with_manifest;

const TABLE: (&str, &str) = (
    "migrations/0001_item.sql",
    "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, price REAL, picture BLOB);",
);

/// Deploys the plugin `old` for contract 0.1 and the plugin `new` for contract 0.2, each for its
/// own tenant.
async fn both(app: &App, old: &str, new: &str, more: &str, files: &[(&str, &str)]) {
    for (tenant, guest) in [("old", old), ("new", new)] {
        let tenant = app.tenant(tenant).await;
        tenant.secret("token", "s3cret").await;
        tenant.deploy(guest, &open_manifest("p", more), files).await;
        tenant.configure("p", &json!({ "greeting": "hello" })).await;
    }
}

/// The responses of both.
async fn answers(app: &App, path: &str, input: &Value) -> [Value; 2] {
    let mut answers = [Value::Null, Value::Null];
    for (answer, tenant) in answers.iter_mut().zip(["old", "new"]) {
        let path = format!("/{tenant}/p{path}");
        *answer = app.post(&path).json(input).send().await.expect(200).json();
    }
    answers
}

#[tokio::test]
async fn a_component_of_each_contract_gets_the_same_answers() {
    let app = App::start().await;
    let more = "[secrets]\nuse = ['token']\nreveal = ['token']\n";
    both(&app, CAPABILITIES_0_1, CAPABILITIES, more, &[]).await;
    for (path, input) in [
        ("/config", json!({ "key": "greeting" })),
        ("/config", json!({ "key": "absent" })),
        ("/secrets/reveal", json!({ "name": "token" })),
        ("/secrets/reveal", json!({ "name": "other" })),
        ("/secrets/hmac", json!({ "name": "token", "data": "d" })),
        ("/cache", json!({ "call": "set", "key": "k", "value": "v" })),
        ("/cache", json!({ "call": "get", "key": "k" })),
        (
            "/cache",
            json!({ "call": "set-if-absent", "key": "k", "value": "w" }),
        ),
        ("/cache", json!({ "call": "increment", "key": "k" })),
        ("/cache", json!({ "call": "increment", "key": "n", "delta": 7 })),
        ("/cache", json!({ "call": "set-bytes", "key": "b" })),
        ("/cache", json!({ "call": "get", "key": "b" })),
        ("/cache", json!({ "call": "delete", "key": "k" })),
        ("/log", json!({ "message": "m", "lines": 2 })),
        ("/host-calls", json!({ "calls": 1_100 })),
    ] {
        let [old, new] = answers(&app, path, &input).await;
        assert_eq!(old, new, "{path} {input}");
    }
}

#[tokio::test]
async fn sql_is_the_same_for_each_contract() {
    let app = App::start().await;
    let section = "[database]\nmigrations = 'migrations'\n";
    both(&app, DATABASE_0_1, DATABASE, section, &[TABLE]).await;
    let insert = "INSERT INTO item (name, price, picture) VALUES ($1, $2, $3)";
    for (path, input) in [
        (
            "/execute",
            json!({ "sql": insert, "params": ["a", 1.5, [1, 255]] }),
        ),
        ("/execute", json!({ "sql": insert, "params": ["a", null, null] })),
        ("/query", json!({ "sql": "SELECT * FROM item" })),
        ("/query", json!({ "sql": "SELEKT" })),
        ("/execute", json!({ "sql": "PRAGMA user_version = 1" })),
        ("/cursor", json!({ "sql": "SELECT * FROM item", "max": 1 })),
        (
            "/transaction",
            json!({ "statements": ["DELETE FROM item"], "end": "rollback" }),
        ),
        ("/transaction", json!({ "statements": [], "end": "commit-twice" })),
        ("/transaction", json!({ "statements": [], "end": "enqueue" })),
        ("/transaction", json!({ "statements": [], "end": "publish" })),
        ("/transaction", json!({ "statements": [], "end": "query" })),
        ("/second", json!({ "sql": "DELETE FROM item" })),
    ] {
        let [old, new] = answers(&app, path, &input).await;
        assert_eq!(old, new, "{path} {input}");
    }
}

#[tokio::test]
async fn what_nobody_serves_yet_is_a_typed_error_of_each_contract() {
    let app = App::start().await;
    both(&app, CAPABILITIES_0_1, CAPABILITIES, "", &[]).await;
    let [old, new] = answers(&app, "/unavailable", &json!({})).await;
    assert_eq!(old["email"], new["email"]);
    let error = old["email"]["error"].as_str().unwrap();
    assert!(error.starts_with("Error::NotGranted("), "{error}");
    assert_eq!(old["crypto"].as_array().unwrap().len(), 4);
    assert_eq!(new["crypto"].as_array().unwrap().len(), 6);
}

#[tokio::test]
async fn a_request_of_contract_0_2_says_where_the_plugin_is_reached() {
    let app = App::configured(|config| {
        config.server.public_url = "https://api.example.com/plugins/".parse().unwrap();
    })
    .await;
    both(&app, ECHO_0_1, ECHO, "", &[]).await;
    let get = async |path: &str| {
        let call = app.get(path).header("host", "evil.example:81");
        call.send().await.expect(200).json()
    };
    let (old, new) = (get("/old/p/x").await, get("/new/p/x").await);
    assert_eq!(new["base_url"], "https://api.example.com/plugins/new/p");
    assert_eq!(new["scheme"], "https");
    assert_eq!(new["authority"], "evil.example:81");
    assert_eq!(old["base_url"], json!(null));
    assert_eq!(old["path"], new["path"]);
}

#[tokio::test]
async fn the_component_decides_and_the_manifest_has_to_agree() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    for (guest, manifest, says) in [
        (
            ECHO,
            open_manifest("p", ""),
            "built for contract 0.2, and the manifest says 0.1",
        ),
        (
            ECHO_0_1,
            open_manifest("p", "").replace("[plugin]", "[plugin]\ncontract = '0.2'"),
            "built for contract 0.1, and the manifest says 0.2",
        ),
    ] {
        let component = with_manifest(&std::fs::read(guest).unwrap(), &manifest);
        let reply = acme.upload("p", component).await;
        let problem = reply.expect_problem(422, "invalid-manifest").json();
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.starts_with("plugin.toml: plugin.contract: "), "{detail}");
        assert!(detail.contains(says), "{detail}");
    }
}

#[tokio::test]
async fn a_build_writes_the_contract_that_the_author_left_out() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    for (guest, contract) in [(ECHO_0_1, None), (ECHO, Some("contract = \"0.2\""))] {
        let uploaded = acme
            .upload("p", bundled(guest, &open_manifest("p", ""), &[]))
            .await;
        let uploaded = uploaded.expect(201).json();
        let version = uploaded["version"].as_str().unwrap();
        let path = acme.path(&format!("/plugins/p/versions/{version}"));
        let stored = app.admin("GET", &path).send().await.expect(200).json();
        let lines: Vec<&str> = stored["manifest"].as_str().unwrap().lines().collect();
        let written = lines.iter().find(|line| line.starts_with("contract")).copied();
        assert_eq!(written, contract);
    }
}
