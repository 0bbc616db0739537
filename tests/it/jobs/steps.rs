//! Tests of durable steps: their results stay until the job is done or deleted.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Plugin, WORK, effect};
use crate::app::{App, open_database};

fn store(name: &str, result: &str) -> Value {
    json!({ "store-step": { "name": name, "result": result } })
}

fn load(name: &str) -> Value {
    json!({ "load-step": name })
}

/// Fails the first attempt.
fn fail_once() -> Value {
    json!({ "fail": ["retry", "no"], "attempts": [1] })
}

/// Lets a failed job run again.
async fn retry(app: &App, plugin: &Plugin<'_>, id: &str) {
    plugin.until(id, "scheduled").await;
    app.advance(Duration::from_secs(1));
    app.pass().await;
    plugin.until(id, "done").await;
}

#[tokio::test]
async fn a_later_attempt_finds_the_results_of_earlier_ones() {
    let app = App::start().await;
    let plugin = Plugin::deploy(&app, WORK).await;
    let steps = json!([load("charge"), { "report": "found" }, store("charge", "ch_1"), fail_once()]);
    let first = plugin.enqueue_steps(steps.clone()).await;
    retry(&app, &plugin, &first).await;
    let reports = plugin.reports("found").await;
    assert_eq!(
        reports,
        [(1, json!([{ "ok": null }])), (2, json!([{ "ok": "ch_1" }]))]
    );
    // Another job has its own steps.
    let second = plugin.enqueue_steps(steps).await;
    retry(&app, &plugin, &second).await;
    assert_eq!(plugin.reports("found").await[2].1, json!([{ "ok": null }]));
}

#[tokio::test]
async fn a_job_that_is_retried_finds_the_results_of_its_steps() {
    let app = App::start().await;
    let plugin = Plugin::deploy(&app, WORK).await;
    let discard = json!({ "fail": ["discard", "no"], "attempts": [1] });
    let steps = json!([load("charge"), { "report": "found" }, store("charge", "ch_1"), discard]);
    let id = plugin.enqueue_steps(steps).await;
    plugin.until(&id, "dead").await;
    // The maintenance removes what jobs left that are done.
    app.advance(Duration::from_secs(3_601));
    app.pass().await;
    plugin
        .change("POST", &format!("/jobs/{id}/retry"))
        .await
        .expect(200);
    plugin.until(&id, "done").await;
    let reports = plugin.reports("found").await;
    assert_eq!(
        reports,
        [(1, json!([{ "ok": null }])), (2, json!([{ "ok": "ch_1" }]))]
    );
}

#[tokio::test]
async fn a_stored_result_stays() {
    let app = App::start().await;
    let plugin = Plugin::deploy(&app, WORK).await;
    let steps = json!([store("s", "one"), store("s", "two"), load("s"), { "report": "kept" }]);
    let id = plugin.enqueue_steps(steps).await;
    plugin.until(&id, "done").await;
    assert_eq!(plugin.reports("kept").await[0].1[2], json!({ "ok": "one" }));
}

#[tokio::test]
async fn a_step_in_a_transaction_is_stored_with_its_effect_or_not_at_all() {
    let app = App::start().await;
    let plugin = Plugin::deploy(&app, WORK).await;
    let rolled_back = json!({ "transaction": [effect("lost"), store("lost", "x")], "end": "rollback" });
    let committed = json!({ "transaction": [effect("kept"), store("kept", "y")], "attempts": [1] });
    let steps =
        json!([rolled_back, committed, fail_once(), load("lost"), load("kept"), { "report": "steps" }]);
    let id = plugin.enqueue_steps(steps).await;
    retry(&app, &plugin, &id).await;
    let reports = plugin.reports("steps").await;
    let [(2, results)] = reports.as_slice() else {
        panic!("{reports:?}");
    };
    let loaded = [&results[1], &results[2]];
    assert_eq!(loaded, [&json!({ "ok": null }), &json!({ "ok": "y" })]);
    assert_eq!(plugin.effects().await, ["kept"]);
}

#[tokio::test]
async fn only_a_job_has_steps_and_their_names_are_short() {
    let app = App::start().await;
    let plugin = Plugin::deploy(&app, WORK).await;
    for step in [
        load("s"),
        store("s", "x"),
        json!({ "transaction": [store("s", "x")] }),
    ] {
        let error = plugin.refused(step).await;
        assert!(error.contains("Invalid"), "{error}");
    }
    let long = "x".repeat(101);
    let mut wrong = store(&long, "x");
    wrong["anyway"] = json!(true);
    let steps = json!([wrong, store(&"x".repeat(100), "x"), { "report": "names" }]);
    let id = plugin.enqueue_steps(steps).await;
    plugin.until(&id, "done").await;
    let results = plugin.reports("names").await;
    let error = results[0].1[0]["error"].as_str().unwrap();
    assert!(error.contains("Invalid") && error.contains("100"), "{error}");
}

#[tokio::test]
async fn the_steps_of_jobs_that_are_done_are_removed() {
    let app = App::start().await;
    let plugin = Plugin::deploy(&app, WORK).await;
    let ended = plugin
        .enqueue_steps(json!([store("s", "x"), { "transaction": [{ "complete": null }] }]))
        .await;
    plugin.until(&ended, "done").await;
    let mut waiting = json!({ "name": "work", "payload": { "do": [store("s", "y"), fail_once()] } });
    waiting["unique_key"] = json!("waiting");
    let waiting = plugin.enqueue(waiting).await;
    plugin.until(&waiting, "scheduled").await;
    app.pass().await;
    // That a job is completed is known for an hour, because its acknowledgement may be lost.
    let rows = |table: &str| {
        let file = app
            .files("databases")
            .into_iter()
            .find(|file| file.extension().is_some_and(|kind| kind == "db"))
            .unwrap();
        let database = open_database(file);
        let sql = format!("SELECT job FROM {table}");
        let mut statement = database.prepare(&sql).unwrap();
        let found = statement.query_map((), |row| row.get::<_, String>(0)).unwrap();
        found.map(Result::unwrap).collect::<Vec<_>>()
    };
    assert_eq!(rows("_mortise_steps"), [waiting]);
    assert_eq!(rows("_mortise_completed"), [ended]);
    app.advance(Duration::from_secs(3_601));
    app.pass().await;
    assert!(rows("_mortise_completed").is_empty());
}
