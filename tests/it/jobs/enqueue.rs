//! Tests of adding jobs: what a job gets, when it runs, in which order, and what is refused.

use std::time::Duration;

use serde_json::json;
use test_artifacts::{BACKGROUND, ECHO};

use super::gate::Gate;
use super::{Plugin, WORK, effect, members, outcomes, writing};
use crate::app::{App, START, bundled, open_manifest};
use crate::upload::wasm::with_manifest;

#[tokio::test]
async fn a_job_runs_with_what_it_was_given() {
    let app = App::start().await;
    let plugin = Plugin::deploy(&app, WORK).await;
    let payload = json!({ "do": [{ "job": null }, { "context": null }, { "report": "seen" }], "ü": "日本" });
    let id = plugin
        .enqueue(json!({ "name": "work", "payload": payload.to_string() }))
        .await;
    let job = plugin.until(&id, "done").await;
    let reports = plugin.reports("seen").await;
    let [(1, results)] = reports.as_slice() else {
        panic!("{reports:?}");
    };
    let seen = &results[0]["ok"];
    assert_eq!(
        *seen,
        json!({
            "id": id, "name": "work", "payload": payload.to_string(), "origin": { "kind": "enqueued" },
            "attempt": 1, "max_attempts": 8,
        })
    );
    let context = &results[1]["ok"];
    assert!(context["trigger"].as_str().unwrap().ends_with("Job"), "{context}");
    assert!(context["remaining_ms"].as_u64().unwrap() <= 60_000, "{context}");

    assert_eq!((&job["plugin"], &job["job"]), (&json!("p"), &json!("work")));
    assert_eq!(job["payload"], payload.to_string());
    assert_eq!(job["origin"], json!({ "kind": "enqueued" }));
    assert_eq!(outcomes(&job), ["done"]);
    assert_eq!(job["attempts"][0]["invocation"], context["id"]);
    assert_eq!(job["created_at"], START.to_string());
    for absent in ["waits_for", "error", "lease_until"] {
        assert!(job.get(absent).is_none(), "{absent}: {job}");
    }
}

#[tokio::test]
async fn an_attempt_is_an_invocation_with_a_record_and_a_log() {
    let app = App::start().await;
    let plugin = Plugin::deploy(&app, WORK).await;
    let id = plugin
        .enqueue_steps(json!([{ "log": "said by a job" }, effect("a")]))
        .await;
    let job = plugin.until(&id, "done").await;
    app.host.flush().await;
    let invocation = job["attempts"][0]["invocation"].as_str().unwrap();
    let record = plugin.read(&format!("/invocations/{invocation}")).await;
    assert_eq!(record["trigger"], "job");
    assert_eq!(record["plugin"], "p");
    assert_eq!(record["usage"]["sql_statements"], 1);
    let triggered = record.to_string();
    assert!(
        triggered.contains("\"work\"") && triggered.contains("done"),
        "{record:#}"
    );
    let lines = plugin.read(&format!("/logs?invocation={invocation}")).await;
    assert_eq!(lines["items"][0]["message"], "said by a job");
}

#[tokio::test]
async fn a_delayed_job_waits_until_it_is_due() {
    let app = App::start().await;
    let plugin = Plugin::deploy(&app, WORK).await;
    let mut job = writing("later");
    job["after_ms"] = json!(60_000);
    let id = plugin.enqueue(job).await;
    app.advance(Duration::from_millis(59_999));
    app.pass().await;
    let waiting = plugin.job(&id).await;
    assert_eq!(waiting["state"], "scheduled");
    assert_eq!(waiting["waits_for"]["kind"], "time");
    assert_eq!(
        waiting["due_at"],
        START.saturating_add(Duration::from_secs(60)).to_string()
    );
    app.advance(Duration::from_millis(1));
    app.pass().await;
    plugin.until(&id, "done").await;
    assert_eq!(plugin.effects().await, ["later"]);
}

#[tokio::test]
async fn a_job_can_be_due_at_a_moment() {
    let app = App::start().await;
    let plugin = Plugin::deploy(&app, WORK).await;
    // The host's clock shows 22:13:20 UTC.
    let mut job = writing("moment");
    job["at"] = json!("2023-11-14T23:14:00+01:00");
    let id = plugin.enqueue(job).await;
    assert_eq!(plugin.job(&id).await["due_at"], "2023-11-14T22:14:00.000Z");
    app.advance(Duration::from_secs(40));
    app.pass().await;
    plugin.until(&id, "done").await;
    let mut past = writing("past");
    past["at"] = json!("2001-01-01T00:00:00Z");
    let id = plugin.enqueue(past).await;
    plugin.until(&id, "done").await;
}

#[tokio::test]
async fn a_waiting_job_survives_a_restart() {
    let app = App::start().await;
    let plugin = Plugin::deploy(&app, WORK).await;
    let mut job = writing("kept");
    job["after_ms"] = json!(60_000);
    let id = plugin.enqueue(job).await;
    drop(plugin);
    let app = app.restart().await;
    let plugin = Plugin::known(&app);
    app.advance(Duration::from_secs(60));
    app.pass().await;
    plugin.until(&id, "done").await;
    assert_eq!(plugin.effects().await, ["kept"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_with_a_lower_priority_number_run_first() {
    let (gate, app) = (Gate::start().await, Gate::app().await);
    let plugin = Plugin::deploy(&app, &format!("{WORK}{}", gate.section())).await;
    plugin.tenant.limit(&json!({ "jobs_running": 1 })).await;
    plugin.enqueue_steps(json!([gate.step("first")])).await;
    gate.arrived("first", 1).await;
    let mut last = String::new();
    for (key, priority) in [("usual", 0), ("late", 1_000), ("soon", -1_000), ("usual-2", 0)] {
        let mut job = writing(key);
        job["priority"] = json!(priority);
        last = plugin.enqueue(job).await;
    }
    let waiting = plugin.job(&last).await;
    assert_eq!(
        (&waiting["state"], &waiting["waits_for"]["kind"]),
        (&json!("ready"), &json!("slot"))
    );
    gate.open("first");
    plugin.until_idle().await;
    assert_eq!(plugin.effects().await, ["soon", "usual", "usual-2", "late"]);
}

#[tokio::test]
async fn a_job_that_cannot_be_is_refused_where_it_is_added() {
    let app = App::start().await;
    let keyed = "[[job]]\nname = 'keyed'\nconcurrency = { limit = 1 }\n";
    let plugin = Plugin::deploy(&app, &format!("{WORK}{keyed}")).await;
    let refused = [
        (json!({ "name": "wrok" }), "UnknownJob", "wrok"),
        (
            json!({ "name": "work", "priority": 1_001 }),
            "Invalid",
            "priority",
        ),
        (
            json!({ "name": "work", "priority": -1_001 }),
            "Invalid",
            "priority",
        ),
        (json!({ "name": "work", "at": "tomorrow" }), "Invalid", "tomorrow"),
        (
            json!({ "name": "work", "unique_key": "x".repeat(201) }),
            "Invalid",
            "200",
        ),
        (
            json!({ "name": "keyed", "concurrency_key": "x".repeat(201) }),
            "Invalid",
            "200",
        ),
        // The manifest has no bound for it.
        (
            json!({ "name": "work", "concurrency_key": "x" }),
            "Invalid",
            "concurrency",
        ),
    ];
    for (job, kind, named) in refused {
        let direct = plugin.refused(json!({ "enqueue": job })).await;
        assert!(direct.contains(kind) && direct.contains(named), "{job}: {direct}");
        // In a transaction there is no variant for an unknown job.
        let inside = plugin
            .refused(json!({ "transaction": [{ "enqueue": job }] }))
            .await;
        assert!(
            inside.contains("Invalid") && inside.contains(named),
            "{job}: {inside}"
        );
    }
    assert!(plugin.jobs("").await.is_empty(), "nothing was added");
    let longest = json!({
        "name": "keyed", "priority": 1_000, "unique_key": "x".repeat(200), "concurrency_key": "y".repeat(200),
    });
    let id = plugin.enqueue(longest).await;
    plugin.until(&id, "done").await;
}

#[tokio::test]
async fn a_job_adds_jobs_of_its_own() {
    let app = App::start().await;
    let plugin = Plugin::deploy(&app, WORK).await;
    let inner = json!({ "enqueue": writing("inner") });
    let id = plugin
        .enqueue_steps(json!([inner, { "report": "added" }, effect("outer")]))
        .await;
    plugin.until(&id, "done").await;
    let reports = plugin.reports("added").await;
    let inner = reports[0].1[0]["ok"].as_str().unwrap();
    let inner = plugin.until(inner, "done").await;
    assert_eq!(inner["depth"], 1);
    assert_eq!(plugin.job(&id).await["depth"], 0);
    let mut effects = plugin.effects().await;
    effects.sort();
    assert_eq!(effects, ["inner", "outer"]);
}

#[tokio::test]
async fn a_manifest_with_wrong_jobs_is_refused_at_the_upload() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    let component = std::fs::read(BACKGROUND).unwrap();
    for (sections, named) in [
        ("[[job]]\nname = 'Work'\n", "Work"),
        ("[[job]]\nname = 'work'\n[[job]]\nname = 'work'\n", "work"),
        ("[[job]]\nname = 'work'\nattempts = 0\n", "attempts"),
        ("[[job]]\nname = 'work'\nconcurrency = { limit = 0 }\n", "limit"),
        (
            "[[job]]\nname = 'work'\nbackoff = { initial = '1 year' }\n",
            "initial",
        ),
        ("[[job]]\nname = 'work'\nretries = 3\n", "retries"),
        ("[[subscribe]]\ntopic = 'a.b'\njob = 'absent'\n", "absent"),
        (
            "[[job]]\nname = 'work'\n[[subscribe]]\ntopic = 'a..b'\njob = 'work'\n",
            "a..b",
        ),
        ("[events]\npublish = ['a.>.b']\n", "a.>.b"),
    ] {
        let manifest = open_manifest("p", sections);
        let reply = acme.upload("p", with_manifest(&component, &manifest)).await;
        let problem = (422, "invalid-manifest".to_owned());
        assert_eq!(reply.problem(), problem, "{sections}: {}", reply.text());
        let detail = reply.json()["detail"].to_string();
        assert!(detail.contains(named), "{sections}: {detail}");
    }
    let no_handler = bundled(ECHO, &open_manifest("echo", WORK), &[]);
    let reply = acme.upload("echo", no_handler).await;
    assert_eq!(reply.status.as_u16(), 422, "{}", reply.text());
    assert!(reply.text().contains("job-handler"), "{}", reply.text());
}

#[tokio::test]
async fn lists_of_jobs_are_filtered_and_paged() {
    let app = App::start().await;
    let plugin = Plugin::deploy(&app, &format!("{WORK}[[job]]\nname = 'other'\n")).await;
    let mut ids = Vec::new();
    for number in 0..5 {
        let mut job = writing(&number.to_string());
        job["after_ms"] = json!(60_000);
        if number == 4 {
            job["name"] = json!("other");
        }
        ids.push(plugin.enqueue(job).await);
    }
    ids.reverse();
    assert_eq!(members(&plugin.jobs("").await, "id"), ids);
    assert_eq!(members(&plugin.jobs("job=other").await, "id"), ids[..1]);
    assert_eq!(
        members(&plugin.jobs("state=scheduled&job=work").await, "id"),
        ids[1..]
    );
    assert!(plugin.jobs("state=done,dead").await.is_empty());
    let first = plugin.read("/jobs?limit=2").await;
    let next = first["next"].as_str().unwrap();
    let second = plugin.read(&format!("/jobs?limit=2&cursor={next}")).await;
    assert_eq!(members(second["items"].as_array().unwrap(), "id"), ids[2..4]);
    let reply = plugin.change("GET", "/jobs?state=waiting").await;
    let reply = reply.expect_problem(400, "invalid-request");
    assert!(reply.text().contains("scheduled"), "{}", reply.text());
}
