//! Tests of concurrent changes: none deadlocks, and none leaves wrong data behind.

use std::time::Duration;

use serde_json::json;
use test_artifacts::{DATABASE, ECHO};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::app::{App, bundled, open_database, open_manifest};
use crate::upload::wasm::{plugin, with_manifest};

/// If no step ends within this time, there is a deadlock. The longest steps are uploads: few of
/// them wait for the same files, and each compiles a component that is nearly empty.
const NO_PROGRESS: Duration = Duration::from_secs(120);

/// The number of rounds: twice each kind.
const ROUNDS: usize = 6;

/// Counts completed steps: uploads, activations and deletions.
#[derive(Default)]
struct Steps(watch::Sender<u64>);

impl Steps {
    /// Runs a step and counts it.
    async fn step<T>(&self, step: impl Future<Output = T>) -> T {
        let made = step.await;
        self.0.send_modify(|count| *count += 1);
        made
    }

    /// Returns if no step ends within [`NO_PROGRESS`].
    async fn until_none_ends(&self) {
        let mut steps = self.0.subscribe();
        while timeout(NO_PROGRESS, steps.changed()).await.is_ok() {}
    }
}

/// A component that was stored within this time is not removed.
const MIN_AGE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn uploads_activations_deletions_and_sweeps_never_wait_for_each_other_for_good() {
    let app = App::start().await;
    // The tenants share two components, one of which one tenant always keeps.
    let component = |version: &str| {
        let manifest = open_manifest("echo", "").replace("1.0.0", version);
        with_manifest(&plugin("", ""), &manifest)
    };
    let (echo, other) = (component("1.0.0"), component("2.0.0"));
    app.tenant("steady").await.deploy_bundled(echo.clone()).await;

    let steps = Steps::default();
    let churn = async |name: &str, first: &[u8], second: &[u8]| {
        for round in 0..ROUNDS {
            let tenant = steps.step(app.tenant(name)).await;
            let upload = async |component: &[u8]| steps.step(tenant.upload("echo", component.to_vec())).await;
            let path = tenant.path("");
            let delete = async |query: &str| {
                let call = app.admin("DELETE", &format!("{path}{query}"));
                let reply = steps.step(call.send()).await;
                assert!([204, 404].contains(&reply.status.as_u16()), "{}", reply.text());
            };
            let (one, two, ()) = tokio::join!(upload(first), upload(second), async {
                if round % 3 == 0 {
                    delete("?purge=true").await;
                }
            });
            for reply in [&one, &two] {
                let status = reply.status.as_u16();
                // Equal bytes are the same version.
                assert!([200, 201, 404].contains(&status), "{status} {}", reply.text());
            }
            if one.status == 201 && round % 3 != 0 {
                let version = one.json()["version"].as_str().unwrap().to_owned();
                let activate = steps.step(tenant.activate("echo", &version));
                let (active, ()) = tokio::join!(activate, async {
                    if round % 3 == 1 {
                        delete("").await;
                    }
                });
                let status = active.status.as_u16();
                assert!([200, 404].contains(&status), "{status} {}", active.text());
            }
            delete("?purge=true").await;
        }
    };
    let churns = async {
        tokio::join!(
            churn("acme", &echo, &other),
            churn("globex", &other, &echo),
            churn("initech", &other, &other),
        )
    };
    // Sweeps are not counted as steps, because they also end on a deadlocked host.
    let sweeps = async |ended: &watch::Sender<bool>| {
        while !*ended.borrow() {
            app.advance(MIN_AGE);
            app.host.maintain().await;
            tokio::task::yield_now().await;
        }
    };
    let all = async {
        let ended = watch::Sender::new(false);
        tokio::join!(sweeps(&ended), async {
            churns.await;
            ended.send_replace(true);
        });
        app.advance(MIN_AGE);
        app.host.maintain().await;
    };
    tokio::select! {
        () = all => {}
        () = steps.until_none_ends() => panic!("something waits for good"),
    }
    app.get("/steady/echo/x").send().await.expect(200);
    assert_eq!(
        app.files("components").len(),
        1,
        "only the steady tenant's component is left"
    );
    assert_eq!(app.files("compiled").len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspension_waits_for_no_migration() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    let manifest = open_manifest("db", "[database]\nmigrations = 'migrations'\n");
    let first = (
        "migrations/0001_first.sql",
        "CREATE TABLE first (id INTEGER PRIMARY KEY);",
    );
    let second = (
        "migrations/0002_second.sql",
        "CREATE TABLE second (id INTEGER PRIMARY KEY);",
    );
    acme.deploy(DATABASE, &manifest, &[first]).await;
    let newer = bundled(DATABASE, &manifest.replace("1.0.0", "2.0.0"), &[first, second]);
    let version = acme.upload("db", newer).await.expect(201).json()["version"].clone();
    let file = app
        .files("databases")
        .into_iter()
        .find(|file| file.extension().is_some_and(|kind| kind == "db"));
    // The migration waits for this lock, for some seconds.
    let holder = open_database(file.unwrap());
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let (reply, ()) = tokio::join!(acme.activate("db", version.as_str().unwrap()), async {
        app.until_gauges(|gauges| gauges["database_statements"] == 1)
            .await;
        acme.suspend(true).await;
        app.post("/acme/db/query")
            .send()
            .await
            .expect_problem(503, "plugin-suspended");
        let gauges = app.gauges().await;
        assert_eq!(gauges["database_statements"], 1, "the migration still waits");
        holder.execute_batch("ROLLBACK").unwrap();
    });
    reply.expect(200);
}

#[tokio::test]
async fn a_deleted_tenant_comes_back_as_it_was_until_its_grace_period_is_over() {
    let app = App::configured(|config| config.retention.deleted = "24h".parse().unwrap()).await;
    let acme = app.tenant("acme").await;
    let manifest = open_manifest("db", "[database]\nmigrations = 'migrations'\n");
    let tables = (
        "migrations/0001_tables.sql",
        "CREATE TABLE item (id INTEGER PRIMARY KEY);",
    );
    acme.deploy(DATABASE, &manifest, &[tables]).await;
    let insert = json!({ "sql": "INSERT INTO item VALUES (7)", "params": [] });
    app.post("/acme/db/execute")
        .json(&insert)
        .send()
        .await
        .expect(200);
    let query = json!({ "sql": "SELECT id FROM item", "params": [] });
    let ask = async || app.post("/acme/db/query").json(&query).send().await;
    let hours = |hours: u64| Duration::from_secs(hours * 60 * 60);

    app.admin("DELETE", &acme.path("")).send().await.expect(204);
    ask().await.expect_problem(404, "not-found");
    // First one below the limit, then at the limit.
    for passed in [hours(24) - Duration::from_millis(1), Duration::from_millis(1)] {
        app.advance(passed);
        app.host.maintain().await;
    }
    app.admin("POST", &acme.path("/restore")).send().await.expect(200);
    assert_eq!(ask().await.expect(200).json()["ok"]["rows"][0][0], 7);

    app.admin("DELETE", &acme.path("")).send().await.expect(204);
    app.advance(hours(24) + Duration::from_millis(1));
    app.host.maintain().await;
    app.admin("POST", &acme.path("/restore"))
        .send()
        .await
        .expect_problem(404, "not-found");
    assert_eq!(app.files("components").len(), 0);
    let databases = app.files("databases");
    assert!(databases.is_empty(), "{databases:?}");
    let audit = app.admin("GET", "/audit").send().await;
    assert_eq!(audit.status, 200);
}

#[tokio::test]
async fn the_database_of_a_tenant_that_is_there_is_never_removed() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    let manifest = open_manifest("db", "[database]\nmigrations = 'migrations'\n");
    let tables = (
        "migrations/0001_tables.sql",
        "CREATE TABLE item (id INTEGER PRIMARY KEY);",
    );
    acme.deploy(DATABASE, &manifest, &[tables]).await;
    let app = app
        .restart_after(
            async |data| {
                let rows = "INSERT INTO removals (kind, name) SELECT 'database', id FROM tenants; \
                    INSERT INTO removals (kind, name) VALUES ('component', 'noise'), ('odd', 'x');";
                open_database(data.join("mortise.db"))
                    .execute_batch(rows)
                    .unwrap();
            },
            |_| {},
        )
        .await;
    app.host.maintain().await;
    let query = json!({ "sql": "SELECT count(*) FROM item", "params": [] });
    let reply = app.post("/acme/db/query").json(&query).send().await.expect(200);
    assert_eq!(reply.json()["ok"]["rows"][0][0], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_process_changes_in_the_database_is_served_after_the_next_poll() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    acme.deploy(ECHO, &open_manifest("echo", ""), &[]).await;
    let database = app.files("components")[0]
        .parent()
        .unwrap()
        .with_file_name("mortise.db");
    let change = |assignment: &str| {
        let change =
            format!("UPDATE tenants SET {assignment}, generation = generation + 1 WHERE name = 'acme'");
        open_database(database.clone()).execute_batch(&change).unwrap();
    };
    app.get("/acme/echo/x").send().await.expect(200);
    change("suspended = 1");
    app.host.maintain().await;
    app.get("/acme/echo/x")
        .send()
        .await
        .expect_problem(503, "plugin-suspended");
    change("suspended = 0");
    app.host.maintain().await;
    app.get("/acme/echo/x").send().await.expect(200);
    change("deleted_at = created_at");
    app.host.maintain().await;
    app.get("/acme/echo/x")
        .send()
        .await
        .expect_problem(404, "not-found");
}
