//! Tests of the host's metrics: gauges during and after a request, and counters.

use serde_json::json;
use test_artifacts::FAULTS;

use crate::app::{App, Reply, TestTenant, open_manifest};

async fn deploy<'a>(app: &'a App, more: &str) -> TestTenant<'a> {
    let acme = app.tenant("acme").await;
    acme.deploy(FAULTS, &open_manifest("faults", more), &[]).await;
    acme
}

/// The value of a series.
#[track_caller]
fn value(metrics: &Reply, series: &str) -> f64 {
    let text = metrics.text();
    let values = text
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    let value = values.unwrap_or_else(|| panic!("{series} is not in\n{text}"));
    value.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gauges_show_a_request_for_as_long_as_it_runs() {
    let app = App::start().await;
    // The limit is long, so that the guest runs until the test has read the metrics.
    let acme = deploy(&app, "").await;
    acme.limit(&json!({ "wall": "60s" })).await;
    let held = [
        "requests_under_way",
        "requests_admitted",
        "guests_running",
        "instances_in_use",
    ];
    let idle = app.gauges().await;
    for gauge in held {
        assert_eq!(idle[gauge], 0, "{gauge}: {idle:#}");
    }
    assert_eq!(idle["instances_total"], 8);
    assert_eq!(idle["components_loaded"], 1);
    assert!(idle["components_loaded_bytes"].as_u64().unwrap() > 10_000);

    let running = tokio::spawn(app.get("/acme/faults/sleep").send());
    app.until_gauges(|gauges| held.iter().all(|gauge| gauges[gauge] == 1))
        .await;
    running.abort();
    app.until_gauges(|gauges| held.iter().all(|gauge| gauges[gauge] == 0))
        .await;
    let metrics = app.metrics().await;
    assert_eq!(
        value(&metrics, "mortise_requests_total{class=\"abandoned\"}"),
        1.0
    );
    assert_eq!(
        value(&metrics, "mortise_invocations_total{ending=\"abandoned\"}"),
        1.0
    );
}

#[tokio::test]
async fn every_request_is_counted_once() {
    let app = App::start().await;
    deploy(&app, "").await;
    app.get("/acme/faults/fine").send().await.expect(200);
    app.get("/acme/faults/nowhere").send().await.expect(404);
    app.get("/acme/faults/trap").send().await.expect(502);
    app.get("/acme/nobody").send().await.expect(404);
    app.host.flush().await;

    let metrics = app.metrics().await;
    assert_eq!(
        metrics.header("content-type"),
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    for (series, count) in [
        ("mortise_requests_total{class=\"2xx\"}", 1.0),
        ("mortise_requests_total{class=\"4xx\"}", 2.0),
        ("mortise_requests_total{class=\"5xx\"}", 1.0),
        ("mortise_problems_total{code=\"not-found\"}", 1.0),
        ("mortise_problems_total{code=\"plugin-trapped\"}", 1.0),
        ("mortise_invocations_total{ending=\"answered\"}", 2.0),
        ("mortise_invocations_total{ending=\"failed\"}", 1.0),
        ("mortise_ledger_records_total{outcome=\"written\"}", 3.0),
        ("mortise_request_duration_seconds_count", 4.0),
        ("mortise_requests_under_way", 0.0),
        ("mortise_guests_running", 0.0),
    ] {
        assert_eq!(value(&metrics, series), count, "{series}");
    }
    assert!(value(&metrics, "mortise_guest_cpu_seconds_total") > 0.0);
}

#[tokio::test]
async fn no_tenant_chooses_a_series() {
    let app = App::start().await;
    let series = |metrics: Reply| -> Vec<String> {
        let text = metrics.text();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines
            .map(|line| line.rsplit_once(' ').unwrap().0.to_owned())
            .collect()
    };
    let before = series(app.metrics().await);
    deploy(&app, "").await;
    for path in [
        "/acme/faults/fine",
        "/acme/faults/%22%0a",
        "/never/heard/of",
        "/-/healthz",
    ] {
        app.get(path).header("x-own", "\"label\"").send().await;
    }
    assert_eq!(series(app.metrics().await), before);
}
