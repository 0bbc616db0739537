//! Tests of migrations, which run at activation: all of them or none.

use serde_json::{Value, json};
use test_artifacts::{DATABASE, DATABASE_0_1};

use crate::app::{App, Reply, TestTenant, bundled, open_manifest};

const FIRST: (&str, &str) = (
    "migrations/0001_item.sql",
    "CREATE TABLE item (id INTEGER PRIMARY KEY);",
);
const SECOND: (&str, &str) = (
    "migrations/0002_more.sql",
    "CREATE TABLE more (id INTEGER PRIMARY KEY);",
);

/// Uploads a version with these migrations and activates it.
async fn activate(acme: &TestTenant<'_>, migrations: &[(&str, &str)]) -> Reply {
    activate_for("0.1", acme, migrations).await
}

/// The same for a plugin of another contract version.
async fn activate_for(contract: &str, acme: &TestTenant<'_>, migrations: &[(&str, &str)]) -> Reply {
    let manifest = open_manifest("db", "[database]\nmigrations = 'migrations'\n");
    let manifest = manifest.replace("[plugin]", &format!("[plugin]\ncontract = '{contract}'"));
    let guest = match contract {
        "0.1" => DATABASE_0_1,
        _ => DATABASE,
    };
    let uploaded = acme.upload("db", bundled(guest, &manifest, migrations)).await;
    assert!(uploaded.status.is_success(), "{}", uploaded.text());
    acme.grant("db", &json!({ "database": true })).await;
    acme.activate("db", uploaded.json()["version"].as_str().unwrap())
        .await
}

/// The tables that the plugin has.
async fn tables(app: &App) -> Value {
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE '\\_%' ESCAPE '\\' ORDER BY name";
    let call = app.post("/acme/db/query").json(&json!({ "sql": sql }));
    let rows = call.send().await.expect(200).json()["ok"]["rows"].clone();
    let rows = rows.as_array().unwrap().iter();
    rows.map(|row| row[0].clone()).collect()
}

#[tokio::test]
async fn what_is_pending_is_applied_once() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    let reply = activate(&acme, &[FIRST]).await.expect(200).json();
    assert_eq!(reply["migrations"], json!(["0001_item.sql"]));
    let reply = activate(&acme, &[FIRST]).await.expect(200).json();
    assert_eq!(reply["migrations"], json!([]));
    let reply = activate(&acme, &[FIRST, SECOND]).await.expect(200).json();
    assert_eq!(reply["migrations"], json!(["0002_more.sql"]));
    assert_eq!(tables(&app).await, json!(["item", "more"]));
}

#[tokio::test]
async fn a_failed_migration_leaves_nothing_and_the_old_version_serves() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    activate(&acme, &[FIRST]).await.expect(200);
    let failing = "CREATE TABLE half (id INTEGER);\n\nINSERT INTO absent VALUES (1);\n";
    let failing = ("migrations/0003_half.sql", failing);
    let reply = activate(&acme, &[FIRST, SECOND, failing]).await;
    let reply = reply.expect_problem(422, "migration-failed").json();
    let detail = reply["detail"].as_str().unwrap();
    assert!(detail.contains("0003_half.sql failed at line 3"), "{detail}");
    assert_eq!(tables(&app).await, json!(["item"]));

    let reply = activate(&acme, &[FIRST, SECOND]).await.expect(200).json();
    assert_eq!(reply["migrations"], json!(["0002_more.sql"]));
}

#[tokio::test]
async fn history_is_not_rewritten() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    activate(&acme, &[FIRST, SECOND]).await.expect(200);
    let edited = (FIRST.0, "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT);");
    let third = ("migrations/0003_third.sql", "CREATE TABLE third (id INTEGER);");
    for (migrations, reason) in [
        (vec![edited, SECOND], "0001_item.sql was changed"),
        (vec![FIRST, third], "0002_more.sql was applied and is missing"),
        (
            vec![FIRST, ("migrations/0002_ours.sql", third.1)],
            "0002_ours.sql is taken: 0002_more.sql was applied",
        ),
    ] {
        let reply = activate(&acme, &migrations).await;
        let reply = reply.expect_problem(422, "migration-failed").json();
        let detail = reply["detail"].as_str().unwrap();
        assert!(detail.contains(reason), "{detail}");
    }
    assert_eq!(tables(&app).await, json!(["item", "more"]));
}

#[tokio::test]
async fn a_migration_may_not_do_more_than_change_the_schema() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    for sql in [
        "ATTACH '/tmp/x.db' AS x;",
        "PRAGMA writable_schema = ON;",
        "DROP TABLE _mortise_migrations;",
        "DELETE FROM _mortise_migrations;",
        "COMMIT;",
        "CREATE TABLE _mortise_own (id INTEGER);",
    ] {
        let reply = activate(&acme, &[("migrations/0001_bad.sql", sql)]).await;
        reply.expect_problem(422, "migration-failed");
    }
    app.post("/acme/db/query")
        .send()
        .await
        .expect_problem(404, "not-found");
}

#[tokio::test]
async fn a_rollback_past_a_migration_is_warned_of() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    activate(&acme, &[FIRST]).await.expect(200);
    activate(&acme, &[FIRST, SECOND]).await.expect(200);
    let back = acme.path("/plugins/db/activation/back");
    let reply = app.admin("POST", &back).send().await.expect(200).json();
    let warning = reply["warnings"][0].as_str().unwrap();
    assert!(warning.contains("0002_more.sql"), "{warning}");
    assert_eq!(reply["migrations"], json!([]));
    assert_eq!(tables(&app).await, json!(["item", "more"]));
}

#[tokio::test]
async fn a_checkout_with_other_line_ends_is_no_change() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    let dated = "migrations/20240101120000_more.sql";
    let sql = "CREATE TABLE item (id INTEGER PRIMARY KEY);\nANALYZE;\n";
    let reply = activate(&acme, &[(FIRST.0, sql)]).await.expect(200).json();
    assert_eq!(reply["migrations"], json!(["0001_item.sql"]));
    let windows = format!("\u{feff}{}", sql.trim_end().replace('\n', "\r\n"));
    let reply = activate(&acme, &[(FIRST.0, &windows), (dated, SECOND.1)]).await;
    assert_eq!(
        reply.expect(200).json()["migrations"],
        json!(["20240101120000_more.sql"])
    );
    assert_eq!(
        tables(&app).await,
        json!(["item", "more", "sqlite_stat1", "sqlite_stat4"])
    );
}

#[tokio::test]
async fn types_that_change_values_are_warned_of_or_refused() {
    let app = App::start().await;
    let (acme, globex) = (app.tenant("acme").await, app.tenant("globex").await);
    let prices = [(
        "migrations/0001_price.sql",
        "CREATE TABLE price (amount DECIMAL(10, 2));",
    )];
    let reply = activate_for("0.1", &acme, &prices).await.expect(200).json();
    let warning = reply["warnings"][0].as_str().unwrap();
    assert!(
        warning.contains("`price.amount` is declared `DECIMAL(10, 2)`"),
        "{warning}"
    );
    let reply = activate_for("0.2", &globex, &prices).await;
    let reply = reply.expect_problem(422, "migration-failed").json();
    let detail = reply["detail"].as_str().unwrap();
    assert!(detail.contains("declare it `TEXT`"), "{detail}");
    // Applied migrations are not checked again.
    let reply = activate_for("0.2", &acme, &prices).await.expect(200).json();
    assert_eq!(reply["warnings"], json!([]));
}
