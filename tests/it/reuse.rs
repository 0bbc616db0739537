//! Tests of reused instances, and of the cases in which an instance is not reused.

use serde_json::{Value, json};
use test_artifacts::REUSED;

use crate::app::{App, Reply, TestTenant, open_manifest};

/// The manifest of a plugin with reused instances.
fn manifest(name: &str) -> String {
    let manifest = open_manifest(name, "[database]\n");
    manifest.replacen("version", "reuse = true\nversion", 1)
}

async fn deploy(app: &App) -> TestTenant<'_> {
    let acme = app.tenant("acme").await;
    acme.deploy(REUSED, &manifest("counter"), &[]).await;
    acme
}

/// The number of calls of the instance that responds.
async fn calls(app: &App, path: &str) -> Value {
    app.get(path).send().await.expect(200).json()
}

#[tokio::test]
async fn an_instance_is_fresh_unless_the_manifest_says_otherwise() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    acme.deploy(REUSED, &open_manifest("counter", "[database]\n"), &[])
        .await;
    for _ in 0..3 {
        assert_eq!(calls(&app, "/acme/counter/x").await, 1);
    }
    app.until_gauges(|gauges| gauges["instances_in_use"] == 0).await;
    assert_eq!(app.gauges().await["instances_kept"], 0);
}

#[tokio::test]
async fn an_instance_is_used_again_and_the_record_says_so() {
    let app = App::start().await;
    let acme = deploy(&app).await;
    for number in 1..=3 {
        let reply = app.get("/acme/counter/x").send().await.expect(200);
        assert_eq!(reply.json(), number);
        let usage = acme.invocation(&reply).await["usage"].clone();
        assert_eq!(usage["instance_reuses"], number - 1);
        assert_eq!(usage["instances_kept"], u64::from(number > 1));
        assert!(usage["memory_bytes"].as_u64().unwrap() >= 2 << 20, "{usage}");
    }
    let gauges = app.gauges().await;
    assert_eq!(
        (&gauges["instances_in_use"], &gauges["instances_kept"]),
        (&json!(0), &json!(1))
    );
}

#[tokio::test]
async fn no_other_tenant_and_no_other_version_gets_it() {
    let app = App::start().await;
    let acme = deploy(&app).await;
    assert_eq!(calls(&app, "/acme/counter/x").await, 1);

    let globex = app.tenant("globex").await;
    globex.deploy(REUSED, &manifest("counter"), &[]).await;
    assert_eq!(calls(&app, "/globex/counter/x").await, 1);
    acme.deploy(REUSED, &manifest("other"), &[]).await;
    assert_eq!(calls(&app, "/acme/other/x").await, 1);

    let newer = manifest("counter").replace("1.0.0", "1.0.1");
    acme.deploy(REUSED, &newer, &[]).await;
    assert_eq!(calls(&app, "/acme/counter/x").await, 1);
    assert_eq!(calls(&app, "/acme/counter/x").await, 2);
}

#[tokio::test]
async fn what_the_tenant_changes_holds_from_the_next_request_on() {
    let app = App::start().await;
    let acme = deploy(&app).await;
    assert_eq!(calls(&app, "/acme/counter/x").await, 1);
    acme.configure("counter", &json!({ "colour": "red" })).await;
    assert_eq!(calls(&app, "/acme/counter/x").await, 1);
    acme.limit(&json!({ "memory": "32MiB" })).await;
    assert_eq!(calls(&app, "/acme/counter/x").await, 1);
}

#[tokio::test]
async fn who_did_not_end_well_is_not_used_again() {
    let app = App::start().await;
    let acme = deploy(&app).await;
    for (path, status) in [("/trap", 502), ("/open", 200), ("/memory", 200), ("/loop", 504)] {
        if path == "/loop" {
            acme.limit(&json!({ "cpu": "200ms" })).await;
        }
        calls(&app, "/acme/counter/x").await;
        let reply = app.get(&format!("/acme/counter{path}")).send().await;
        assert_eq!(reply.status, status, "{path}: {}", reply.text());
        assert_eq!(calls(&app, "/acme/counter/x").await, 1, "after {path}");
    }
    app.until_gauges(|gauges| gauges["database_transactions"] == 0)
        .await;
}

#[tokio::test]
async fn what_one_request_printed_and_logged_is_its_own() {
    let app = App::start().await;
    let acme = deploy(&app).await;
    let messages = async |reply: &Reply| -> Vec<Value> {
        let log = acme.log(reply).await;
        log.iter().map(|line| line["message"].clone()).collect()
    };
    let first = app.get("/acme/counter/print").send().await.expect(200);
    let second = app.get("/acme/counter/log").send().await.expect(200);
    let third = app.get("/acme/counter/print").send().await.expect(200);
    assert_eq!(messages(&first).await, ["call 1"]);
    assert_eq!(messages(&second).await, ["logged"]);
    assert_eq!(messages(&third).await, ["call 3"]);
}

#[tokio::test]
async fn a_secret_that_an_instance_has_seen_is_in_no_later_log() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    acme.secret("token", "s3cret-value").await;
    let manifest = format!("{}[secrets]\nreveal = ['token']\n", manifest("counter"));
    acme.deploy(REUSED, &manifest, &[]).await;
    app.get("/acme/counter/reveal").send().await.expect(200);
    let later = app.get("/acme/counter/secret").send().await.expect(200);
    assert_eq!(later.json(), 2, "the same instance");
    assert_eq!(acme.log(&later).await[0]["message"], r#"it is Some("[secret]")"#);
}

#[tokio::test]
async fn a_purged_tenant_leaves_no_instance_behind() {
    let app = App::start().await;
    let acme = deploy(&app).await;
    calls(&app, "/acme/counter/x").await;
    app.until_gauges(|gauges| gauges["instances_kept"] == 1).await;
    let path = format!("{}?purge=true", acme.path(""));
    app.admin("DELETE", &path).send().await.expect(204);
    assert_eq!(app.gauges().await["instances_kept"], 0);
}

/// The limit: one below, at, and above what is needed for two plugins that are called in turn.
#[tokio::test]
pub async fn instances_kept() {
    let app = App::start().await;
    let acme = deploy(&app).await;
    acme.deploy(REUSED, &manifest("other"), &[]).await;
    for (limit, again, waiting) in [(0, false, 0), (1, false, 1), (2, true, 2), (3, true, 2)] {
        acme.limit(&json!({ "instances_kept": limit })).await;
        for plugin in ["counter", "other"] {
            assert_eq!(calls(&app, &format!("/acme/{plugin}/x")).await, 1);
        }
        let reply = app.get("/acme/counter/x").send().await.expect(200);
        assert_eq!(reply.json(), 1 + u64::from(again), "of {limit}");
        let usage = acme.invocation(&reply).await["usage"].clone();
        assert_eq!(usage["instances_kept"], waiting, "of {limit}");
    }
}

#[tokio::test]
async fn the_host_keeps_no_more_than_it_may_of_all_tenants() {
    let app = App::configured(|config| config.runtime.instances_kept = 1).await;
    let _acme = deploy(&app).await;
    let globex = app.tenant("globex").await;
    globex.deploy(REUSED, &manifest("counter"), &[]).await;
    for number in 1..=3 {
        assert_eq!(calls(&app, "/acme/counter/x").await, number);
        assert_eq!(calls(&app, "/globex/counter/x").await, 1);
    }
}
