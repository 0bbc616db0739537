//! Tests of the limits of jobs, steps and schedules.

use std::time::Duration;

use serde_json::{Value, json};
use test_artifacts::BACKGROUND;

use super::{around, bytes, usage};
use crate::app::{App, bundled};
use crate::jobs::gate::Gate;
use crate::jobs::{Plugin, WORK, manifest, writing};

/// A metric in the record of the last attempt of a job.
async fn used(plugin: &Plugin<'_>, job: &Value, metric: &str) -> u64 {
    plugin.app.host.flush().await;
    let attempts = job["attempts"].as_array().unwrap();
    let invocation = attempts.last().unwrap()["invocation"].as_str().unwrap();
    let record = plugin.read(&format!("/invocations/{invocation}")).await;
    let used = record["usage"][metric].as_u64();
    used.unwrap_or_else(|| panic!("{metric}: {record:#}"))
}

/// What the admin API counts of the tenant's jobs.
async fn summary(plugin: &Plugin<'_>, member: &str) -> u64 {
    plugin.read("/jobs/summary").await[member].as_u64().unwrap()
}

/// A job that is due in a minute.
fn delayed() -> Value {
    let mut job = writing("x");
    job["after_ms"] = json!(60_000);
    json!({ "enqueue": job })
}

#[track_caller]
fn is_refused(answer: &Value, kind: &str, limit: &str) {
    let error = answer["error"].as_str().unwrap_or_else(|| panic!("{answer}"));
    assert!(error.contains(kind) && error.contains(limit), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
pub async fn job_cpu() {
    let app = App::start().await;
    let plugin = Plugin::deploy(&app, WORK).await;
    plugin
        .tenant
        .limit(&json!({ "job_cpu": "30ms", "cpu": "10s" }))
        .await;
    let id = plugin.enqueue_steps(json!([{ "loop": null }])).await;
    let failed = plugin.until(&id, "scheduled").await;
    assert!(failed["error"].as_str().unwrap().contains("30"), "{failed}");
    assert!(used(&plugin, &failed, "cpu_us").await >= 30_000);
    let id = plugin.enqueue(delayed()["enqueue"].clone()).await;
    // The limit of requests does not hold for jobs.
    plugin
        .tenant
        .limit(&json!({ "job_cpu": "10s", "cpu": "1ms" }))
        .await;
    app.advance(Duration::from_secs(60));
    app.pass().await;
    let done = plugin.until(&id, "done").await;
    assert!((1..10_000_000).contains(&used(&plugin, &done, "cpu_us").await));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
pub async fn job_wall() {
    let app = App::start().await;
    let plugin = Plugin::deploy(&app, WORK).await;
    plugin
        .tenant
        .limit(&json!({ "job_wall": "150ms", "wall": "60s" }))
        .await;
    let id = plugin.enqueue_steps(json!([{ "sleep-ms": 3_600_000 }])).await;
    let failed = plugin.until(&id, "scheduled").await;
    assert!(failed["error"].as_str().unwrap().contains("150"), "{failed}");
    assert!(used(&plugin, &failed, "wall_us").await >= 150_000);
    // A job may take longer than a request.
    plugin
        .tenant
        .limit(&json!({ "job_wall": "60s", "wall": "5s" }))
        .await;
    let id = plugin
        .enqueue_steps(json!([{ "context": null }, { "report": "left" }]))
        .await;
    plugin.until(&id, "done").await;
    let left = plugin.reports("left").await[0].1[0]["ok"]["remaining_ms"].clone();
    assert!(left.as_u64().unwrap() > 5_000, "{left}");
}

#[tokio::test]
pub async fn job_payload() {
    let app = App::start().await;
    let sections = format!("{WORK}[events]\npublish = ['a.*']\n[[subscribe]]\ntopic = 'a.*'\njob = 'work'\n");
    let plugin = Plugin::deploy(&app, &sections).await;
    let payload = "é".repeat(500);
    let enqueue = json!({ "enqueue": { "name": "work", "payload": payload } });
    let publish = json!({ "publish": { "topic": "a.b", "payload": payload } });
    for (limit, fits) in around(1_000) {
        plugin.tenant.limit(&json!({ "job_payload": bytes(limit) })).await;
        for step in [&enqueue, &publish] {
            let reply = plugin.send(json!([step])).await;
            let answer = &reply.json()[0];
            if fits {
                assert!(answer["ok"].is_string(), "{answer}");
                assert_eq!(usage(&plugin.tenant, &reply, "job_payload_bytes").await, 1_000);
            } else {
                is_refused(answer, "TooLarge", "");
            }
            let reply = plugin.send(json!([{ "transaction": [step] }])).await;
            let answer = &reply.json()[0];
            if fits {
                assert!(answer["ok"].is_array(), "{answer}");
            } else {
                is_refused(answer, "Limit", "job_payload");
            }
        }
    }
}

#[tokio::test]
pub async fn jobs_enqueued() {
    let app = App::start().await;
    let sections = format!("{WORK}[events]\npublish = ['a.*']\n");
    let plugin = Plugin::deploy(&app, &sections).await;
    let publish = json!({ "publish": { "topic": "a.b", "payload": "{}" } });
    for (limit, fits) in around(3) {
        plugin.tenant.limit(&json!({ "jobs_enqueued": limit })).await;
        let reply = plugin.send(json!([delayed(), publish, delayed()])).await;
        let answers = reply.json();
        assert!(answers[1]["ok"].is_string(), "{answers}");
        if fits {
            assert!(answers[2]["ok"].is_string(), "{answers}");
            assert_eq!(usage(&plugin.tenant, &reply, "jobs_enqueued").await, 2);
            assert_eq!(usage(&plugin.tenant, &reply, "events_published").await, 1);
        } else {
            is_refused(&answers[2], "Limit", "jobs_enqueued");
        }
        let inside = json!([{ "transaction": [delayed(), delayed(), publish] }]);
        let answers = plugin.send(inside).await.json();
        if fits {
            assert!(answers[0]["ok"].is_array(), "{answers}");
        } else {
            is_refused(&answers[0], "Limit", "jobs_enqueued");
        }
    }
}

fn store(name: &str, bytes: usize) -> Value {
    json!({ "store-step": { "name": name, "result": "x".repeat(bytes) }, "anyway": true })
}

#[tokio::test]
pub async fn steps() {
    let app = App::start().await;
    let plugin = Plugin::deploy(&app, WORK).await;
    let inside = json!({ "transaction": [store("three", 1)], "anyway": true });
    for third in [store("three", 1), inside] {
        for (limit, fits) in around(3) {
            plugin.tenant.limit(&json!({ "steps": limit })).await;
            let label = format!("{limit}-{}", third.get("transaction").is_some());
            let again = store("one", 1);
            let steps = json!([store("one", 1), store("two", 1), again, third, { "report": label }]);
            let id = plugin.enqueue_steps(steps).await;
            let done = plugin.until(&id, "done").await;
            let results = plugin.reports(&label).await[0].1.clone();
            assert!(
                results[2].get("ok").is_some(),
                "a stored step takes no further place: {results}"
            );
            let result = match &results[3]["ok"][0] {
                Value::Null => &results[3],
                inner => inner,
            };
            if fits {
                assert!(result.get("ok").is_some(), "{results}");
                assert_eq!(used(&plugin, &done, "steps").await, 3);
            } else {
                is_refused(result, "Limit", "steps");
            }
        }
    }
}

#[tokio::test]
pub async fn step_bytes() {
    let app = App::start().await;
    let plugin = Plugin::deploy(&app, WORK).await;
    for (limit, fits) in around(1_000) {
        plugin.tenant.limit(&json!({ "step_bytes": bytes(limit) })).await;
        let label = limit.to_string();
        let id = plugin
            .enqueue_steps(json!([store("s", 1_000), { "report": label }]))
            .await;
        let done = plugin.until(&id, "done").await;
        let result = plugin.reports(&label).await[0].1[0].clone();
        if fits {
            assert!(result.get("ok").is_some(), "{result}");
            assert_eq!(used(&plugin, &done, "step_bytes").await, 1_000);
        } else {
            is_refused(&result, "Limit", "step_bytes");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
pub async fn jobs_running() {
    let gate = Gate::start().await;
    let app = App::configured(|config| {
        Gate::configure(config);
        config.jobs.running = 6;
    })
    .await;
    for (limit, _) in around(3) {
        let tenant = format!("t{limit}");
        let sections = format!("{WORK}{}", gate.section());
        let plugin = Plugin::deploy_for(&app, &tenant, &sections).await;
        plugin.tenant.limit(&json!({ "jobs_running": limit })).await;
        for _ in 0..3 {
            plugin.enqueue_steps(json!([gate.step(&tenant)])).await;
        }
        let running = limit.min(3);
        gate.arrived(&tenant, usize::try_from(running).unwrap()).await;
        assert_eq!(summary(&plugin, "running").await, running);
        let waiting = plugin.jobs("state=ready").await;
        assert_eq!(waiting.len() as u64, 3 - running);
        gate.open(&tenant);
        plugin.until_idle().await;
        assert_eq!(gate.count(&tenant), 3);
    }
}

#[tokio::test]
pub async fn job_backlog() {
    let app = App::start().await;
    for (limit, fits) in around(3) {
        let plugin = Plugin::deploy_for(&app, &format!("t{limit}"), WORK).await;
        plugin.tenant.limit(&json!({ "job_backlog": limit })).await;
        let answers = plugin.send(json!([delayed(), delayed(), delayed()])).await.json();
        if fits {
            assert!(answers[2]["ok"].is_string(), "{answers}");
        } else {
            is_refused(&answers[2], "Limit", "job_backlog");
        }
        assert_eq!(summary(&plugin, "live").await, limit.min(3));
        // Ended jobs make room.
        let jobs = plugin.jobs("").await;
        let path = format!("/jobs/{}/cancel", jobs[0]["id"].as_str().unwrap());
        plugin.change("POST", &path).await.expect(200);
        app.pass().await;
        plugin.step(delayed()).await;
    }
}

#[tokio::test]
async fn the_backlog_counts_each_receiver_of_an_event_of_a_transaction() {
    let app = App::start().await;
    let sections = format!(
        "{WORK}[events]\npublish = ['a.*']\n[[subscribe]]\ntopic = 'a.*'\njob = 'work'\n\
         [[job]]\nname = 'more'\n[[subscribe]]\ntopic = 'a.*'\njob = 'more'\n"
    );
    let plugin = Plugin::deploy(&app, &sections).await;
    plugin.change("POST", "/plugins/p/jobs/pause").await.expect(200);
    let mut event = json!({ "publish": { "topic": "a.b", "payload": { "do": [] } } });
    event["anyway"] = json!(true);
    for (limit, fits) in around(4) {
        plugin.tenant.limit(&json!({ "job_backlog": limit })).await;
        let commits = json!({ "transaction": [event, event] });
        let rolls_back = json!({ "transaction": [event, event], "end": "rollback" });
        // What is rolled back takes no room.
        for step in [rolls_back, commits] {
            let answers = plugin.step(step).await;
            assert!(answers[0]["ok"].is_string(), "{answers}");
            match fits {
                true => assert!(answers[1]["ok"].is_string(), "{answers}"),
                false => is_refused(&answers[1], "Limit", "job_backlog"),
            }
        }
        // What is committed and not relayed yet does.
        let committed = if fits { 4 } else { 2 };
        if limit == committed {
            is_refused(
                &plugin.send(json!([delayed()])).await.json()[0],
                "Limit",
                "job_backlog",
            );
        }
        app.pass().await;
        assert_eq!(summary(&plugin, "live").await, committed);
        plugin.change("DELETE", "/jobs").await.expect(200);
        app.pass().await;
    }
}

#[tokio::test]
pub async fn job_depth() {
    let app = App::start().await;
    for (limit, fits) in around(3) {
        let plugin = Plugin::deploy_for(&app, &format!("t{limit}"), WORK).await;
        plugin.tenant.limit(&json!({ "job_depth": limit })).await;
        let last = json!({ "enqueue": writing("third"), "anyway": true });
        let second = json!({ "name": "work", "payload": { "do": [last, { "report": "second" }] } });
        let first =
            json!({ "name": "work", "payload": { "do": [{ "enqueue": second }, { "report": "first" }] } });
        let first = plugin.enqueue(first).await;
        plugin.until(&first, "done").await;
        let second = plugin.reports("first").await[0].1[0]["ok"].clone();
        let second = plugin.until(second.as_str().unwrap(), "done").await;
        let third = &plugin.reports("second").await[0].1[0];
        if fits {
            let third = plugin.until(third["ok"].as_str().unwrap(), "done").await;
            assert_eq!(third["depth"], 2);
            assert_eq!(used(&plugin, &second, "job_depth").await, 3);
        } else {
            is_refused(third, "Limit", "job_depth");
        }
    }
}

/// Runs three jobs to their end, and lets the host delete what is above the limit. Returns how many
/// are left.
async fn left(plugin: &Plugin<'_>, steps: &Value, state: &str) -> u64 {
    for _ in 0..3 {
        let id = plugin.enqueue_steps(steps.clone()).await;
        plugin.until(&id, state).await;
    }
    plugin.app.advance(Duration::from_secs(60));
    plugin.app.pass().await;
    plugin.jobs(&format!("state={state}")).await.len() as u64
}

#[tokio::test]
pub async fn jobs_kept() {
    let app = App::start().await;
    for (limit, _) in around(3) {
        let plugin = Plugin::deploy_for(&app, &format!("t{limit}"), WORK).await;
        plugin
            .tenant
            .limit(&json!({ "jobs_kept": limit, "dead_jobs_kept": 0 }))
            .await;
        assert_eq!(left(&plugin, &json!([]), "done").await, limit.min(3));
        let kinds = plugin.read("/jobs/summary").await["kinds"].clone();
        assert_eq!(kinds[0]["states"]["done"], limit.min(3));
    }
}

#[tokio::test]
pub async fn dead_jobs_kept() {
    let app = App::start().await;
    let discard = json!([{ "fail": ["discard", "no"] }]);
    for (limit, _) in around(3) {
        let plugin = Plugin::deploy_for(&app, &format!("t{limit}"), WORK).await;
        plugin
            .tenant
            .limit(&json!({ "dead_jobs_kept": limit, "jobs_kept": 0 }))
            .await;
        assert_eq!(left(&plugin, &discard, "dead").await, limit.min(3));
        assert_eq!(summary(&plugin, "dead").await, limit.min(3));
    }
}

fn schedule(name: &str, cron: &str) -> String {
    format!("[[schedule]]\nname = '{name}'\ncron = '{cron}'\njob = 'work'\n")
}

/// Activates a version with these sections under a limit that is set after its upload. Returns
/// whether it is active.
async fn activates(app: &App, name: &str, sections: &str, limit: &Value) -> bool {
    let tenant = app.tenant(name).await;
    let manifest = manifest("p", sections).replace("migrations = 'migrations'\n", "");
    let uploaded = tenant.upload("p", bundled(BACKGROUND, &manifest, &[])).await;
    let version = uploaded.expect(201).json()["version"]
        .as_str()
        .unwrap()
        .to_owned();
    tenant.grant("p", &json!({ "database": true })).await;
    tenant.limit(limit).await;
    let reply = tenant.activate("p", &version).await;
    let member = limit.as_object().unwrap().keys().next().unwrap();
    match reply.status.as_u16() {
        200 => true,
        409 => {
            assert!(reply.text().contains(member.as_str()), "{}", reply.text());
            // At the upload the same limit is a fault of the manifest.
            let other = app.tenant(&format!("{name}-b")).await;
            other.limit(limit).await;
            let refused = other.upload("p", bundled(BACKGROUND, &manifest, &[])).await;
            let refused = refused.expect_problem(422, "invalid-manifest");
            assert!(refused.text().contains(member.as_str()), "{}", refused.text());
            false
        }
        other => panic!("{other}: {}", reply.text()),
    }
}

#[tokio::test]
pub async fn schedules() {
    let app = App::start().await;
    let three: String = ["a", "b", "c"].map(|name| schedule(name, "0 2 * * *")).concat();
    for (limit, fits) in around(3) {
        let name = format!("t{limit}");
        let sections = format!("{WORK}{three}");
        let active = activates(&app, &name, &sections, &json!({ "schedules": limit })).await;
        assert_eq!(active, fits, "{limit}");
        if active {
            let call = app.admin("GET", &format!("/tenants/{name}/schedules"));
            let page = call.send().await.expect(200).json();
            assert_eq!(page["items"].as_array().unwrap().len(), 3);
        }
    }
}

#[tokio::test]
pub async fn schedule_runs_per_hour() {
    let app = App::start().await;
    let sections = format!("{WORK}{}", schedule("often", "*/15 * * * *"));
    for (limit, fits) in around(4) {
        let name = format!("t{limit}");
        let limit = json!({ "schedule_runs_per_hour": limit });
        let active = activates(&app, &name, &sections, &limit).await;
        assert_eq!(active, fits, "{limit}");
    }
    // The shortest interval counts, not the number of times in an hour.
    let twice = format!("{WORK}{}", schedule("twice", "0,1 * * * *"));
    let limit = json!({ "schedule_runs_per_hour": 59 });
    assert!(!activates(&app, "twice", &twice, &limit).await);
}
