//! Tests of failed attempts: back-off, the plugin's own wait, discarding, traps and time limits,
//! and dead letters.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Plugin, effect, outcomes};
use crate::app::{App, START};

/// Three attempts, with a wait that doubles from 10 s to at most 15 s.
const THREE: &str = "[[job]]\nname = 'work'\nattempts = 3\nbackoff = { initial = '10s', max = '15s' }\n";

/// A job whose every attempt fails in this way, and that writes an effect before.
fn failing(failure: Value) -> Value {
    json!([effect("tried"), { "fail": failure }])
}

/// The seconds from the start of the test until a time.
fn seconds(time: &Value) -> f64 {
    let time: mortise::domain::clock::Timestamp = serde_json::from_value(time.clone()).unwrap();
    time.since(START).as_secs_f64()
}

#[tokio::test]
async fn a_failed_job_runs_again_after_its_back_off() {
    let app = App::start().await;
    let plugin = Plugin::deploy(&app, THREE).await;
    let id = plugin
        .enqueue_steps(json!([
            { "fail": ["retry", "the ERP is down"], "attempts": [1, 2] },
            effect("at last"),
        ]))
        .await;
    // A random part of up to half of the wait is taken off.
    let failed = plugin.until(&id, "scheduled").await;
    assert_eq!(failed["attempt"], 1);
    assert_eq!(failed["error"], "the ERP is down");
    assert_eq!(outcomes(&failed), ["retry"]);
    assert_eq!(failed["attempts"][0]["error"], "the ERP is down");
    let wait = seconds(&failed["due_at"]);
    assert!((5.0..=10.0).contains(&wait), "{wait}");

    app.advance(Duration::from_secs(4));
    app.pass().await;
    assert_eq!(plugin.job(&id).await["state"], "scheduled");
    app.advance(Duration::from_secs(6));
    app.pass().await;
    let failed = plugin
        .until_job(&id, |job| job["attempt"] == 2 && job["state"] == "scheduled")
        .await;
    let wait = seconds(&failed["due_at"]) - 10.0;
    assert!(
        (7.5..=15.0).contains(&wait),
        "twice 10 s, but at most 15 s: {wait}"
    );

    app.advance(Duration::from_secs(15));
    app.pass().await;
    let done = plugin.until(&id, "done").await;
    assert_eq!(outcomes(&done), ["retry", "retry", "done"]);
    assert_eq!(plugin.effects().await, ["at last"]);
}

#[tokio::test]
async fn a_job_that_fails_each_time_is_a_dead_letter_after_its_last_attempt() {
    let app = App::start().await;
    let plugin = Plugin::deploy(&app, THREE).await;
    let id = plugin.enqueue_steps(failing(json!(["retry", "no"]))).await;
    for attempt in 1..=2 {
        plugin
            .until_job(&id, |job| {
                job["attempt"] == attempt && job["state"] == "scheduled"
            })
            .await;
        app.advance(Duration::from_secs(15));
        app.pass().await;
    }
    let dead = plugin.until(&id, "dead").await;
    assert_eq!(outcomes(&dead), ["retry", "retry", "dead"]);
    assert_eq!((&dead["error"], &dead["attempt"]), (&json!("no"), &json!(3)));
    assert!(
        dead["ended_at"].is_string() && dead.get("due_at").is_none(),
        "{dead}"
    );
    assert_eq!(plugin.effects().await, ["tried"; 3]);
    app.advance(Duration::from_secs(3_600));
    app.pass().await;
    assert_eq!(plugin.job(&id).await["state"], "dead");
}

#[tokio::test]
async fn a_plugin_says_when_to_try_again() {
    let app = App::start().await;
    let plugin = Plugin::deploy(&app, THREE).await;
    for (asked, waited) in [(0, 0.0), (90_000, 90.0), (u64::MAX, 7.0 * 86_400.0)] {
        let steps = json!([{ "fail": ["retry-after", asked, "too busy"], "attempts": [1] }]);
        let id = plugin.enqueue_steps(steps).await;
        let failed = plugin
            .until_job(&id, |job| job["attempts"][0]["outcome"] == "retry")
            .await;
        // Without a wait it is due at once, and may even have run again.
        if waited > 0.0 {
            assert_eq!(seconds(&failed["due_at"]), waited);
            assert_eq!(failed["error"], "too busy");
        }
    }
}

#[tokio::test]
async fn a_discarded_job_is_dead_at_once() {
    let app = App::start().await;
    let plugin = Plugin::deploy(&app, THREE).await;
    let id = plugin
        .enqueue_steps(failing(json!(["discard", "there is no order 7"])))
        .await;
    let dead = plugin.until(&id, "dead").await;
    assert_eq!(outcomes(&dead), ["dead"]);
    assert_eq!(dead["error"], "there is no order 7");
    let letters = plugin.read("/dead-letters").await;
    assert_eq!(letters["items"][0]["id"], id);
    assert_eq!(plugin.read("/jobs/summary").await["dead"], 1);
}

#[tokio::test]
async fn a_plugin_that_traps_or_panics_is_tried_again_with_its_error() {
    let app = App::start().await;
    let plugin = Plugin::deploy(&app, THREE).await;
    for (fault, named) in [
        (json!({ "trap": null, "attempts": [1] }), "trap"),
        (
            json!({ "panic": "no such table", "attempts": [1] }),
            "no such table",
        ),
    ] {
        let id = plugin.enqueue_steps(json!([fault])).await;
        let failed = plugin.until(&id, "scheduled").await;
        let error = failed["error"].as_str().unwrap();
        assert!(error.contains(named), "{error}");
        let invocation = failed["attempts"][0]["invocation"].as_str().unwrap();
        app.host.flush().await;
        let record = plugin.read(&format!("/invocations/{invocation}")).await;
        assert_eq!(record["trigger"], "job");
        app.advance(Duration::from_secs(10));
        app.pass().await;
        plugin.until(&id, "done").await;
    }
}

#[tokio::test]
async fn a_transaction_that_is_open_at_the_end_of_an_attempt_leaves_nothing() {
    let app = App::start().await;
    let plugin = Plugin::deploy(&app, THREE).await;
    for end in ["trap", "drop", "rollback"] {
        let open = json!({ "transaction": [effect(end)], "end": end, "attempts": [1] });
        let fail = json!({ "fail": ["retry", "no"], "attempts": [1] });
        let id = plugin.enqueue_steps(json!([open, fail])).await;
        plugin.until(&id, "scheduled").await;
        app.advance(Duration::from_secs(10));
        app.pass().await;
        plugin.until(&id, "done").await;
    }
    assert!(plugin.effects().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_is_stopped_at_its_own_time_limit() {
    let app = App::start().await;
    let kinds = "[[job]]\nname = 'work'\nattempts = 2\nlimits = { wall = '150ms' }\n\
                 [[job]]\nname = 'busy'\nattempts = 2\nlimits = { cpu = '50ms' }\n";
    let plugin = Plugin::deploy(&app, kinds).await;
    // The limits of requests do not hold for jobs.
    plugin.tenant.limit(&json!({ "job_cpu": "20s" })).await;
    let slow = plugin.enqueue_steps(json!([{ "sleep-ms": 3_600_000 }])).await;
    let busy = json!({ "name": "busy", "payload": { "do": [{ "loop": null }] } });
    let busy = plugin.enqueue(busy).await;
    for (id, limit) in [(slow, "150"), (busy, "50")] {
        let failed = plugin.until(&id, "scheduled").await;
        let error = failed["error"].as_str().unwrap();
        assert!(error.contains(limit), "{error}");
        assert_eq!(outcomes(&failed), ["retry"]);
    }
}

#[tokio::test]
async fn a_long_error_is_cut() {
    let app = App::start().await;
    let plugin = Plugin::deploy(&app, THREE).await;
    let id = plugin
        .enqueue_steps(json!([{ "fail": ["discard", "é".repeat(4_000)] }]))
        .await;
    let dead = plugin.until(&id, "dead").await;
    let error = dead["error"].as_str().unwrap();
    assert!((4_000..=4_200).contains(&error.len()), "{}", error.len());
}
