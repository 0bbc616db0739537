//! Tests of concurrency keys: how many jobs with a key run at once, and their order.

use std::time::Duration;

use serde_json::{Value, json};

use super::gate::Gate;
use super::{Plugin, effect, members};

/// A kind of job with a bound.
fn bound(limit: u32, ordered: bool) -> String {
    format!(
        "[[job]]\nname = 'work'\nbackoff = {{ initial = '10s', max = '10s' }}\n\
         concurrency = {{ limit = {limit}, ordered = {ordered} }}\n"
    )
}

/// A job with a key that waits at a gate of its own name and then writes it.
fn job(gate: &Gate, key: &str, name: &str) -> Value {
    let steps = json!([gate.step(name), effect(name)]);
    json!({ "name": "work", "concurrency_key": key, "payload": { "do": steps } })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_most_so_many_jobs_with_a_key_run_at_once() {
    let (gate, app) = (Gate::start().await, Gate::app().await);
    let plugin = Plugin::deploy(&app, &format!("{}{}", bound(2, false), gate.section())).await;
    let mut ids = Vec::new();
    for name in ["a", "b", "c", "d"] {
        ids.push(plugin.enqueue(job(&gate, "k", name)).await);
    }
    // Another key is not affected.
    plugin.enqueue(job(&gate, "other", "e")).await;
    for name in ["a", "b", "e"] {
        gate.arrived(name, 1).await;
    }
    let blocked = plugin.jobs("state=blocked").await;
    assert_eq!(members(&blocked, "id"), [ids[3].clone(), ids[2].clone()]);
    assert_eq!(blocked[0]["waits_for"]["kind"], "key");
    assert_eq!(blocked[0]["concurrency"]["limit"], 2);
    gate.open("b");
    gate.arrived("c", 1).await;
    assert_eq!(gate.count("d"), 0);
    assert_eq!(plugin.jobs("state=blocked").await.len(), 1);
    for name in ["a", "c", "d", "e"] {
        gate.open(name);
    }
    plugin.until_idle().await;
    assert_eq!(plugin.effects().await.len(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_without_a_key_share_one() {
    let (gate, app) = (Gate::start().await, Gate::app().await);
    let plugin = Plugin::deploy(&app, &format!("{}{}", bound(1, false), gate.section())).await;
    for name in ["a", "b"] {
        plugin.enqueue_steps(json!([gate.step(name), effect(name)])).await;
    }
    gate.arrived("a", 1).await;
    assert_eq!(plugin.jobs("state=blocked").await.len(), 1);
    gate.open("b");
    gate.open("a");
    plugin.until_idle().await;
    assert_eq!(plugin.effects().await, ["a", "b"]);
}

#[tokio::test]
async fn ordered_jobs_wait_for_the_next_attempt_of_an_earlier_one() {
    let (gate, app) = (Gate::start().await, Gate::app().await);
    let plugin = Plugin::deploy(&app, &format!("{}{}", bound(1, true), gate.section())).await;
    let fails = json!([{ "fail": ["retry", "not yet"], "attempts": [1] }, effect("first")]);
    let first = json!({ "name": "work", "concurrency_key": "k", "payload": { "do": fails } });
    let first = plugin.enqueue(first).await;
    let mut second = job(&gate, "k", "second");
    // A priority does not change the order.
    second["priority"] = json!(-1_000);
    gate.open("second");
    plugin.until(&first, "scheduled").await;
    let second = plugin.enqueue(second).await;
    app.pass().await;
    let waiting = plugin.job(&second).await;
    assert_eq!(
        (&waiting["state"], &waiting["attempt"]),
        (&json!("blocked"), &json!(0))
    );
    app.advance(Duration::from_secs(10));
    app.pass().await;
    plugin.until(&second, "done").await;
    assert_eq!(plugin.effects().await, ["first", "second"]);
}

#[tokio::test]
async fn unordered_jobs_run_while_an_earlier_one_waits_for_its_next_attempt() {
    let (gate, app) = (Gate::start().await, Gate::app().await);
    let plugin = Plugin::deploy(&app, &format!("{}{}", bound(1, false), gate.section())).await;
    let fails = json!([{ "fail": ["retry", "not yet"], "attempts": [1] }, effect("first")]);
    let first = json!({ "name": "work", "concurrency_key": "k", "payload": { "do": fails } });
    let first = plugin.enqueue(first).await;
    plugin.until(&first, "scheduled").await;
    gate.open("second");
    let second = plugin.enqueue(job(&gate, "k", "second")).await;
    plugin.until(&second, "done").await;
    app.advance(Duration::from_secs(10));
    app.pass().await;
    plugin.until(&first, "done").await;
    assert_eq!(plugin.effects().await, ["second", "first"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delayed_job_does_not_occupy_its_key_and_waits_when_it_is_due() {
    let (gate, app) = (Gate::start().await, Gate::app().await);
    let plugin = Plugin::deploy(&app, &format!("{}{}", bound(1, false), gate.section())).await;
    let mut delayed = job(&gate, "k", "delayed");
    delayed["after_ms"] = json!(5_000);
    let delayed = plugin.enqueue(delayed).await;
    plugin.enqueue(job(&gate, "k", "now")).await;
    gate.arrived("now", 1).await;
    app.advance(Duration::from_secs(5));
    app.pass().await;
    assert_eq!(plugin.job(&delayed).await["state"], "blocked");
    gate.open("delayed");
    gate.open("now");
    plugin.until_idle().await;
    assert_eq!(plugin.effects().await, ["now", "delayed"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_job_lets_the_next_one_of_its_key_run() {
    let (gate, app) = (Gate::start().await, Gate::app().await);
    let plugin = Plugin::deploy(&app, &format!("{}{}", bound(1, true), gate.section())).await;
    let first = plugin.enqueue(job(&gate, "k", "first")).await;
    gate.arrived("first", 1).await;
    gate.open("second");
    let second = plugin.enqueue(job(&gate, "k", "second")).await;
    plugin
        .change("POST", &format!("/jobs/{first}/cancel"))
        .await
        .expect(202);
    plugin.until(&first, "cancelled").await;
    plugin.until(&second, "done").await;
    assert_eq!(plugin.effects().await, ["second"]);
}

#[tokio::test]
async fn of_a_hundred_ordered_jobs_each_runs_after_the_one_before() {
    let app = crate::app::App::start().await;
    let plugin = Plugin::deploy(&app, &bound(1, true)).await;
    let names: Vec<String> = (0..100).map(|number| format!("{number:03}")).collect();
    let steps: Vec<Value> = names
        .iter()
        .map(|name| json!({ "enqueue": { "name": "work", "concurrency_key": "k", "payload": { "do": [effect(name)] } } }))
        .collect();
    plugin.step(json!({ "transaction": steps })).await;
    plugin.settle().await;
    assert_eq!(plugin.effects().await, names);
}
