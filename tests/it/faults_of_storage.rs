//! Tests of storage faults: who is affected, and which errors they get.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use test_artifacts::{DATABASE, ECHO};

use crate::app::{App, bundled, open_manifest};

const DATABASE_SECTION: &str = "[database]\nmigrations = 'migrations'\n";
const TABLES: (&str, &str) = (
    "migrations/0001_tables.sql",
    "CREATE TABLE item (id INTEGER PRIMARY KEY);",
);
/// Internal words that must not appear in responses.
const INSIDE: [&str; 8] = [
    "sqlite",
    "sqlx",
    "rusqlite",
    "/tmp",
    "mortise.db",
    ".rs",
    "panicked",
    "BEGIN",
];

#[track_caller]
fn tells_nothing(text: &str) {
    for word in INSIDE {
        assert!(!text.contains(word), "`{word}` in {text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_control_plane_is_locked_changes_wait_and_requests_go_on() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    acme.deploy(ECHO, &open_manifest("echo", ""), &[]).await;
    let data = app.files("components")[0]
        .parent()
        .unwrap()
        .with_file_name("mortise.db");
    let other = crate::app::open_database(data);
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let body = json!({ "name": "locked" });
    let refused = app.admin("POST", "/tenants").json(&body).send().await;
    let refused = refused.expect_problem(503, "unavailable");
    tells_nothing(&refused.text());
    assert!(!refused.header("retry-after").is_empty());
    app.get("/acme/echo/x").send().await.expect(200);
    app.admin("GET", "/tenants/acme").send().await.expect(200);
    other.execute_batch("ROLLBACK").unwrap();
    app.admin("POST", "/tenants").json(&body).send().await.expect(201);
}

#[tokio::test]
async fn an_upload_that_cannot_be_stored_is_refused_for_now() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    acme.deploy(ECHO, &open_manifest("echo", ""), &[]).await;
    let folder = app.files("components")[0].parent().unwrap().to_owned();
    let aside = folder.with_file_name("aside");
    // A folder is replaced by a file: every write fails, as on a full disk.
    std::fs::rename(&folder, &aside).unwrap();
    std::fs::write(&folder, "").unwrap();
    let component = bundled(DATABASE, &open_manifest("db", "[database]\n"), &[]);
    let refused = acme
        .upload("db", component.clone())
        .await
        .expect_problem(503, "unavailable");
    tells_nothing(&refused.text());
    app.get("/acme/echo/x").send().await.expect(200);
    std::fs::remove_file(&folder).unwrap();
    std::fs::rename(&aside, &folder).unwrap();
    acme.upload("db", component).await.expect(201);
}

#[tokio::test]
async fn a_damaged_database_is_its_tenants_trouble_and_shown_to_the_operator() {
    let app = App::start().await;
    let manifest = open_manifest("db", DATABASE_SECTION);
    let globex = app.tenant("globex").await;
    globex.deploy(DATABASE, &manifest, &[TABLES]).await;
    let query = json!({ "sql": "SELECT count(*) FROM item", "params": [] });
    let ask = async |tenant: &str, app: &App| {
        let path = format!("/{tenant}/db/query");
        app.post(&path).json(&query).send().await.expect(200).json()
    };
    // The new file is the second tenant's.
    let databases = || {
        app.files("databases")
            .into_iter()
            .filter(|file| file.extension().is_some_and(|kind| kind == "db"))
    };
    let before: Vec<PathBuf> = databases().collect();
    let acme = app.tenant("acme").await;
    acme.deploy(DATABASE, &manifest, &[TABLES]).await;
    acme.deploy_bundled(crate::conformance::bundled()).await;
    let file = databases().find(|file| !before.contains(file)).unwrap();
    assert_eq!(ask("globex", &app).await["ok"]["rows"][0][0], 0);
    // The database is closed, so that its log is not written into the damaged file.
    let app = app.restart().await;
    let log = PathBuf::from(format!("{}-wal", file.display()));
    let closed = async {
        while log.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), closed)
        .await
        .unwrap();
    std::fs::write(&file, b"not a database at all ".repeat(1_000)).unwrap();

    for _ in 0..3 {
        let answer = ask("acme", &app).await;
        assert_eq!(answer["error"], "unavailable", "{answer}");
        tells_nothing(&answer.to_string());
    }
    // This plugin of the SDK returns the error with `?`.
    let reply = app.get("/acme/conformance/booleans").send().await;
    let reply = reply.expect_problem(503, "unavailable");
    assert_eq!(reply.header("retry-after"), "10");
    tells_nothing(&reply.text());
    assert_eq!(ask("globex", &app).await["ok"]["rows"][0][0], 0);
    let node = app.admin("GET", "/node").send().await.expect(200).json();
    let name = file.file_name().unwrap().to_str().unwrap();
    assert_eq!(
        node["damaged_databases"],
        json!([{ "tenant": "acme", "file": name }])
    );
    let active = app
        .admin("GET", "/tenants/acme/plugins/db")
        .send()
        .await
        .expect(200)
        .json();
    let version = json!({ "version": active["active"] });
    let path = "/tenants/acme/plugins/db/activation";
    let refused = app.admin("PUT", path).json(&version).send().await;
    tells_nothing(&refused.expect_problem(503, "unavailable").text());
}

#[tokio::test]
async fn a_plugin_that_cannot_be_built_is_unavailable_and_not_absent() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    let manifest = "[plugin]\nname = 'checked'\nversion = '1'\n[[route]]\nmethod = 'POST'\npath = '/x'\n\
                    auth = 'public'\nrequest = 'any.json'\n";
    let version = acme.deploy(ECHO, manifest, &[("any.json", "{}")]).await;
    acme.deploy(ECHO, &open_manifest("echo", ""), &[]).await;
    let digest = version.strip_prefix("sha256:").unwrap();
    let files = app.files("components");
    let file = files.iter().find(|file| file.to_str().unwrap().contains(digest));
    std::fs::write(file.unwrap(), "damaged").unwrap();
    let app = app.restart().await;

    let post = || app.post("/acme/checked/x").json(&json!({})).send();
    let reply = post().await.expect_problem(503, "unavailable");
    assert_eq!(reply.header("retry-after"), "60");
    tells_nothing(&reply.text());
    // An unknown path is not distinguishable either.
    app.get("/acme/checked/nowhere")
        .send()
        .await
        .expect_problem(503, "unavailable");
    app.get("/acme/nothing/x")
        .send()
        .await
        .expect_problem(404, "not-found");
    app.get("/acme/echo/x").send().await.expect(200);

    let plugin = async |name: &str| {
        let path = format!("/tenants/acme/plugins/{name}");
        app.admin("GET", &path).send().await.expect(200).json()["health"].clone()
    };
    let health = plugin("checked").await;
    assert_eq!(health["state"], "unavailable");
    tells_nothing(health["reason"].as_str().unwrap());
    assert_eq!(plugin("echo").await, json!({ "state": "healthy", "routes": [] }));
}

#[tokio::test]
async fn a_database_that_is_gone_is_not_replaced_by_an_empty_one() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    acme.deploy(DATABASE, &open_manifest("db", DATABASE_SECTION), &[TABLES])
        .await;
    let query = json!({ "sql": "SELECT count(*) FROM item", "params": [] });
    let ask = async |app: &App| {
        app.post("/acme/db/query")
            .json(&query)
            .send()
            .await
            .expect(200)
            .json()
    };
    assert_eq!(ask(&app).await["ok"]["rows"][0][0], 0);
    let mut app = app;
    for is_empty in [false, true] {
        let mut kept = PathBuf::new();
        app = app
            .restart_after(
                async |data| {
                    let entries = std::fs::read_dir(data.join("databases")).unwrap();
                    let files = entries.map(|entry| entry.unwrap().path());
                    let file = files
                        .into_iter()
                        .find(|file| file.extension().is_some_and(|kind| kind == "db"));
                    kept = file.unwrap();
                    std::fs::copy(&kept, data.join("copy")).unwrap();
                    std::fs::remove_file(&kept).unwrap();
                    if is_empty {
                        std::fs::write(&kept, "").unwrap();
                    }
                },
                |_| {},
            )
            .await;
        let refused = ask(&app).await;
        assert!(
            refused["error"].as_str().unwrap().contains("unavailable"),
            "{refused}"
        );
        let node = app.admin("GET", "/node").send().await.expect(200).json();
        assert_eq!(node["damaged_databases"][0]["tenant"], "acme");
        assert_eq!(kept.exists(), is_empty);
        std::fs::copy(kept.parent().unwrap().with_file_name("copy"), &kept).unwrap();
        assert_eq!(ask(&app).await["ok"]["rows"][0][0], 0);
    }
}
