//! Tests of the limits of the sandbox: memory, CPU time and wall-clock time.

use serde_json::json;
use test_artifacts::FAULTS;

use super::{around, bytes, usage};
use crate::app::{App, TestTenant, open_manifest};

async fn deploy(app: &App) -> TestTenant<'_> {
    let acme = app.tenant("acme").await;
    acme.deploy(FAULTS, &open_manifest("faults", ""), &[]).await;
    acme
}

#[tokio::test]
pub async fn memory() {
    let app = App::start().await;
    let acme = deploy(&app).await;
    let fine = || app.get("/acme/faults/fine").send();
    let needed = usage(&acme, &fine().await.expect(200), "memory_bytes").await;
    assert!(needed >= 2 << 20, "{needed}");
    for (limit, fits) in around(needed) {
        acme.limit(&json!({ "memory": bytes(limit) })).await;
        if fits {
            assert_eq!(
                usage(&acme, &fine().await.expect(200), "memory_bytes").await,
                needed
            );
        } else {
            fine().await.expect_problem(502, "plugin-memory");
        }
    }
}

#[tokio::test]
pub async fn cpu() {
    let app = App::start().await;
    let acme = deploy(&app).await;
    acme.limit(&json!({ "cpu": "1ms", "wall": "60s" })).await;
    let reply = app.get("/acme/faults/loop").send().await;
    let reply = reply.expect_problem(504, "plugin-cpu");
    assert!(usage(&acme, &reply, "cpu_us").await >= 1_000);
    acme.limit(&json!({ "cpu": "60s", "wall": "60s" })).await;
    let reply = app.get("/acme/faults/busy").send().await.expect(200);
    let used = usage(&acme, &reply, "cpu_us").await;
    assert!((1_000..60_000_000).contains(&used), "{used}");
}

#[tokio::test]
pub async fn wall() {
    let app = App::start().await;
    let acme = deploy(&app).await;
    acme.limit(&json!({ "wall": "20ms" })).await;
    let reply = app.get("/acme/faults/sleep").send().await;
    let reply = reply.expect_problem(504, "plugin-timeout");
    assert!(usage(&acme, &reply, "wall_us").await >= 20_000);
    acme.limit(&json!({ "wall": "60s" })).await;
    let reply = app.get("/acme/faults/fine").send().await.expect(200);
    assert!((1..60_000_000).contains(&usage(&acme, &reply, "wall_us").await));
}
