//! Tests of the log limits: lines, bytes, the tenant's rate and the retained amount.

use std::time::Duration;

use serde_json::json;
use test_artifacts::CAPABILITIES;

use super::{around, bytes, kept, usage};
use crate::app::{App, Reply, TestTenant, open_manifest};

async fn deploy(app: &App) -> TestTenant<'_> {
    let acme = app.tenant("acme").await;
    acme.deploy(CAPABILITIES, &open_manifest("caps", ""), &[]).await;
    acme
}

/// Logs `lines` lines of equal length.
async fn log(app: &App, lines: u64) -> Reply {
    let input = json!({ "message": "x".repeat(100), "lines": lines });
    app.post("/acme/caps/log").json(&input).send().await.expect(200)
}

/// The bytes of a line that `log` writes: its text, and its index in a field.
const LINE: u64 = 100 + 6;

/// The bytes that it counts in the tenant's rate: its text, the JSON around the field, and a fixed
/// cost per line.
const STORED: u64 = LINE + 9 + 200;

/// Checks how many of three lines were kept and dropped.
async fn has_kept(acme: &TestTenant<'_>, reply: &Reply, lines: u64) {
    assert_eq!(usage(acme, reply, "log_lines").await, lines);
    assert_eq!(usage(acme, reply, "log_lines_dropped").await, 3 - lines);
    assert_eq!(usage(acme, reply, "log_bytes").await, lines * LINE);
    assert_eq!(acme.log(reply).await.len() as u64, lines);
}

#[tokio::test]
pub async fn log_lines() {
    let app = App::start().await;
    let acme = deploy(&app).await;
    for (limit, _) in around(3) {
        acme.limit(&json!({ "log_lines": limit })).await;
        has_kept(&acme, &log(&app, 3).await, limit.min(3)).await;
    }
}

#[tokio::test]
pub async fn log_bytes() {
    let app = App::start().await;
    let acme = deploy(&app).await;
    for (limit, fits) in around(3 * LINE) {
        acme.limit(&json!({ "log_bytes": bytes(limit) })).await;
        has_kept(&acme, &log(&app, 3).await, if fits { 3 } else { 2 }).await;
    }
}

#[tokio::test]
pub async fn log_burst() {
    let app = App::start().await;
    let acme = deploy(&app).await;
    for (limit, fits) in around(3 * STORED) {
        let limits = json!({ "log_burst": bytes(limit), "log_bytes_per_second": bytes(3 * STORED) });
        acme.limit(&limits).await;
        app.advance(Duration::from_secs(60));
        has_kept(&acme, &log(&app, 3).await, if fits { 3 } else { 2 }).await;
    }
}

#[tokio::test]
pub async fn log_bytes_per_second() {
    let app = App::start().await;
    let acme = deploy(&app).await;
    for (limit, fits) in around(3 * STORED) {
        let limits = json!({ "log_burst": bytes(3 * STORED), "log_bytes_per_second": bytes(limit) });
        acme.limit(&limits).await;
        app.advance(Duration::from_secs(60));
        has_kept(&acme, &log(&app, 3).await, 3).await;
        app.advance(Duration::from_secs(1));
        has_kept(&acme, &log(&app, 3).await, if fits { 3 } else { 2 }).await;
    }
}

#[tokio::test]
pub async fn log_size() {
    let app = App::start().await;
    let acme = deploy(&app).await;
    log(&app, 3).await;
    let needed = kept(&app, &acme, "log_bytes").await;
    assert!(needed > 3 * LINE, "{needed}");
    for (limit, fits) in around(needed) {
        // At first nothing is kept.
        acme.limit(&json!({ "log_size": bytes(1) })).await;
        log(&app, 3).await;
        assert_eq!(kept(&app, &acme, "log_bytes").await, 0);
        acme.limit(&json!({ "log_size": bytes(limit) })).await;
        let reply = log(&app, 3).await;
        // If there are too many, the oldest is deleted.
        let lines: u64 = if fits { 3 } else { 2 };
        assert_eq!(kept(&app, &acme, "log_bytes").await, needed * lines / 3);
        assert_eq!(acme.log(&reply).await.len() as u64, lines);
    }
}

#[tokio::test]
pub async fn records_kept() {
    let app = App::start().await;
    let acme = deploy(&app).await;
    for (limit, _) in around(3) {
        acme.limit(&json!({ "records_kept": limit })).await;
        for _ in 0..3 {
            let last = log(&app, 0).await;
            // A request for a record flushes all of them, so each is alone in its block.
            assert!(acme.invocation(&last).await["status"] == 200);
        }
        let left = kept(&app, &acme, "records").await;
        assert_eq!(left, limit, "from the second round on there are more than three");
        let page = app
            .admin("GET", &acme.path("/invocations"))
            .send()
            .await
            .expect(200);
        assert_eq!(page.json()["items"].as_array().unwrap().len() as u64, left);
    }
}
