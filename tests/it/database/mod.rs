//! Tests of the database capability, used by a guest.

mod statements;
mod tenancy;
mod transactions;

use serde_json::{Value, json};
use test_artifacts::DATABASE;

use crate::app::{App, TestTenant, open_manifest};

/// The tables that the tests use.
const TABLES: (&str, &str) = (
    "migrations/0001_tables.sql",
    "CREATE TABLE item (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        price REAL CHECK (price >= 0),
        picture BLOB,
        parent INTEGER REFERENCES item (id)
    );",
);

const SECTION: &str = "[database]\nmigrations = 'migrations'\n";

/// A tenant with the guest `database` as its plugin `db`.
async fn deploy<'a>(app: &'a App, tenant: &str) -> TestTenant<'a> {
    let tenant = app.tenant(tenant).await;
    let manifest = open_manifest("db", SECTION);
    tenant.deploy(DATABASE, &manifest, &[TABLES]).await;
    tenant
}

/// Calls `db` of `acme`.
async fn call(app: &App, path: &str, input: Value) -> Value {
    let path = format!("/acme/db{path}");
    app.post(&path).json(&input).send().await.expect(200).json()
}

async fn query(app: &App, sql: &str, params: Value) -> Value {
    call(app, "/query", json!({ "sql": sql, "params": params })).await
}

async fn execute(app: &App, sql: &str, params: Value) -> Value {
    call(app, "/execute", json!({ "sql": sql, "params": params })).await
}

/// The number of items.
async fn count(app: &App) -> Value {
    query(app, "SELECT count(*) FROM item", json!([])).await["ok"]["rows"][0][0].clone()
}

#[track_caller]
fn is_error(answer: &Value, kind: &str, reason: &str) {
    assert_eq!(answer["error"], kind, "{answer}");
    let message = answer["message"].as_str().unwrap();
    assert!(message.contains(reason), "{message}");
}
