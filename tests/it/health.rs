//! Tests of the circuit breaker of a route: it opens after failures, probes, and closes again.

use std::time::Duration;

use serde_json::{Value, json};
use test_artifacts::FAULTS;

use crate::app::{App, Reply, TestTenant, open_manifest};

/// A host whose circuit breaker opens after three failures.
async fn app() -> App {
    App::configured(|config| config.breaker.failures = 3).await
}

async fn deploy<'a>(app: &'a App, manifest: &str) -> TestTenant<'a> {
    let acme = app.tenant("acme").await;
    acme.deploy(FAULTS, manifest, &[]).await;
    acme
}

/// A manifest with one route for all paths.
fn one_route() -> String {
    open_manifest("faults", "")
}

async fn get(app: &App, path: &str) -> Reply {
    app.get(&format!("/acme/faults/{path}")).send().await
}

async fn health(app: &App, acme: &TestTenant<'_>) -> Value {
    let path = acme.path("/plugins/faults");
    app.admin("GET", &path).send().await.expect(200).json()["health"].clone()
}

async fn break_it(app: &App) {
    for _ in 0..3 {
        get(app, "trap").await.expect_problem(502, "plugin-trapped");
    }
    get(app, "fine").await.expect_problem(503, "plugin-unhealthy");
}

#[tokio::test]
async fn a_route_that_always_fails_is_refused_without_an_instance_and_the_others_serve() {
    let app = app().await;
    let route = |path: &str| format!("[[route]]\nmethod = 'GET'\npath = '{path}'\nauth = 'public'\n");
    let manifest = format!(
        "[plugin]\nname = 'faults'\nversion = '1.0.0'\n{}{}",
        route("/trap"),
        route("/fine")
    );
    let acme = deploy(&app, &manifest).await;
    assert_eq!(
        health(&app, &acme).await,
        json!({ "state": "healthy", "routes": [] })
    );
    let mut last = None;
    for _ in 0..3 {
        last = Some(get(&app, "trap").await.expect_problem(502, "plugin-trapped"));
    }
    let refused = get(&app, "trap").await.expect_problem(503, "plugin-unhealthy");
    assert_eq!(refused.header("retry-after"), "1");
    for _ in 0..3 {
        get(&app, "fine").await.expect(200);
    }
    let unhealthy = health(&app, &acme).await;
    assert_eq!(
        unhealthy,
        json!({ "state": "unhealthy", "routes": [{
            "method": "GET",
            "path": "/trap",
            "state": "unhealthy",
            "since": "2023-11-14T22:13:20.000Z",
            "reason": "plugin-trapped",
            "next_probe_at": "2023-11-14T22:13:21.000Z",
        }] })
    );
    assert_eq!(app.gauges().await["routes_unhealthy"], 1);
    let metrics = app.metrics().await.text();
    assert!(
        metrics.contains("mortise_invocations_total{ending=\"failed\"} 3\n"),
        "{metrics}"
    );
    let log = acme.log(&last.unwrap()).await;
    let message = log.last().unwrap()["message"].as_str().unwrap();
    assert!(message.starts_with("GET /trap failed repeatedly"), "{message}");
}

#[tokio::test]
async fn it_is_tried_at_longer_and_longer_intervals_until_it_works() {
    let app = app().await;
    let acme = deploy(&app, &one_route()).await;
    break_it(&app).await;
    let mut wait = 1;
    for _ in 0..8 {
        app.advance(Duration::from_secs(wait) - Duration::from_millis(1));
        get(&app, "fine").await.expect_problem(503, "plugin-unhealthy");
        app.advance(Duration::from_millis(1));
        get(&app, "trap").await.expect_problem(502, "plugin-trapped");
        wait = (wait * 2).min(60);
        let refused = get(&app, "fine").await.expect_problem(503, "plugin-unhealthy");
        assert_eq!(refused.header("retry-after"), wait.to_string());
    }
    app.advance(Duration::from_secs(wait));
    let recovered = get(&app, "fine").await.expect(200);
    get(&app, "fine").await.expect(200);
    assert_eq!(health(&app, &acme).await["state"], "healthy");
    assert_eq!(app.gauges().await["routes_unhealthy"], 0);
    let log = acme.log(&recovered).await;
    assert_eq!(log[0]["message"], "GET /{*rest} works again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_request_at_a_time_tries_and_leaves_its_place_when_its_caller_goes_away() {
    let app = app().await;
    let acme = deploy(&app, &one_route()).await;
    acme.limit(&json!({ "wall": "60s" })).await;
    break_it(&app).await;
    app.advance(Duration::from_secs(1));
    let probe = tokio::spawn(app.get("/acme/faults/sleep").send());
    app.until_gauges(|gauges| gauges["guests_running"] == 1).await;
    get(&app, "fine").await.expect_problem(503, "plugin-unhealthy");
    assert_eq!(health(&app, &acme).await["state"], "probing");
    probe.abort();
    app.until_gauges(|gauges| gauges["guests_running"] == 0).await;
    get(&app, "fine").await.expect(200);
}

#[tokio::test]
async fn an_answer_in_between_shows_that_it_works_for_somebody() {
    let app = app().await;
    deploy(&app, &one_route()).await;
    for _ in 0..5 {
        get(&app, "trap").await.expect_problem(502, "plugin-trapped");
        get(&app, "status")
            .await
            .expect_problem(502, "plugin-invalid-response");
        get(&app, "nowhere").await.expect(404);
    }
}

#[tokio::test]
async fn an_activation_begins_healthy_also_of_the_same_version() {
    let app = app().await;
    let acme = deploy(&app, &one_route()).await;
    let version = acme.deploy(FAULTS, &one_route(), &[]).await;
    break_it(&app).await;
    acme.activate("faults", &version).await.expect(200);
    get(&app, "fine").await.expect(200);

    break_it(&app).await;
    let next = one_route().replace("1.0.0", "1.0.1");
    acme.deploy(FAULTS, &next, &[]).await;
    get(&app, "fine").await.expect(200);
    assert_eq!(app.gauges().await["routes_unhealthy"], 0);
}

#[tokio::test]
async fn a_change_of_settings_heals_nothing() {
    let app = app().await;
    let acme = deploy(&app, &one_route()).await;
    break_it(&app).await;
    acme.secret("unrelated", "x").await;
    get(&app, "fine").await.expect_problem(503, "plugin-unhealthy");
}
