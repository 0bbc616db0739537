//! Tests of operating jobs: retry, cancel, purge, dead letters, roles, the audit log, metrics,
//! retention, export and erasure.

use std::time::Duration;

use serde_json::{Value, json};

use super::gate::Gate;
use super::{Plugin, WORK, effect, members, outcomes, writing};
use crate::app::App;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A job that is a dead letter until [`mend`] was called.
fn fragile(key: &str) -> Value {
    // Without the report, the key is NULL, which the table refuses.
    let sql = "INSERT INTO effects (key) VALUES ((SELECT $1 WHERE EXISTS \
        (SELECT 1 FROM reports WHERE label = 'mended')))";
    let fails = json!({ "execute": sql, "params": [key] });
    json!({ "name": "once", "payload": { "do": [fails] } })
}

const ONCE: &str = "[[job]]\nname = 'once'\nattempts = 1\n";

/// What is wrong with the jobs is mended.
async fn mend(plugin: &Plugin<'_>) {
    plugin
        .step(json!({ "execute": "INSERT INTO reports (label) VALUES ('mended')" }))
        .await;
}

#[tokio::test]
async fn a_dead_letter_is_inspected_and_replayed() {
    let app = App::start().await;
    let plugin = Plugin::deploy(&app, ONCE).await;
    let id = plugin.enqueue(fragile("a")).await;
    let dead = plugin.until(&id, "dead").await;
    // The plugin's own error.
    assert!(dead["error"].as_str().unwrap().contains("effects.key"), "{dead}");
    assert!(dead["payload"].as_str().unwrap().contains("INSERT"), "{dead}");
    mend(&plugin).await;
    plugin
        .change("POST", &format!("/jobs/{id}/retry"))
        .await
        .expect(200);
    let done = plugin.until(&id, "done").await;
    assert_eq!(outcomes(&done), ["dead", "done"]);
    assert_eq!((&done["attempt"], &done["max_attempts"]), (&json!(2), &json!(2)));
    assert_eq!(plugin.effects().await, ["a"]);
    assert!(
        plugin.read("/dead-letters").await["items"]
            .as_array()
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn dead_letters_are_replayed_and_deleted_by_filter() {
    let app = App::start().await;
    let other = ONCE.replace("once", "other");
    let plugin = Plugin::deploy(&app, &format!("{ONCE}{other}")).await;
    let mut dead = Vec::new();
    for (name, key) in [("once", "a"), ("other", "b"), ("once", "c")] {
        let mut job = fragile(key);
        job["name"] = json!(name);
        let id = plugin.enqueue(job).await;
        plugin.until(&id, "dead").await;
        dead.push(id);
    }
    mend(&plugin).await;
    let retried = plugin
        .change("POST", "/dead-letters/retry?job=once")
        .await
        .expect(200);
    assert_eq!(retried.json(), json!({ "retried": 2 }));
    for id in [&dead[0], &dead[2]] {
        plugin.until(id, "done").await;
    }
    let left = plugin.read("/dead-letters").await;
    assert_eq!(members(left["items"].as_array().unwrap(), "id"), dead[1..2]);
    let purged = plugin.change("DELETE", "/dead-letters").await.expect(200);
    assert_eq!(purged.json()["purged"], 1);
    plugin
        .change("GET", &format!("/jobs/{}", dead[1]))
        .await
        .expect_problem(404, "not-found");
    let mut effects = plugin.effects().await;
    effects.sort();
    assert_eq!(effects, ["a", "c"]);
}

#[tokio::test]
async fn a_job_that_was_done_runs_from_the_beginning() {
    let app = App::start().await;
    let plugin = Plugin::deploy(&app, WORK).await;
    let insert = json!({ "execute": "INSERT INTO effects (key) VALUES ($1)", "params": ["a"] });
    let completes = json!([{ "transaction": [insert, { "complete": null }] }]);
    let id = plugin.enqueue_steps(completes).await;
    plugin.until(&id, "done").await;
    plugin
        .change("POST", &format!("/jobs/{id}/retry"))
        .await
        .expect(200);
    let twice = plugin
        .until_job(&id, |job| job["attempts"][1]["outcome"].is_string())
        .await;
    assert_eq!(outcomes(&twice), ["done", "done"]);
    assert_eq!(plugin.effects().await, ["a", "a"]);
}

#[tokio::test]
async fn a_waiting_job_is_run_now_or_cancelled() {
    let app = App::start().await;
    let plugin = Plugin::deploy(&app, WORK).await;
    let delayed = |key: &str| {
        let mut job = writing(key);
        job["after_ms"] = json!(3_600_000);
        job
    };
    let now = plugin.enqueue(delayed("now")).await;
    plugin
        .change("POST", &format!("/jobs/{now}/retry"))
        .await
        .expect(200);
    plugin.until(&now, "done").await;
    let never = plugin.enqueue(delayed("never")).await;
    let cancelled = plugin
        .change("POST", &format!("/jobs/{never}/cancel"))
        .await
        .expect(200);
    assert_eq!(cancelled.json()["state"], "cancelled");
    app.advance(Duration::from_secs(3_600));
    app.pass().await;
    assert_eq!(plugin.job(&never).await["state"], "cancelled");
    assert_eq!(plugin.effects().await, ["now"]);
    plugin
        .change("POST", &format!("/jobs/{never}/cancel"))
        .await
        .expect_problem(409, "conflict");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_job_is_cancelled_and_stopped() {
    let (gate, app) = (Gate::start().await, Gate::app().await);
    let plugin = Plugin::deploy(&app, &format!("{WORK}{}", gate.section())).await;
    let id = plugin
        .enqueue_steps(json!([gate.step("gate"), effect("x")]))
        .await;
    gate.arrived("gate", 1).await;
    plugin
        .change("POST", &format!("/jobs/{id}/retry"))
        .await
        .expect_problem(409, "conflict");
    let reply = plugin
        .change("POST", &format!("/jobs/{id}/cancel"))
        .await
        .expect(202);
    assert_eq!(reply.json()["cancel_requested"], true);
    let cancelled = plugin.until(&id, "cancelled").await;
    assert_eq!(outcomes(&cancelled), ["cancelled"]);
    gate.open("gate");
    assert!(plugin.effects().await.is_empty());
    app.until_gauges(|gauges| gauges["guests_running"] == 0 && gauges["job_slots_in_use"] == 0)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_are_purged_except_those_that_run() {
    let (gate, app) = (Gate::start().await, Gate::app().await);
    let plugin = Plugin::deploy(&app, &format!("{WORK}{}", gate.section())).await;
    let done = plugin.enqueue(writing("done")).await;
    plugin.until(&done, "done").await;
    let running = plugin.enqueue_steps(json!([gate.step("gate")])).await;
    gate.arrived("gate", 1).await;
    let mut waiting = writing("waiting");
    waiting["after_ms"] = json!(60_000);
    plugin.enqueue(waiting).await;
    let purged = plugin.change("DELETE", "/jobs").await.expect(200);
    assert_eq!(purged.json(), json!({ "purged": 2, "running": 1 }));
    assert_eq!(members(&plugin.jobs("").await, "id"), [running]);
    gate.open("gate");
    plugin.until_idle().await;
}

#[tokio::test]
async fn viewers_see_no_content_and_change_nothing() {
    let app = App::start().await;
    let plugin = Plugin::deploy(&app, &format!("{ONCE}{WORK}")).await;
    let mut job = fragile("a");
    job["unique_key"] = json!("order-7");
    let id = plugin.enqueue(job).await;
    plugin.until(&id, "dead").await;
    let token = async |role: &str| {
        let body = json!({ "name": role, "role": role });
        let call = app.admin("POST", &plugin.tenant.path("/tokens")).json(&body);
        let made = call.send().await.expect(201).json();
        made["credential"].as_str().unwrap().to_owned()
    };
    let (viewer, developer) = (token("viewer").await, token("developer").await);
    let path = plugin.tenant.path(&format!("/jobs/{id}"));
    let as_role =
        async |token: &str, method: &str, path: &str| app.admin_as(token, method, path).send().await;
    let seen = as_role(&viewer, "GET", &path).await.expect(200).json();
    for hidden in ["payload", "error", "unique_key"] {
        assert!(seen.get(hidden).is_none(), "{hidden}: {seen}");
    }
    assert!(seen["attempts"][0].get("error").is_none(), "{seen}");
    assert_eq!(seen["content_hidden"], true);
    let full = as_role(&developer, "GET", &path).await.expect(200).json();
    assert!(full["payload"].is_string() && full["error"].is_string());
    for (method, below) in [
        ("POST", format!("/jobs/{id}/retry")),
        ("POST", format!("/jobs/{id}/cancel")),
        ("DELETE", "/jobs".to_owned()),
        ("GET", "/jobs/export".to_owned()),
        ("POST", "/dead-letters/retry".to_owned()),
        ("DELETE", "/dead-letters".to_owned()),
        ("POST", "/plugins/p/jobs/pause".to_owned()),
        ("POST", "/plugins/p/jobs/once/pause".to_owned()),
    ] {
        let path = plugin.tenant.path(&below);
        let reply = as_role(&viewer, method, &path).await;
        assert_eq!(reply.status.as_u16(), 403, "{method} {below}: {}", reply.text());
    }
    as_role(&developer, "POST", &format!("{path}/retry"))
        .await
        .expect(200);
}

#[tokio::test]
async fn each_change_is_in_the_audit_log() {
    let app = App::start().await;
    let plugin = Plugin::deploy(&app, &format!("{ONCE}{WORK}")).await;
    let id = plugin.enqueue(fragile("a")).await;
    plugin.until(&id, "dead").await;
    let mut waiting = writing("waiting");
    waiting["after_ms"] = json!(60_000);
    let waiting = plugin.enqueue(waiting).await;
    for (method, path) in [
        ("POST", format!("/jobs/{id}/retry")),
        ("POST", format!("/jobs/{waiting}/cancel")),
        ("POST", "/plugins/p/jobs/once/pause".to_owned()),
        ("DELETE", "/plugins/p/jobs/once/pause".to_owned()),
        ("POST", "/dead-letters/retry".to_owned()),
        ("DELETE", "/dead-letters".to_owned()),
        ("DELETE", "/jobs".to_owned()),
    ] {
        plugin.until_idle().await;
        plugin.change(method, &path).await.expect(200);
    }
    let log = plugin.read("/audit?limit=200").await;
    let actions = members(log["items"].as_array().unwrap(), "action");
    for action in [
        "job.retry",
        "job.cancel",
        "job.pause",
        "job.resume",
        "dead-letter.retry",
        "dead-letter.purge",
        "job.purge",
    ] {
        assert!(actions.iter().any(|seen| seen == action), "{action}: {actions:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_count_jobs() {
    let (gate, app) = (Gate::start().await, Gate::app().await);
    let plugin = Plugin::deploy(&app, &format!("{ONCE}{WORK}{}", gate.section())).await;
    let running = plugin.enqueue_steps(json!([gate.step("gate")])).await;
    gate.arrived("gate", 1).await;
    let mut waiting = writing("waiting");
    waiting["after_ms"] = json!(60_000);
    plugin.enqueue(waiting).await;
    let gauges = app
        .until_gauges(|gauges| gauges["jobs_running"] == 1 && gauges["jobs_queued"] == 1)
        .await;
    assert_eq!(gauges["job_slots_in_use"], 1);
    assert_eq!(gauges["job_slots_total"], 4);
    gate.open("gate");
    plugin.until(&running, "done").await;
    let dead = plugin.enqueue(fragile("a")).await;
    plugin.until(&dead, "dead").await;
    let fails = json!([{ "fail": ["retry", "no"], "attempts": [1] }]);
    let retried = plugin.enqueue_steps(fails).await;
    plugin.until(&retried, "scheduled").await;
    for (series, value) in [
        ("mortise_jobs_enqueued_total", 4.0),
        ("mortise_jobs_ended_total{outcome=\"done\"}", 1.0),
        ("mortise_jobs_ended_total{outcome=\"dead\"}", 1.0),
        ("mortise_job_retries_total{reason=\"failed\"}", 1.0),
        ("mortise_jobs_dead", 1.0),
    ] {
        app.until_metric(series, value).await;
    }
    app.host.flush().await;
    let usage = plugin.read("/usage").await;
    assert!(usage.to_string().contains("jobs_enqueued"), "{usage:#}");
}

#[tokio::test]
async fn ended_jobs_are_deleted_after_their_retention() {
    let app = App::start().await;
    let plugin = Plugin::deploy(&app, &format!("{ONCE}{WORK}")).await;
    let done = plugin.enqueue(writing("done")).await;
    plugin.until(&done, "done").await;
    let dead = plugin.enqueue(fragile("dead")).await;
    plugin.until(&dead, "dead").await;
    app.advance(DAY);
    app.pass().await;
    assert_eq!(plugin.jobs("").await.len(), 2);
    app.advance(Duration::from_secs(1));
    app.pass().await;
    assert_eq!(members(&plugin.jobs("").await, "id"), [dead]);
    app.advance(DAY * 13);
    app.pass().await;
    assert!(plugin.jobs("").await.is_empty());
}

#[tokio::test]
async fn an_export_has_the_payloads_and_a_purge_erases_them() {
    let app = App::start().await;
    let plugin = Plugin::deploy(&app, &format!("{WORK}[events]\npublish = ['a.*']\n")).await;
    let mut secret = writing("ada@example.com");
    secret["after_ms"] = json!(60_000);
    plugin.enqueue(secret).await;
    let done = plugin.enqueue(writing("ada@example.com")).await;
    plugin.until(&done, "done").await;
    let export = plugin.change("GET", "/jobs/export").await.expect(200).text();
    assert_eq!(export.matches("ada@example.com").count(), 2, "{export}");
    plugin.change("DELETE", "/jobs").await.expect(200);
    let export = plugin.change("GET", "/jobs/export").await.expect(200).text();
    assert!(!export.contains("ada@example.com"), "{export}");
}
