//! Tests of the isolation of databases and of the grant.

use serde_json::json;
use test_artifacts::DATABASE;

use super::{SECTION, TABLES, call, count, deploy, execute, is_error, query};
use crate::app::{App, open_manifest};

#[tokio::test]
async fn each_tenant_has_a_database_of_its_own() {
    let app = App::start().await;
    deploy(&app, "acme").await;
    deploy(&app, "other").await;
    execute(&app, "INSERT INTO item (name) VALUES ('acme')", json!([])).await;
    let input = json!({ "sql": "SELECT name FROM item" });
    let reply = app.post("/other/db/query").json(&input).send().await.expect(200);
    assert_eq!(reply.json()["ok"]["rows"], json!([]));
    assert_eq!(count(&app).await, 1);
}

#[tokio::test]
async fn the_plugins_of_a_tenant_share_its_database() {
    let app = App::start().await;
    let acme = deploy(&app, "acme").await;
    let second = open_manifest("second", "[database]\n");
    acme.deploy(DATABASE, &second, &[]).await;
    execute(&app, "INSERT INTO item (name) VALUES ('shared')", json!([])).await;
    let input = json!({ "sql": "SELECT name FROM item" });
    let reply = app
        .post("/acme/second/query")
        .json(&input)
        .send()
        .await
        .expect(200);
    assert_eq!(reply.json()["ok"]["rows"], json!([["shared"]]));
}

#[tokio::test]
async fn without_a_grant_every_call_is_refused() {
    let app = App::start().await;
    let acme = deploy(&app, "acme").await;
    let unasked = open_manifest("db", "");
    for revoked in [true, false] {
        if revoked {
            acme.grant("db", &json!({})).await;
        } else {
            // It is granted, but the manifest does not request it.
            acme.deploy(DATABASE, &unasked, &[]).await;
            acme.grant("db", &json!({ "database": true })).await;
        }
        for (path, input) in [
            ("/query", json!({ "sql": "SELECT 1" })),
            ("/execute", json!({ "sql": "DELETE FROM item" })),
            ("/cursor", json!({ "sql": "SELECT 1" })),
            ("/transaction", json!({ "statements": [], "end": "commit" })),
        ] {
            is_error(
                &call(&app, path, input).await,
                "unavailable",
                "no grant for the database",
            );
        }
    }
    acme.deploy(DATABASE, &open_manifest("db", SECTION), &[TABLES])
        .await;
    assert!(query(&app, "SELECT 1", json!([])).await["ok"].is_object());
}

#[tokio::test]
async fn a_purged_tenant_leaves_nothing_to_one_of_the_same_name() {
    let app = App::start().await;
    let acme = deploy(&app, "acme").await;
    execute(&app, "INSERT INTO item (name) VALUES ('old')", json!([])).await;
    app.admin("DELETE", &acme.path("?purge=true"))
        .send()
        .await
        .expect(204);
    app.post("/acme/db/query")
        .send()
        .await
        .expect_problem(404, "not-found");
    deploy(&app, "acme").await;
    assert_eq!(count(&app).await, 0);
}
