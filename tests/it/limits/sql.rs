//! Tests of the limits of SQL.

use serde_json::{Value, json};
use test_artifacts::DATABASE;

use super::{around, bytes, usage};
use crate::app::{App, Reply, TestTenant, open_manifest};

const TABLE: (&str, &str) = (
    "migrations/0001_item.sql",
    "CREATE TABLE item (id INTEGER PRIMARY KEY, content BLOB);",
);

async fn deploy<'a>(app: &'a App, tenant: &str) -> TestTenant<'a> {
    let tenant = app.tenant(tenant).await;
    let manifest = open_manifest("db", "[database]\nmigrations = 'migrations'\n");
    tenant.deploy(DATABASE, &manifest, &[TABLE]).await;
    tenant
}

async fn post(app: &App, tenant: &str, path: &str, input: Value) -> Reply {
    let call = app.post(&format!("/{tenant}/db{path}")).json(&input);
    call.send().await.expect(200)
}

#[track_caller]
fn is_limit(reply: &Reply, reason: &str) {
    let answer = reply.json();
    assert_eq!(answer["error"], "limit", "{answer}");
    let message = answer["message"].as_str().unwrap();
    assert!(message.contains(reason), "{message}");
}

#[tokio::test]
pub async fn sql_statements() {
    let app = App::start().await;
    let acme = deploy(&app, "acme").await;
    let insert = "INSERT INTO item (content) VALUES (NULL)";
    let three = json!({ "statements": [insert, insert, insert], "end": "commit" });
    for (limit, fits) in around(3) {
        acme.limit(&json!({ "sql_statements": limit })).await;
        let reply = post(&app, "acme", "/transaction", three.clone()).await;
        if fits {
            assert_eq!(reply.json(), json!({ "ok": [1, 1, 1] }));
            assert_eq!(usage(&acme, &reply, "sql_statements").await, 3);
        } else {
            is_limit(&reply, "its 2 SQL statements");
        }
    }
}

#[tokio::test]
pub async fn sql_time() {
    let app = App::start().await;
    let acme = deploy(&app, "acme").await;
    let endless = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
    acme.limit(&json!({ "sql_time": "20ms", "wall": "60s" })).await;
    let reply = post(&app, "acme", "/query", json!({ "sql": endless })).await;
    is_limit(&reply, "took longer");
    assert!(usage(&acme, &reply, "sql_statement_us").await >= 20_000);
    acme.limit(&json!({ "sql_time": "30s", "wall": "60s" })).await;
    let reply = post(&app, "acme", "/query", json!({ "sql": "SELECT 1" })).await;
    assert_eq!(reply.json()["ok"]["rows"], json!([[1]]));
    let used = usage(&acme, &reply, "sql_statement_us").await;
    assert!((1..30_000_000).contains(&used), "{used}");
    assert_eq!(usage(&acme, &reply, "sql_us").await, used);
}

#[tokio::test]
pub async fn sql_rows() {
    let app = App::start().await;
    let acme = deploy(&app, "acme").await;
    let ten = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10) SELECT i FROM n";
    for (limit, fits) in around(10) {
        acme.limit(&json!({ "sql_rows": limit })).await;
        let reply = post(&app, "acme", "/query", json!({ "sql": ten })).await;
        if fits {
            assert_eq!(usage(&acme, &reply, "sql_result_rows").await, 10);
        } else {
            is_limit(&reply, "9 rows");
        }
    }
}

#[tokio::test]
pub async fn sql_bytes() {
    let app = App::start().await;
    let acme = deploy(&app, "acme").await;
    let query = async || post(&app, "acme", "/query", json!({ "sql": "SELECT 'x', 1, NULL" })).await;
    let needed = usage(&acme, &query().await, "sql_result_bytes").await;
    assert!(needed > 3, "{needed}");
    for (limit, fits) in around(needed) {
        acme.limit(&json!({ "sql_bytes": bytes(limit) })).await;
        let reply = query().await;
        if fits {
            assert_eq!(usage(&acme, &reply, "sql_result_bytes").await, needed);
        } else {
            is_limit(&reply, "bytes");
        }
    }
}

/// SQLite can work without some of the memory that it requests, so less than the measured amount is
/// enough. A value needs all of its memory.
#[tokio::test]
pub async fn sql_memory() {
    let app = App::start().await;
    let letters = |count: usize| {
        (0..count)
            .map(|number| format!("$1 || '{number}'"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let query =
        json!({ "sql": format!("SELECT length(max({}))", letters(30)), "params": ["x".repeat(300_000)] });
    let first = deploy(&app, "first").await;
    let reply = post(&app, "first", "/query", query.clone()).await;
    let needed = usage(&first, &reply, "sql_memory_bytes").await;
    assert!(needed > 9_000_000, "{needed}");
    for (limit, fits) in [(needed - 1_000_000, false), (needed, true), (needed + 1, true)] {
        let name = format!("m{limit}");
        let tenant = deploy(&app, &name).await;
        tenant.limit(&json!({ "sql_memory": bytes(limit) })).await;
        let reply = post(&app, &name, "/query", query.clone()).await;
        if fits {
            assert_eq!(reply.json()["ok"]["rows"], json!([[300_001]]));
            assert!(usage(&tenant, &reply, "sql_memory_bytes").await <= limit);
        } else {
            is_limit(&reply, "`sql_memory`");
            // Neither other tenants nor the tenant's next statement are affected.
            let other = post(&app, "first", "/query", json!({ "sql": "SELECT 1" })).await;
            assert_eq!(other.json()["ok"]["rows"], json!([[1]]));
            let next = post(&app, &name, "/query", json!({ "sql": "SELECT 1" })).await;
            assert_eq!(next.json()["ok"]["rows"], json!([[1]]));
        }
    }
}

/// The size on disk is a number of pages, so one byte less is one page less.
#[tokio::test]
pub async fn database_size() {
    let app = App::start().await;
    let insert = json!({ "sql": "INSERT INTO item (content) VALUES ($1)", "params": ["x".repeat(50_000)] });
    let first = deploy(&app, "first").await;
    let reply = post(&app, "first", "/execute", insert.clone()).await;
    let needed = usage(&first, &reply, "database_bytes").await;
    assert!(needed > 50_000, "{needed}");
    for (index, (limit, fits)) in around(needed).into_iter().enumerate() {
        let name = format!("t{index}");
        let tenant = deploy(&app, &name).await;
        tenant.limit(&json!({ "database_size": bytes(limit) })).await;
        let reply = post(&app, &name, "/execute", insert.clone()).await;
        if fits {
            assert_eq!(reply.json(), json!({ "ok": 1 }));
            assert_eq!(usage(&tenant, &reply, "database_bytes").await, needed);
        } else {
            is_limit(&reply, "database_size");
        }
    }
}
