//! Tests of WASI in a guest: no access to the machine, a coarse clock, and output to the log.

use std::time::Duration;

use serde_json::{Value, json};
use test_artifacts::WASI;

use crate::app::{App, Reply, START, TestTenant, open_manifest};

async fn deploy(app: &App) -> TestTenant<'_> {
    let acme = app.tenant("acme").await;
    acme.deploy(WASI, &open_manifest("wasi", ""), &[]).await;
    acme
}

async fn get(app: &App, path: &str) -> Reply {
    app.get(&format!("/acme/wasi{path}")).send().await.expect(200)
}

#[tokio::test]
async fn files_and_sockets_are_refused() {
    let app = App::start().await;
    deploy(&app).await;
    for (path, attempts) in [
        ("/files", ["read", "list", "write"]),
        ("/network", ["connect", "resolve", "bind"]),
    ] {
        let answer = get(&app, path).await.json();
        for attempt in attempts {
            // Null would mean that the attempt succeeded.
            assert!(answer[attempt].is_string(), "{attempt}: {answer}");
        }
    }
    assert!(!std::path::Path::new("/tmp/x").exists());
}

#[tokio::test]
async fn the_environment_is_empty() {
    let app = App::start().await;
    deploy(&app).await;
    let answer = get(&app, "/environment").await.json();
    assert_eq!(answer, json!({ "variables": [], "arguments": [] }));
}

#[tokio::test]
async fn the_clock_is_the_hosts_and_coarse() {
    let app = App::start().await;
    deploy(&app).await;
    app.advance(Duration::from_micros(1_234_567));
    let answer = get(&app, "/clock").await.json();
    assert_eq!(answer["milliseconds"], START.0 + 1_234);
    assert_eq!(answer["nanoseconds"], 234_000_000);
}

#[tokio::test]
async fn printed_lines_stand_in_the_log() {
    let app = App::start().await;
    let acme = deploy(&app).await;
    let reply = get(&app, "/print").await;
    let log = acme.log(&reply).await;
    let lines: Vec<(&Value, &Value)> = log
        .iter()
        .map(|line| (&line["level"], &line["message"]))
        .collect();
    assert_eq!(
        lines,
        [
            (&json!("info"), &json!("printed to stdout")),
            (&json!("info"), &json!("x = 1, y = 2")),
            (&json!("error"), &json!("printed to stderr")),
            (&json!("error"), &json!("pieces of 1 and 2")),
            (&json!("error"), &json!("  at a")),
            (&json!("error"), &json!("  at b")),
        ]
    );
}

#[tokio::test]
async fn printing_without_end_is_bounded() {
    let app = App::start().await;
    let acme = deploy(&app).await;
    let reply = get(&app, "/print-much").await;
    assert_eq!(reply.json(), "printed");
    let log = acme.log(&reply).await;
    let bytes: usize = log
        .iter()
        .map(|line| line["message"].as_str().unwrap().len())
        .sum();
    assert!((32 << 10..=64 << 10).contains(&bytes), "{bytes}");
}
