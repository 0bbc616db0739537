//! Tests of transactions and of every way in which one ends.

use serde_json::{Value, json};

use super::{call, count, deploy, is_error, query};
use crate::app::App;

const INSERT: &str = "INSERT INTO item (name) VALUES ('one')";

async fn transaction(app: &App, statements: &[&str], end: &str) -> Value {
    call(
        app,
        "/transaction",
        json!({ "statements": statements, "end": end }),
    )
    .await
}

#[tokio::test]
async fn only_a_commit_keeps() {
    let app = App::start().await;
    deploy(&app, "acme").await;
    for end in ["rollback", "drop"] {
        assert_eq!(
            transaction(&app, &[INSERT], end).await,
            json!({ "ok": [1] }),
            "{end}"
        );
        assert_eq!(count(&app).await, 0, "{end}");
    }
    // A transaction sees its own changes.
    let seen = transaction(&app, &[INSERT], "query").await;
    assert_eq!(seen["ok"]["rows"], json!([[1]]));
    assert_eq!(count(&app).await, 0);

    let second = "UPDATE item SET name = name || '!'";
    assert_eq!(
        transaction(&app, &[INSERT, second], "commit").await,
        json!({ "ok": [1, 1] })
    );
    let names = query(&app, "SELECT name FROM item", json!([])).await;
    assert_eq!(names["ok"]["rows"], json!([["one!"]]));
}

#[tokio::test]
async fn a_trap_rolls_back_and_lets_others_write() {
    let app = App::start().await;
    deploy(&app, "acme").await;
    let input = json!({ "sql": INSERT });
    let reply = app.post("/acme/db/trap-in-transaction").json(&input).send().await;
    reply.expect_problem(502, "plugin-trapped");
    assert_eq!(count(&app).await, 0);
    assert_eq!(transaction(&app, &[INSERT], "commit").await, json!({ "ok": [1] }));
}

#[tokio::test]
async fn a_failed_statement_leaves_the_choice_to_the_plugin() {
    let app = App::start().await;
    deploy(&app, "acme").await;
    let answer = transaction(&app, &[INSERT, INSERT], "commit").await;
    is_error(&answer, "constraint", "Unique");
    // The guest dropped the transaction.
    assert_eq!(count(&app).await, 0);
}

#[tokio::test]
async fn a_transaction_ends_once() {
    let app = App::start().await;
    deploy(&app, "acme").await;
    let answer = transaction(&app, &[INSERT], "commit-twice").await;
    is_error(&answer, "invalid", "the transaction is over");
    assert_eq!(count(&app).await, 1);
}

#[tokio::test]
async fn jobs_and_events_that_the_plugin_may_not_add_are_refused() {
    let app = App::start().await;
    deploy(&app, "acme").await;
    for (end, kind, part) in [
        ("enqueue", "invalid", "declare jobs with [[job]]"),
        ("publish", "denied", "not granted to the plugin"),
    ] {
        let answer = transaction(&app, &[INSERT], end).await;
        is_error(&answer, kind, part);
        assert_eq!(count(&app).await, 0);
    }
}

#[tokio::test]
async fn who_would_wait_for_itself_is_told_so() {
    let app = App::start().await;
    deploy(&app, "acme").await;
    let answers = call(&app, "/second", json!({ "sql": INSERT })).await;
    is_error(&answers[0], "invalid", "transaction");
    is_error(&answers[1], "invalid", "commit or drop the first");
    assert_eq!(count(&app).await, 0);
}

#[tokio::test]
async fn transactions_at_once_take_turns() {
    let app = App::start().await;
    deploy(&app, "acme").await;
    let calls = (0..8).map(|index| {
        let insert = format!("INSERT INTO item (name) VALUES ('{index}')");
        let app = &app;
        async move { transaction(app, &[&insert], "commit").await }
    });
    for answer in futures_util::future::join_all(calls).await {
        assert_eq!(answer, json!({ "ok": [1] }));
    }
    assert_eq!(count(&app).await, 8);
}
