//! Tests of the log capability: its budget, and the removal of secrets.

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

#[tokio::test]
async fn a_secret_in_a_panic_stands_in_no_log_record_or_answer() {
    let app = App::start().await;
    let acme = deploy(&app, "[secrets]\nreveal = ['token']\n").await;
    acme.secret("token", "s3cret-value").await;
    let call = app.post("/acme/caps/panic").json(&json!({ "reveal": "token" }));
    let reply = call.send().await.expect_problem(502, "plugin-trapped");
    let log = Value::from(acme.log(&reply).await).to_string();
    assert!(log.contains("it was [secret]"), "{log}");
    let record = acme.invocation(&reply).await.to_string();
    let headers = format!("{:?}", reply.headers);
    for text in [log, record, headers, reply.text()] {
        assert!(!text.contains("s3cret-value"), "{text}");
    }
}

#[tokio::test]
async fn what_a_plugin_forges_stays_one_line_of_its_own() {
    let app = App::start().await;
    let acme = deploy(&app, "").await;
    let message = "\"}\r\n{\"level\":\"error\",\"plugin\":\"other\"}\u{1b}[2J\u{202e}";
    let reply = call(&app, "/log", &json!({ "message": message })).await;
    let log = acme.log(&reply).await;
    assert_eq!(log.len(), 1);
    assert_eq!(log[0]["plugin"], "caps");
    assert_eq!(log[0]["level"], "info");
    assert_eq!(
        log[0]["message"],
        "\"}  {\"level\":\"error\",\"plugin\":\"other\"} [2J "
    );
}

#[tokio::test]
async fn a_line_that_is_never_copied_ends_the_plugin() {
    let app = App::start().await;
    let acme = deploy(&app, "").await;
    // Half a million empty fields are few bytes, but many more in the host.
    let input = json!({ "call": "fields", "bytes": 500_000 });
    let reply = app.post("/acme/caps/hand-over").json(&input).send().await;
    let reply = reply.expect_problem(502, "plugin-limit");
    let log = acme.log(&reply).await;
    let message = log[0]["message"].as_str().unwrap();
    assert!(message.contains("(limit `host_call_bytes`)"), "{message}");
    assert!(message.contains("hands over far more than 4MiB"), "{message}");
}
