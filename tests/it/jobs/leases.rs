//! Tests of leases: an attempt whose lease is over changes nothing any more.

use std::time::Duration;

use serde_json::{Value, json};

use super::gate::Gate;
use super::{Plugin, effect, outcomes};
use crate::app::App;

/// Longer than the lease: the limit of a minute and the margin.
const LEASE: Duration = Duration::from_secs(71);

const WORK: &str = "[[job]]\nname = 'work'\nattempts = 3\nbackoff = { initial = '1ms', max = '1ms' }\n";

/// Writes an effect and completes the job, in one attempt. The next steps follow in any case.
fn complete(key: &str, attempt: u32) -> Value {
    json!({ "transaction": [effect(key), { "complete": null }], "attempts": [attempt], "anyway": true })
}

/// Waits at a gate in one attempt.
fn wait(gate: &Gate, name: &str, attempt: u32) -> Value {
    let mut step = gate.step(name);
    step["attempts"] = json!([attempt]);
    step
}

/// Reports the results in one attempt.
fn report(attempt: u32) -> Value {
    json!({ "report": attempt.to_string(), "attempts": [attempt] })
}

/// Lets the lease of the running attempt end, so that the next one begins.
async fn lose(app: &App) {
    app.advance(LEASE);
    app.pass().await;
    app.advance(Duration::from_secs(1));
    app.pass().await;
}

/// The error of the transaction of an attempt that has ended.
async fn refusal(plugin: &Plugin<'_>, attempt: u32) -> String {
    let results = plugin.reports(&attempt.to_string()).await[0].1.clone();
    let last = results.as_array().unwrap().last().unwrap();
    last["error"]
        .as_str()
        .unwrap_or_else(|| panic!("{results}"))
        .to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_that_is_late_changes_nothing_any_more() {
    let (gate, app) = (Gate::start().await, Gate::app().await);
    let plugin = Plugin::deploy(&app, &format!("{WORK}{}", gate.section())).await;
    let steps = json!([
        wait(&gate, "first", 1),
        complete("late", 1),
        report(1),
        complete("in time", 2),
    ]);
    let id = plugin.enqueue_steps(steps).await;
    gate.arrived("first", 1).await;
    lose(&app).await;
    let done = plugin.until(&id, "done").await;
    assert_eq!(outcomes(&done), ["lost", "done"]);
    gate.open("first");
    app.until_metric("mortise_job_results_stale_total", 1.0).await;
    let error = refusal(&plugin, 1).await;
    assert!(error.contains("Conflict"), "{error}");
    assert_eq!(outcomes(&plugin.job(&id).await), ["lost", "done"]);
    assert_eq!(plugin.effects().await, ["in time"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_attempts_at_once_one_completes() {
    let (gate, app) = (Gate::start().await, Gate::app().await);
    let plugin = Plugin::deploy(&app, &format!("{WORK}{}", gate.section())).await;
    let steps = json!([
        wait(&gate, "first", 1),
        complete("first", 1),
        report(1),
        wait(&gate, "second", 2),
        complete("second", 2),
        report(2),
        { "fail": ["retry", "another one was faster"] },
    ]);
    let id = plugin.enqueue_steps(steps).await;
    gate.arrived("first", 1).await;
    lose(&app).await;
    gate.arrived("second", 1).await;
    gate.open("first");
    app.until_metric("mortise_job_results_stale_total", 1.0).await;
    assert_eq!(
        plugin.job(&id).await["state"],
        "running",
        "the second attempt runs on"
    );
    gate.open("second");
    plugin
        .until_job(&id, |job| job["attempts"][1]["outcome"].is_string())
        .await;
    let error = refusal(&plugin, 2).await;
    assert!(error.contains("Conflict"), "{error}");
    app.advance(Duration::from_secs(1));
    app.pass().await;
    // The host finds out that the job is completed.
    plugin.until(&id, "done").await;
    assert_eq!(plugin.effects().await, ["first"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_its_lost_last_attempt_completed_is_done() {
    let (gate, app) = (Gate::start().await, Gate::app().await);
    let once = "[[job]]\nname = 'work'\nattempts = 1\n";
    let plugin = Plugin::deploy(&app, &format!("{once}{}", gate.section())).await;
    let id = plugin
        .enqueue_steps(json!([complete("effect", 1), gate.step("after")]))
        .await;
    gate.arrived("after", 1).await;
    lose(&app).await;
    let done = plugin.until(&id, "done").await;
    assert_eq!(outcomes(&done), ["done"]);
    gate.open("after");
    app.until_metric("mortise_job_results_stale_total", 1.0).await;
    assert_eq!(plugin.job(&id).await["state"], "done");
    assert_eq!(plugin.effects().await, ["effect"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_whose_every_attempt_is_lost_is_a_dead_letter() {
    let (gate, app) = (Gate::start().await, Gate::app().await);
    let plugin = Plugin::deploy(&app, &format!("{WORK}{}", gate.section())).await;
    let id = plugin
        .enqueue_steps(json!([gate.step("gate"), effect("x")]))
        .await;
    for attempt in 1..=3 {
        gate.arrived("gate", attempt).await;
        lose(&app).await;
    }
    let dead = plugin.until(&id, "dead").await;
    assert_eq!(outcomes(&dead), ["lost", "lost", "lost"]);
    let error = dead["error"].as_str().unwrap();
    assert!(error.contains("lease") || error.contains("lost"), "{error}");
    gate.open("gate");
    app.until_metric("mortise_job_results_stale_total", 3.0).await;
    assert_eq!(plugin.job(&id).await["state"], "dead");
}
