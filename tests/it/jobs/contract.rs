//! Tests of jobs with plugins of contract 0.1: delays in milliseconds, events without an id.

use std::time::Duration;

use serde_json::json;
use test_artifacts::BACKGROUND_0_1;

use super::{Plugin, TABLES, WORK, effect, manifest, outcomes};
use crate::app::App;

const SECTIONS: &str = "[events]\npublish = ['order.*']\n\
    [[job]]\nname = 'heard'\n[[subscribe]]\ntopic = 'order.created'\njob = 'heard'\n";

/// The plugin, built for contract 0.1.
async fn deploy<'a>(app: &'a App, more: &str) -> Plugin<'a> {
    let acme = app.tenant("acme").await;
    let manifest = manifest("p", &format!("{WORK}{SECTIONS}{more}"));
    acme.deploy(BACKGROUND_0_1, &manifest, &[TABLES]).await;
    Plugin::known(app)
}

#[tokio::test]
async fn a_plugin_of_contract_0_1_adds_and_runs_jobs() {
    let app = App::start().await;
    let plugin = deploy(&app, "").await;
    let fail = json!({ "fail": ["retry-after", 5_000, "no"], "attempts": [1] });
    let job = json!({
        "name": "work", "after_ms": 60_000, "unique_key": "k",
        "payload": { "do": [{ "job": null }, { "report": "seen" }, fail, effect("ran")] },
    });
    let id = plugin.enqueue(job.clone()).await;
    assert_eq!(plugin.enqueue(job).await, id);
    app.advance(Duration::from_millis(59_999));
    app.pass().await;
    assert_eq!(plugin.job(&id).await["state"], "scheduled");
    app.advance(Duration::from_millis(1));
    app.pass().await;
    plugin
        .until_job(&id, |job| job["attempt"] == 1 && job["state"] == "scheduled")
        .await;
    app.advance(Duration::from_secs(5));
    app.pass().await;
    let done = plugin.until(&id, "done").await;
    assert_eq!(outcomes(&done), ["retry", "done"]);
    let seen = plugin.reports("seen").await;
    assert_eq!((seen[0].0, seen[1].0), (1, 2));
    assert_eq!(seen[1].1[0]["ok"]["origin"], json!({ "kind": "enqueued" }));
    assert_eq!(plugin.effects().await, ["ran"]);
}

#[tokio::test]
async fn a_plugin_of_contract_0_1_publishes_and_hears_events() {
    let app = App::start().await;
    let plugin = deploy(&app, "").await;
    let heard = json!({ "do": [{ "job": null }, { "report": "heard" }] });
    let event = json!({ "publish": { "topic": "order.created", "payload": heard } });
    assert_eq!(plugin.step(event.clone()).await, json!(null), "it has no id");
    plugin
        .step(json!({ "transaction": [effect("order"), event] }))
        .await;
    plugin.settle().await;
    assert_eq!(plugin.reports("heard").await.len(), 2);
    for (_, results) in plugin.reports("heard").await {
        let origin = &results[0]["ok"]["origin"];
        assert_eq!(
            (&origin["topic"], &origin["source"]),
            (&json!("order.created"), &json!("p"))
        );
    }
}

#[tokio::test]
async fn a_plugin_of_contract_0_1_has_schedules_and_typed_errors() {
    let app = App::start().await;
    let payload = json!({ "do": [effect("ran")] });
    let schedule =
        format!("[[schedule]]\nname = 's'\ncron = '* * * * *'\njob = 'work'\npayload = '''{payload}'''\n");
    let plugin = deploy(&app, &schedule).await;
    app.pass().await;
    app.advance(Duration::from_secs(40));
    app.pass().await;
    plugin.until_idle().await;
    let origin = plugin.query("SELECT origin FROM effects").await[0][0].clone();
    let origin: serde_json::Value = serde_json::from_str(origin.as_str().unwrap()).unwrap();
    assert_eq!(
        origin,
        json!({ "kind": "schedule", "due_at": "2023-11-14T22:14:00.000Z" })
    );
    let error = plugin.refused(json!({ "enqueue": { "name": "absent" } })).await;
    assert!(error.contains("UnknownJob"), "{error}");
    // Contract 0.1 has no variant for an invalid key.
    let long = json!({ "enqueue": { "name": "work", "unique_key": "x".repeat(201) } });
    let error = plugin.refused(long).await;
    assert!(error.contains("200"), "{error}");
}
