//! Tests of unreadable rows: they stop only their tenant or version, are reported to the operator,
//! and work again when repaired.

use rusqlite::Connection;
use serde_json::{Value, json};
use test_artifacts::ECHO;

use crate::app::{App, open_database, open_manifest};

/// The tables whose rows are read to serve a tenant's requests.
const TABLES: [(&str, &str); 7] = [
    ("tenants", "id"),
    ("plugins", "tenant"),
    ("versions", "tenant"),
    ("grants", "tenant"),
    ("config", "tenant"),
    ("secrets", "tenant"),
    ("api_keys", "tenant"),
];

/// The control plane's database. The host also writes to it now and then, and a test that waits for
/// its lock blocks its thread, so such a test needs several threads.
fn database(app: &App) -> Connection {
    let folder = app.files("components")[0].parent().unwrap().to_owned();
    let connection = open_database(folder.with_file_name("mortise.db"));
    // The damage may violate foreign keys.
    connection.pragma_update(None, "foreign_keys", false).unwrap();
    connection
}

async fn node(app: &App) -> Value {
    app.admin("GET", "/node").send().await.expect(200).json()
}

/// A tenant with a row in every table, and one that must not be affected.
async fn two_tenants(app: &App) {
    let good = app.tenant("good").await;
    good.deploy(ECHO, &open_manifest("echo", ""), &[]).await;
    let acme = app.tenant("acme").await;
    acme.deploy(ECHO, &open_manifest("echo", "").replace("1.0.0", "2.0.0"), &[])
        .await;
    acme.deploy(ECHO, &open_manifest("other", ""), &[]).await;
    acme.configure("echo", &json!({ "currency": "EUR" })).await;
    acme.secret("key", "value").await;
    acme.key(&["orders:read"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_cannot_be_read_stops_its_own_tenant_at_most() {
    let mut app = App::start().await;
    two_tenants(&app).await;
    let mut stopped = Vec::new();
    for (table, owner) in TABLES {
        let columns: Vec<(String, String)> = {
            let database = database(&app);
            let mut columns = database
                .prepare("SELECT name, type FROM pragma_table_info(?1)")
                .unwrap();
            let columns = columns
                .query_map([table], |row| Ok((row.get(0)?, row.get(1)?)))
                .unwrap();
            columns.collect::<Result<_, _>>().unwrap()
        };
        for (column, kind) in columns {
            let is_of_acme = format!("{owner} = (SELECT id FROM tenants WHERE name = 'acme')");
            let damage = match kind.as_str() {
                "INTEGER" => "-9223372036854775808",
                "BLOB" => "x'00'",
                _ => "'{ damaged'",
            };
            {
                let database = database(&app);
                let copy =
                    format!("CREATE TABLE damaged AS SELECT rowid AS r, * FROM {table} WHERE {is_of_acme}");
                database.execute_batch(&copy).unwrap();
                // Two rows cannot get the same damaged value in a key, so one row is damaged.
                let rows = "(SELECT MIN(r) FROM damaged)";
                let harm = format!("UPDATE {table} SET {column} = {damage} WHERE rowid = {rows}");
                database.execute_batch(&harm).unwrap();
            }
            app = app.restart().await;
            let at = format!("{table}.{column}");
            app.get("/good/echo/x").send().await.expect(200);
            app.admin("GET", "/tenants/good").send().await.expect(200);
            app.admin("GET", "/tenants").send().await.expect(200);
            let reply = app.get("/acme/echo/x").send().await;
            let node = node(&app).await;
            let named = [&node["unavailable"], &node["unreadable_rows"]];
            let is_named = named.iter().any(|list| !list.as_array().unwrap().is_empty());
            if reply.status != 200 {
                stopped.push(at.clone());
                assert!(is_named, "{at}: {node}");
            }
            if table == "tenants" && ["id", "limits"].contains(&column.as_str()) {
                let wanted = format!("mortise.db has a value that cannot be read in the column `{column}`: ");
                assert!(node.to_string().contains(&wanted), "{at}: {node}");
            }
            {
                let database = database(&app);
                let columns = format!("({column}) = (SELECT {column} FROM damaged ORDER BY r LIMIT 1)");
                let mend = format!("UPDATE {table} SET {columns} WHERE rowid = (SELECT MIN(r) FROM damaged)");
                let mended = database.execute_batch(&mend);
                mended.unwrap_or_else(|error| panic!("{at}: {error}"));
                database.execute_batch("DROP TABLE damaged").unwrap();
            }
            app.host.maintain().await;
            if !at.ends_with(".id") && !at.ends_with(".name") {
                app.get("/acme/echo/x").send().await.expect(200);
            }
        }
    }
    for wanted in [
        "tenants.limits",
        "tenants.plan",
        "versions.manifest",
        "grants.grants",
    ] {
        assert!(stopped.iter().any(|at| at == wanted), "{wanted} in {stopped:?}");
    }
}

#[tokio::test]
async fn a_plugin_without_its_files_is_unavailable_until_they_are_back() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    acme.deploy(ECHO, &open_manifest("echo", ""), &[]).await;
    let kept = app.files("components").into_iter().chain(app.files("compiled"));
    let kept: Vec<_> = kept
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect();
    for (path, _) in &kept {
        std::fs::remove_file(path).unwrap();
    }
    let app = app.restart().await;
    app.get("/acme/echo/x")
        .send()
        .await
        .expect_problem(503, "unavailable");
    let unavailable = node(&app).await["unavailable"].clone();
    assert_eq!(
        (&unavailable[0]["tenant"], &unavailable[0]["plugin"]),
        (&json!("acme"), &json!("echo"))
    );
    let plugin = app
        .admin("GET", "/tenants/acme/plugins/echo")
        .send()
        .await
        .expect(200)
        .json();
    assert_eq!(plugin["health"]["state"], "unavailable");
    assert_eq!(plugin["health"]["reason"], unavailable[0]["reason"]);
    app.host.maintain().await;
    app.get("/acme/echo/x")
        .send()
        .await
        .expect_problem(503, "unavailable");
    for (path, content) in kept {
        std::fs::write(path, content).unwrap();
    }
    app.host.maintain().await;
    app.get("/acme/echo/x").send().await.expect(200);
    assert_eq!(node(&app).await["unavailable"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_revoked_is_never_served_because_it_cannot_be_read_back() {
    let app = App::start().await;
    two_tenants(&app).await;
    app.admin("PUT", "/plans/odd")
        .json(&json!({}))
        .send()
        .await
        .expect(200);
    let on_plan = json!({ "plan": "odd" });
    app.admin("PATCH", "/tenants/acme")
        .json(&on_plan)
        .send()
        .await
        .expect(200);
    let damage = |limits: &str| {
        let harm = "UPDATE plans SET limits = ?1 WHERE name = 'odd'";
        database(&app).execute(harm, [limits]).unwrap();
    };
    damage("{ damaged");
    // Nothing was changed, so the tenant is still served.
    app.get("/acme/echo/x").send().await.expect(200);
    app.admin("DELETE", "/tenants/acme/secrets/key")
        .send()
        .await
        .expect(204);
    app.get("/acme/echo/x")
        .send()
        .await
        .expect_problem(503, "unavailable");
    app.host.maintain().await;
    app.get("/acme/echo/x")
        .send()
        .await
        .expect_problem(503, "unavailable");
    damage("{}");
    app.host.maintain().await;
    app.get("/acme/echo/x").send().await.expect(200);

    damage("{ damaged");
    app.admin("DELETE", "/tenants/acme").send().await.expect(204);
    app.get("/acme/echo/x")
        .send()
        .await
        .expect_problem(404, "not-found");
    app.get("/good/echo/x").send().await.expect(200);
}
