//! Tests of the invocations of jobs: their records, and the limits of requests, which do not hold
//! for jobs.

use serde_json::{Value, json};

use super::gate::Gate;
use super::{Plugin, WORK, members, writing};
use crate::app::App;

#[tokio::test]
async fn an_attempt_has_a_record_that_is_found_by_its_kind_of_job() {
    let app = App::start().await;
    let plugin = Plugin::deploy(&app, &format!("{WORK}[[job]]\nname = 'other'\n")).await;
    let done = plugin.enqueue(writing("a")).await;
    plugin.until(&done, "done").await;
    let dead = plugin
        .enqueue_steps(json!([{ "fail": ["discard", "no stock"] }]))
        .await;
    plugin.until(&dead, "dead").await;
    let dead_job = dead.clone();
    app.host.flush().await;
    let records = async |query: &str| -> Vec<Value> {
        let page = plugin.read(&format!("/invocations?{query}")).await;
        page["items"].as_array().unwrap().clone()
    };
    let found = records("trigger=job&job=work").await;
    assert_eq!(members(&found, "job_id"), [dead.clone(), done]);
    assert_eq!(members(&found, "outcome"), ["discard", "done"]);
    assert_eq!([&found[0]["status"], &found[1]["status"]], [500, 200]);
    assert_eq!(found[0]["attempt"], 1);
    assert_eq!(found[0]["route"], json!(null));
    assert_eq!(members(&records("job=work&failed=true").await, "job_id"), [dead]);
    assert!(records("job=other").await.is_empty());
    let lines = plugin.read("/logs?level=warn").await;
    let line = &lines["items"][0];
    // Viewers read the log, so the line leads to the error and does not have it.
    let message = line["message"].as_str().unwrap();
    assert!(message.contains("the plugin discarded the job"), "{message}");
    assert!(message.contains(&dead_job), "{message}");
    assert!(!lines.to_string().contains("no stock"), "{lines:#}");
    assert_eq!((&line["job"], &line["attempt"]), (&json!("work"), &json!(1)));
}

#[tokio::test]
async fn a_job_takes_no_permit_of_a_request() {
    let (gate, app) = (Gate::start().await, Gate::app().await);
    let plugin = Plugin::deploy(&app, &format!("{WORK}{}", gate.section())).await;
    plugin
        .tenant
        .limit(&json!({ "concurrency": 1, "queue": 0 }))
        .await;
    let ids = [
        plugin.enqueue_steps(json!([gate.step("gate")])).await,
        plugin.enqueue_steps(json!([gate.step("gate")])).await,
    ];
    gate.arrived("gate", 2).await;
    plugin.send(json!([])).await;
    gate.open("gate");
    for id in ids {
        plugin.until(&id, "done").await;
    }
}
