//! Tests of leases: an attempt whose lease is over changes nothing any more.

use std::time::Duration;

use serde_json::json;

use super::gate::Gate;
use super::{Plugin, effect, outcomes};

/// Longer than the lease: the limit of a minute and the margin.
const LEASE: Duration = Duration::from_secs(71);

const WORK: &str = "[[job]]\nname = 'work'\nattempts = 2\nbackoff = { initial = '1ms', max = '1ms' }\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_attempt_neither_completes_nor_ends_the_job_of_another_one() {
    let (gate, app) = (Gate::start().await, Gate::app().await);
    let plugin = Plugin::deploy(&app, &format!("{WORK}{}", gate.section())).await;
    let mut late = gate.step("first");
    late["attempts"] = json!([1]);
    let mut slow = gate.step("second");
    slow["attempts"] = json!([2]);
    let mut complete = json!({ "transaction": [effect("late"), { "complete": null }], "attempts": [1] });
    complete["anyway"] = json!(true);
    let report = json!({ "report": "late", "attempts": [1] });
    let done = json!({ "transaction": [effect("in time"), { "complete": null }], "attempts": [2] });
    let id = plugin
        .enqueue_steps(json!([late, complete, report, slow, done]))
        .await;
    gate.arrived("first", 1).await;
    // The lease is over while the plugin still waits for an answer.
    app.advance(LEASE);
    app.pass().await;
    app.advance(Duration::from_secs(1));
    app.pass().await;
    gate.arrived("second", 1).await;
    let running = plugin.job(&id).await;
    assert_eq!(
        (&running["state"], &running["attempt"]),
        (&json!("running"), &json!(2))
    );
    assert_eq!(running["attempts"][0]["outcome"], "lost");

    gate.open("first");
    super::eventually(async || {
        let reports = plugin.reports("late").await;
        if reports.is_empty() {
            Err(json!("no report"))
        } else {
            Ok(())
        }
    })
    .await;
    let refused = plugin.reports("late").await;
    let error = refused[0].1[1]["error"].as_str().unwrap();
    assert!(error.contains("Conflict") || error.contains("Invalid"), "{error}");
    app.until_metric("mortise_job_results_stale_total", 1.0).await;
    assert_eq!(plugin.job(&id).await["state"], "running");

    gate.open("second");
    let done = plugin.until(&id, "done").await;
    assert_eq!(outcomes(&done), ["lost", "done"]);
    assert_eq!(plugin.effects().await, ["in time"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_whose_every_attempt_is_lost_is_a_dead_letter() {
    let (gate, app) = (Gate::start().await, Gate::app().await);
    let plugin = Plugin::deploy(&app, &format!("{WORK}{}", gate.section())).await;
    let id = plugin
        .enqueue_steps(json!([gate.step("gate"), effect("x")]))
        .await;
    for attempt in 1..=2 {
        gate.arrived("gate", attempt).await;
        app.advance(LEASE);
        app.pass().await;
        app.advance(Duration::from_secs(1));
        app.pass().await;
    }
    let dead = plugin.until(&id, "dead").await;
    assert_eq!(outcomes(&dead), ["lost", "lost"]);
    let error = dead["error"].as_str().unwrap();
    assert!(error.contains("lease") || error.contains("lost"), "{error}");
    gate.open("gate");
    app.until_metric("mortise_job_results_stale_total", 2.0).await;
    assert_eq!(plugin.job(&id).await["state"], "dead");
}
