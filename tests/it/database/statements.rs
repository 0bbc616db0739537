//! Tests of single statements: values, typed errors, limits and cursors.

use serde_json::{Value, json};

use super::{call, count, deploy, execute, is_error, query};
use crate::app::App;

const INSERT: &str = "INSERT INTO item (id, name, price, picture, parent) VALUES ($1, $2, $3, $4, $5)";

#[tokio::test]
async fn values_come_back_as_they_went() {
    let app = App::start().await;
    let acme = deploy(&app, "acme").await;
    let row = json!([1, "Ä'; DROP TABLE item; --", 2.5, [0, 255], null]);
    assert_eq!(execute(&app, INSERT, row.clone()).await, json!({ "ok": 1 }));
    let all = query(&app, "SELECT * FROM item", json!([])).await;
    let columns = ["id", "name", "price", "picture", "parent"];
    assert_eq!(all["ok"], json!({ "columns": columns, "rows": [row] }));

    let sql = "SELECT $1, $2, $3, $1";
    let echoed = query(&app, sql, json!([i64::MIN, true, ""])).await;
    assert_eq!(echoed["ok"]["rows"], json!([[i64::MIN, 1, "", i64::MIN]]));

    let input = json!({ "sql": "UPDATE item SET price = 3 WHERE id < 9" });
    let reply = app.post("/acme/db/execute").json(&input).send().await.expect(200);
    assert_eq!(reply.json(), json!({ "ok": 1 }));
    assert_eq!(acme.invocation(&reply).await["usage"]["sql_statements"], 1);
    let returned = query(&app, "DELETE FROM item RETURNING name", json!([])).await;
    assert_eq!(returned["ok"]["rows"][0][0], row[1]);
    assert_eq!(count(&app).await, 0);
}

#[tokio::test]
async fn what_goes_wrong_has_its_type() {
    let app = App::start().await;
    deploy(&app, "acme").await;
    execute(&app, INSERT, json!([1, "a", 1, null, null])).await;
    for (row, kind) in [
        (json!([1, "b", 1, null, null]), "Unique"),
        (json!([2, "a", 1, null, null]), "Unique"),
        (json!([2, null, 1, null, null]), "NotNull"),
        (json!([2, "b", -1, null, null]), "Check"),
        (json!([2, "b", 1, null, 77]), "ForeignKey"),
    ] {
        is_error(&execute(&app, INSERT, row).await, "constraint", kind);
    }
    for (sql, params, reason) in [
        ("SELEKT 1", json!([]), "syntax error"),
        ("", json!([]), ""),
        ("SELECT * FROM absent", json!([]), "no such table"),
        ("SELECT absent FROM item", json!([]), "no such column"),
        ("SELECT $1", json!([]), ""),
        ("SELECT $1", json!([1, 2]), ""),
        ("SELECT 1; SELECT 2", json!([]), "one statement"),
    ] {
        is_error(&query(&app, sql, params).await, "invalid", reason);
    }
    assert_eq!(count(&app).await, 1);
}

#[tokio::test]
async fn statements_that_a_plugin_may_not_run_are_denied() {
    let app = App::start().await;
    deploy(&app, "acme").await;
    for sql in [
        "ATTACH '/etc/passwd' AS x",
        "ATTACH ':memory:' AS x",
        "VACUUM INTO '/tmp/stolen'",
        "PRAGMA writable_schema = ON",
        "PRAGMA database_list",
        "SELECT * FROM pragma_table_info('item')",
        "BEGIN",
        "COMMIT",
        "SAVEPOINT a",
        "CREATE TABLE more (a)",
        "CREATE TEMP TABLE more (a)",
        "DROP TABLE item",
        "ALTER TABLE item RENAME TO thing",
        "SELECT load_extension('x')",
        "SELECT * FROM _mortise_migrations",
        "DELETE FROM _MORTISE_migrations",
        "DELETE FROM sqlite_sequence",
    ] {
        for path in ["/query", "/execute", "/cursor"] {
            let answer = call(&app, path, json!({ "sql": sql })).await;
            let error = answer["error"]
                .as_str()
                .unwrap_or_else(|| panic!("{sql}: {answer}"));
            assert!(matches!(error, "denied" | "invalid"), "{sql}: {answer}");
        }
    }
    is_error(
        &query(&app, "SELECT * FROM _mortise_migrations", json!([])).await,
        "denied",
        "_mortise",
    );
    is_error(
        &execute(&app, "DROP TABLE item", json!([])).await,
        "denied",
        "migrations",
    );
    is_error(&execute(&app, "BEGIN", json!([])).await, "denied", "`begin`");
    assert_eq!(count(&app).await, 0);
}

#[tokio::test]
async fn the_hosts_tables_cannot_be_read_by_a_detour() {
    let app = App::start().await;
    deploy(&app, "acme").await;
    for sql in [
        "SELECT 1 FROM item WHERE EXISTS (SELECT 1 FROM _mortise_migrations)",
        "WITH m AS (SELECT name FROM main._mortise_migrations) SELECT * FROM m",
        "SELECT item.id FROM item LEFT JOIN \"_mortise_migrations\" AS m ON m.name = item.name",
        "INSERT INTO item (name) SELECT name FROM [_mortise_migrations]",
        "UPDATE item SET name = (SELECT max(name) FROM _Mortise_Migrations)",
    ] {
        is_error(&execute(&app, sql, json!([])).await, "denied", "the host's own");
    }
    assert_eq!(count(&app).await, 0);
}

#[tokio::test]
async fn results_and_statements_are_bounded() {
    let app = App::start().await;
    let acme = deploy(&app, "acme").await;
    acme.limit(&json!({ "sql_rows": 10, "sql_bytes": "1KiB", "sql_statements": 3, "sql_time": "50ms" }))
        .await;
    let numbers = |upto: u32| {
        format!(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {upto}) SELECT i FROM n"
        )
    };
    let ten = query(&app, &numbers(10), json!([])).await;
    assert_eq!(ten["ok"]["rows"].as_array().unwrap().len(), 10);
    is_error(&query(&app, &numbers(11), json!([])).await, "limit", "10");
    is_error(
        &query(&app, "SELECT $1", json!(["x".repeat(2_000)])).await,
        "limit",
        "",
    );
    let endless = format!("SELECT count(*) FROM ({})", numbers(2_000_000_000));
    is_error(&query(&app, &endless, json!([])).await, "limit", "took longer");

    let insert = |id: u32| format!("INSERT INTO item (id, name) VALUES ({id}, 'n{id}')");
    let three: Vec<String> = (1..=3).map(insert).collect();
    let input = json!({ "statements": three, "end": "commit" });
    assert_eq!(
        call(&app, "/transaction", input).await,
        json!({ "ok": [1, 1, 1] })
    );
    let four: Vec<String> = (4..=7).map(insert).collect();
    let input = json!({ "statements": four, "end": "commit" });
    is_error(
        &call(&app, "/transaction", input).await,
        "limit",
        "its 3 SQL statements",
    );
    assert_eq!(count(&app).await, 3);
}

#[tokio::test]
async fn a_cursor_gives_a_large_result_in_pieces() {
    let app = App::start().await;
    let acme = deploy(&app, "acme").await;
    let sql = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 7) SELECT i, 'x' AS x FROM n";
    let cursor =
        async |max: u64| call(&app, "/cursor", json!({ "sql": sql, "max": max })).await["ok"].clone();
    assert_eq!(
        cursor(3).await,
        json!({ "columns": ["i", "x"], "pieces": [3, 3, 1] })
    );
    assert_eq!(cursor(100).await["pieces"], json!([7]));
    // Zero rows would look like the end.
    assert_eq!(cursor(0).await["pieces"], json!([1, 1, 1, 1, 1, 1, 1]));
    acme.limit(&json!({ "sql_rows": 4 })).await;
    assert_eq!(cursor(u64::MAX).await["pieces"], json!([4, 3]));

    let writing = json!({ "sql": "DELETE FROM item" });
    assert!(call(&app, "/cursor", writing).await["error"].is_string());
    let empty = json!({ "sql": "SELECT id FROM item" });
    assert_eq!(
        call(&app, "/cursor", empty).await["ok"],
        json!({ "columns": ["id"], "pieces": [] })
    );
    let reply = app
        .post("/acme/db/cursor")
        .json(&json!({ "sql": sql, "max": 3 }))
        .send()
        .await;
    assert_eq!(acme.invocation(&reply).await["usage"]["sql_rows"], 7);
}

#[tokio::test]
async fn the_file_has_a_size() {
    let app = App::start().await;
    let acme = deploy(&app, "acme").await;
    acme.limit(&json!({ "database_size": "256KiB" })).await;
    let picture = Value::from(vec![7; 20_000]);
    let mut answer = Value::Null;
    for id in 0..20 {
        answer = execute(&app, INSERT, json!([id, format!("n{id}"), 1, picture, null])).await;
        if answer["error"].is_string() {
            break;
        }
    }
    is_error(&answer, "limit", "database_size");
    assert!(
        execute(&app, "DELETE FROM item", json!([])).await["ok"]
            .as_u64()
            .unwrap()
            > 5
    );
}
