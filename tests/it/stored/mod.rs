//! Tests that a data folder of commit 8ac4cda can be used: control database, tenant database,
//! components and keys.
//!
//! The folder is built from SQL text and guest sources, without the current code of the host: the
//! SQL, the custom section and the credentials are as that commit wrote them.

mod folder;

use serde_json::{Value, json};

use crate::app::{App, Reply, bundled};
use folder::{API_KEY, TIME, VIEWER_TOKEN};

async fn found() -> App {
    let folder = tempfile::tempdir().unwrap();
    folder::write(&folder.path().join("data"));
    App::found(folder, TIME).await
}

async fn post(app: &App, path: &str, body: &Value) -> Reply {
    app.post(path).json(body).send().await
}

async fn operator(app: &App, path: &str) -> Value {
    app.admin("GET", path).send().await.expect(200).json()
}

/// Checks that the stored plugins are served.
async fn assert_served(app: &App) {
    let select = json!({ "sql": "SELECT id, name, label FROM item WHERE id = 1" });
    let rows = post(app, "/acme/database/query", &select).await.expect(200);
    assert_eq!(rows.json()["ok"]["rows"], json!([[1, " first ", "first"]]));
    let refused = post(app, "/acme/database/query", &json!({ "sql": 1 })).await;
    assert_eq!(refused.expect(400).json()["code"], "validation-failed");

    let secret = json!({ "name": "stripe_key" });
    let secret = post(app, "/acme/capabilities/secrets/reveal", &secret).await;
    assert_eq!(secret.expect(200).json(), json!({ "ok": "sk_test_stored" }));
    let greeting = post(app, "/acme/capabilities/config", &json!({ "key": "greeting" })).await;
    assert_eq!(greeting.expect(200).json(), json!("hello"));

    app.get("/acme/capabilities/context").send().await.expect(401);
    let context = app.get("/acme/capabilities/context").bearer(API_KEY).send().await;
    let context = context.expect(200).json();
    assert_eq!(context["version"], "1.1.0");
    assert_eq!(context["principal"]["scopes"], json!(["orders:read"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_folder_is_served_from_and_so_is_what_the_next_start_finds() {
    let app = found().await;
    assert_served(&app).await;
    let written = json!({ "sql": "INSERT INTO item (name) VALUES ('second')" });
    post(&app, "/acme/database/execute", &written).await.expect(200);
    let app = app.restart().await;
    assert_served(&app).await;
    let count = json!({ "sql": "SELECT count(*) FROM item" });
    let count = post(&app, "/acme/database/query", &count).await.expect(200);
    assert_eq!(count.json()["ok"]["rows"], json!([[2]]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_control_database_recorded_is_told() {
    let app = found().await;
    let tenant = operator(&app, "/tenants/acme").await;
    assert_eq!(tenant["plan"], "large");
    assert_eq!(tenant["limits"], json!({ "concurrency": 16 }));
    assert_eq!(operator(&app, "/plans/large").await["limits"]["sql_rows"], 20_000);

    let token = VIEWER_TOKEN;
    let viewer = app.admin_as(token, "GET", "/tenants/acme/plugins").send().await;
    let plugins = viewer.expect(200).json();
    let names: Vec<_> = plugins["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|plugin| &plugin["name"])
        .collect();
    assert_eq!(names, ["capabilities", "database"]);

    let invocations = operator(&app, "/tenants/acme/invocations").await;
    assert_eq!(invocations["items"].as_array().unwrap().len(), 5);
    let first = &invocations["items"][4];
    assert_eq!(
        (&first["route"], &first["status"]),
        (&json!("/execute"), &json!(200))
    );
    let lines = operator(&app, "/tenants/acme/logs").await;
    assert_eq!(lines["items"][0]["message"], "written by an earlier host");
    let audit = operator(&app, "/tenants/acme/audit").await;
    assert_eq!(audit["items"].as_array().unwrap().len(), 13);
    // Entries of that host get the known names.
    for entry in audit["items"].as_array().unwrap() {
        assert_eq!(entry["tenant_name"], "acme", "{entry}");
    }
    let grants = operator(&app, "/tenants/acme/plugins/capabilities/grants").await;
    assert_eq!(grants["grants"]["secrets"]["reveal"], json!(["stripe_key"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_version_can_be_activated_and_a_new_one_uploaded_beside_it() {
    let app = found().await;
    let plugin = "/tenants/acme/plugins/capabilities";
    let back = app
        .admin("POST", &format!("{plugin}/activation/back"))
        .send()
        .await;
    back.expect(200);
    // Earlier hosts recorded rollbacks as explicit activations; this host records them as
    // rollbacks.
    app.admin("POST", &format!("{plugin}/activation/back"))
        .send()
        .await
        .expect_problem(409, "conflict");
    let context = app.get("/acme/capabilities/context").bearer(API_KEY).send().await;
    assert_eq!(context.expect(200).json()["version"], "1.0.0");

    let newer = bundled(
        test_artifacts::DATABASE,
        &folder::DATABASE_MANIFEST.replace("2.1.0", "2.2.0"),
        &[
            ("migrations/0001_item.sql", folder::MIGRATION),
            (
                "migrations/0002_note.sql",
                "ALTER TABLE item ADD COLUMN note TEXT;\n",
            ),
            ("schemas/statement.json", folder::SCHEMA),
        ],
    );
    let plugin = "/tenants/acme/plugins/database";
    let uploaded = app
        .admin("POST", &format!("{plugin}/versions"))
        .header("content-type", "application/wasm")
        .body(newer)
        .send()
        .await
        .expect(201)
        .json();
    let activated = app
        .admin("PUT", &format!("{plugin}/activation"))
        .json(&json!({ "version": uploaded["version"] }))
        .send()
        .await
        .expect(200)
        .json();
    assert_eq!(
        activated["migrations"],
        json!(["0002_note.sql"]),
        "the stored one is not applied again"
    );
    let select = json!({ "sql": "SELECT name, note FROM item" });
    let rows = post(&app, "/acme/database/query", &select).await.expect(200);
    assert_eq!(rows.json()["ok"]["rows"], json!([[" first ", null]]));
}
