//! What the plugin logs: kept within a budget, and without secrets.

use serde_json::{Value, json};

use super::{call, deploy};
use crate::app::App;

#[tokio::test]
async fn a_line_is_kept_with_all_that_belongs_to_it() {
    let app = App::start().await;
    let acme = deploy(&app, "").await;
    let reply = call(
        &app,
        "/log",
        &json!({ "message": "it\nwas\u{1b}[31m so", "lines": 2 }),
    )
    .await;
    let log = acme.log(&reply).await;
    assert_eq!(log.len(), 2);
    for (index, line) in log.iter().enumerate() {
        assert_eq!(line["plugin"], "caps");
        assert_eq!(line["invocation"], reply.header("x-request-id"));
        assert_eq!(line["level"], "info");
        assert_eq!(line["message"], "it was [31m so");
        assert_eq!(line["fields"], json!([["index", index.to_string()]]));
        assert_eq!(line["at"], crate::app::START.to_string());
    }
}

#[tokio::test]
async fn lines_beyond_the_budget_are_counted() {
    let app = App::start().await;
    let acme = deploy(&app, "").await;
    acme.limit(&json!({ "log_lines": 10 })).await;
    let reply = call(&app, "/log", &json!({ "message": "m", "lines": 25 })).await;
    assert_eq!(acme.log(&reply).await.len(), 10);
    let usage = &acme.invocation(&reply).await["usage"];
    assert_eq!(
        (&usage["log_lines"], &usage["log_lines_dropped"]),
        (&json!(10), &json!(15))
    );
}

#[tokio::test]
async fn bytes_beyond_the_budget_are_counted_too() {
    let app = App::start().await;
    let acme = deploy(&app, "").await;
    acme.limit(&json!({ "log_bytes": "1KiB" })).await;
    let message = "x".repeat(500);
    let reply = call(&app, "/log", &json!({ "message": message, "lines": 4 })).await;
    let usage = &acme.invocation(&reply).await["usage"];
    assert_eq!(
        (&usage["log_lines"], &usage["log_lines_dropped"]),
        (&json!(2), &json!(2))
    );
}

#[tokio::test]
async fn a_long_line_is_cut() {
    let app = App::start().await;
    let acme = deploy(&app, "").await;
    let reply = call(&app, "/log", &json!({ "message": "é".repeat(5_000) })).await;
    let log = acme.log(&reply).await;
    assert_eq!(log[0]["message"], "é".repeat(4_096));
}

#[tokio::test]
async fn a_secret_that_the_plugin_has_seen_is_not_kept() {
    let app = App::start().await;
    let acme = deploy(&app, "[secrets]\nreveal = ['token']\n").await;
    acme.secret("token", "s3cret-value").await;
    let input = json!({ "reveal": "token", "message": "again s3cret-value and s3cret-value" });
    let reply = call(&app, "/log", &input).await;
    let log = acme.log(&reply).await;
    let text = Value::from(log.clone()).to_string();
    assert!(!text.contains("s3cret-value"), "{text}");
    assert_eq!(log[0]["message"], "the secret is [secret]");
    assert_eq!(log[0]["fields"], json!([["value", "[secret]"]]));
    assert_eq!(log[1]["message"], "again [secret] and [secret]");
}
