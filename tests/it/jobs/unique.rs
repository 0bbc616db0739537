//! Tests of unique keys: while a job with the key is live, no other one is added.

use serde_json::{Value, json};

use super::gate::Gate;
use super::{Plugin, WORK, effect, writing};
use crate::app::App;

const KINDS: &str = "[[job]]\nname = 'work'\n[[job]]\nname = 'other'\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_taken_while_its_job_waits_or_runs_and_free_when_it_ended() {
    let (gate, app) = (Gate::start().await, Gate::app().await);
    let plugin = Plugin::deploy(&app, &format!("{KINDS}{}", gate.section())).await;
    let keyed = |name: &str, steps: Value| json!({ "name": name, "unique_key": "order-7", "payload": { "do": steps } });
    let job = keyed("work", json!([gate.step("first"), effect("first")]));
    let first = plugin.enqueue(job.clone()).await;
    gate.arrived("first", 1).await;
    assert_eq!(
        plugin.enqueue(keyed("work", json!([effect("second")]))).await,
        first
    );
    // The key belongs to the kind of job and the plugin.
    let other = plugin.enqueue(keyed("other", json!([effect("other")]))).await;
    assert_ne!(other, first);
    plugin.until(&other, "done").await;
    let beside = plugin.beside("q", WORK).await;
    assert_ne!(beside.enqueue(keyed("work", json!([]))).await, first);
    gate.open("first");
    plugin.until(&first, "done").await;
    let third = plugin.enqueue(keyed("work", json!([effect("third")]))).await;
    assert_ne!(third, first);
    plugin.until(&third, "done").await;
    assert_eq!(plugin.effects().await, ["other", "first", "third"]);
}

#[tokio::test]
async fn a_key_is_taken_between_attempts_and_free_after_the_last_one() {
    let app = App::start().await;
    let plugin = Plugin::deploy(&app, WORK).await;
    let failing = json!({
        "name": "work", "unique_key": "k", "payload": { "do": [{ "fail": ["retry", "no"], "attempts": [1] },
        { "fail": ["discard", "no"] }] },
    });
    let first = plugin.enqueue(failing).await;
    plugin.until(&first, "scheduled").await;
    let mut again = writing("again");
    again["unique_key"] = json!("k");
    assert_eq!(plugin.enqueue(again.clone()).await, first);
    app.advance(std::time::Duration::from_secs(1));
    app.pass().await;
    plugin.until(&first, "dead").await;
    let second = plugin.enqueue(again).await;
    assert_ne!(second, first);
    plugin.until(&second, "done").await;
}

#[tokio::test]
async fn a_dead_letter_is_not_retried_while_its_key_is_taken() {
    let app = App::start().await;
    let plugin = Plugin::deploy(&app, WORK).await;
    let dead =
        json!({ "name": "work", "unique_key": "k", "payload": { "do": [{ "fail": ["discard", "no"] }] } });
    let dead = plugin.enqueue(dead).await;
    plugin.until(&dead, "dead").await;
    let mut live = writing("live");
    live["unique_key"] = json!("k");
    live["after_ms"] = json!(60_000);
    plugin.enqueue(live).await;
    let reply = plugin.change("POST", &format!("/jobs/{dead}/retry")).await;
    assert_eq!(reply.status.as_u16(), 409, "{}", reply.text());
    assert_eq!(plugin.job(&dead).await["state"], "dead");
}

#[tokio::test]
async fn of_many_requests_at_once_one_adds_the_job() {
    let app = App::start().await;
    let plugin = Plugin::deploy(&app, WORK).await;
    let mut job = writing("once");
    job["unique_key"] = json!("k");
    job["after_ms"] = json!(1_000);
    let step = json!({ "enqueue": job });
    let adding = (0..20).map(|_| plugin.step(step.clone()));
    let mut ids = futures_util::future::join_all(adding).await;
    ids.dedup();
    assert_eq!(ids.len(), 1, "{ids:?}");
    assert_eq!(plugin.jobs("").await.len(), 1);
}

#[tokio::test]
async fn a_key_holds_for_jobs_of_transactions_too() {
    let app = App::start().await;
    let plugin = Plugin::deploy(&app, WORK).await;
    let mut job = writing("live");
    job["unique_key"] = json!("k");
    job["after_ms"] = json!(60_000);
    let live = plugin.enqueue(job).await;
    let mut second = writing("second");
    second["unique_key"] = json!("k");
    plugin
        .step(json!({ "transaction": [effect("committed"), { "enqueue": second }] }))
        .await;
    app.pass().await;
    assert_eq!(super::members(&plugin.jobs("").await, "id"), [live]);
    assert_eq!(plugin.effects().await, ["committed"]);
}
