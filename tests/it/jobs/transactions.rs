//! Tests of jobs and events in transactions of the tenant's database, and of jobs that complete in
//! one.

use std::path::{Path, PathBuf};

use mortise::domain::id::{JobId, TenantId};
use mortise::domain::job::{Backoff, JobOrigin, NewJob};
use mortise::domain::outbox::OutboxEntry;
use serde_json::{Value, json};

use super::{Plugin, WORK, effect, outcomes, writing};
use crate::app::{App, START, open_database};

fn enqueue(key: &str) -> Value {
    json!({ "enqueue": writing(key) })
}

#[tokio::test]
async fn a_job_exists_if_its_transaction_commits() {
    let app = App::start().await;
    let plugin = Plugin::deploy(&app, WORK).await;
    let answers = plugin
        .step(json!({ "transaction": [effect("order"), enqueue("job"), enqueue("job 2")] }))
        .await;
    let ids = [&answers[1], &answers[2]].map(|id| id.as_str().unwrap().to_owned());
    for id in &ids {
        plugin.until(id, "done").await;
    }
    let mut effects = plugin.effects().await;
    effects.sort();
    assert_eq!(effects, ["job", "job 2", "order"]);
}

#[tokio::test]
async fn a_job_does_not_exist_if_its_transaction_does_not_commit() {
    let app = App::start().await;
    let plugin = Plugin::deploy(&app, WORK).await;
    for end in ["rollback", "drop"] {
        plugin
            .step(json!({ "transaction": [effect("order"), enqueue(end)], "end": end }))
            .await;
    }
    let wrong = json!({ "execute": "INSERT INTO nowhere VALUES (1)" });
    plugin
        .refused(json!({ "transaction": [effect("order"), enqueue("failed"), wrong] }))
        .await;
    let path = "/acme/p/do";
    let trap = json!({ "do": [{ "transaction": [enqueue("trap")], "end": "trap" }] });
    app.post(path).json(&trap).send().await.expect(502);
    app.pass().await;
    assert!(plugin.jobs("").await.is_empty());
    assert!(plugin.effects().await.is_empty());
}

#[tokio::test]
async fn an_entry_that_was_committed_right_before_a_crash_is_relayed_at_the_next_start() {
    let app = App::start().await;
    let plugin = Plugin::deploy(&app, WORK).await;
    let first = plugin.step(json!({ "transaction": [enqueue("first")] })).await;
    let first = plugin.until(first[0].as_str().unwrap(), "done").await;
    drop(plugin);
    let new = NewJob {
        id: JobId::generate(),
        tenant: tenant_of(&app).await,
        plugin: "p".parse().unwrap(),
        name: "work".parse().unwrap(),
        payload: first["payload"]
            .as_str()
            .unwrap()
            .replace("first", "second")
            .into(),
        origin: JobOrigin::Enqueued,
        priority: 0,
        run_at: START,
        max_attempts: 8,
        backoff: Backoff::default(),
        unique_key: None,
        concurrency: None,
        depth: 0,
        traceparent: None,
        created_at: START,
    };
    let id = new.id.to_string();
    let entry = serde_json::to_string(&OutboxEntry::Job(new)).unwrap();
    let app = app
        .restart_after(
            async |data| {
                let database = open_database(only_database(data));
                let sql = "INSERT INTO _mortise_outbox (entry) VALUES (?1)";
                database.execute(sql, [&entry]).unwrap();
            },
            |_| {},
        )
        .await;
    let plugin = Plugin::known(&app);
    app.pass().await;
    plugin.until(&id, "done").await;
    assert_eq!(plugin.effects().await, ["first", "second"]);
    // Nothing is left, and nothing is relayed again.
    app.pass().await;
    assert_eq!(plugin.jobs("").await.len(), 2);
}

#[tokio::test]
async fn jobs_of_a_restored_copy_of_the_database_are_not_taken_for_relayed_ones() {
    let app = App::start().await;
    let plugin = Plugin::deploy(&app, WORK).await;
    let add = async |plugin: &Plugin<'_>, key: &str| {
        let answers = plugin
            .step(json!({ "transaction": [effect("added"), enqueue(key)] }))
            .await;
        plugin.until(answers[1].as_str().unwrap(), "done").await;
    };
    add(&plugin, "a").await;
    drop(plugin);
    let mut copy = Vec::new();
    let app = app
        .restart_after(
            async |data| copy = std::fs::read(only_database(data)).unwrap(),
            |_| {},
        )
        .await;
    let plugin = Plugin::known(&app);
    for key in ["b", "c"] {
        add(&plugin, key).await;
    }
    drop(plugin);
    let app = app
        .restart_after(
            async |data| {
                let file = only_database(data);
                std::fs::remove_file(&file).unwrap();
                std::fs::write(&file, &copy).unwrap();
            },
            |_| {},
        )
        .await;
    let plugin = Plugin::known(&app);
    app.pass().await;
    assert_eq!(plugin.jobs("").await.len(), 3, "nothing is relayed again");
    // These entries have the sequences of the lost ones.
    for key in ["d", "e", "f"] {
        add(&plugin, key).await;
    }
    let effects = plugin.effects().await;
    let jobs: Vec<&String> = effects.iter().filter(|key| *key != "added").collect();
    assert_eq!(jobs, ["a", "d", "e", "f"]);
    assert_eq!(plugin.jobs("state=done").await.len(), 6);
}

async fn tenant_of(app: &App) -> TenantId {
    let tenant = app.admin("GET", "/tenants/acme").send().await.expect(200).json();
    tenant["id"].as_str().unwrap().parse().unwrap()
}

/// The database of the only tenant.
fn only_database(data: &Path) -> PathBuf {
    let files = std::fs::read_dir(data.join("databases")).unwrap();
    let mut files = files.map(|file| file.unwrap().path());
    files
        .find(|file| file.extension().is_some_and(|kind| kind == "db"))
        .unwrap()
}

#[tokio::test]
async fn a_job_that_completes_in_its_transaction_is_done_whatever_follows() {
    let app = App::start().await;
    let plugin = Plugin::deploy(&app, WORK).await;
    for (key, after) in [
        ("retry", json!({ "fail": ["retry", "too late"] })),
        ("discard", json!({ "fail": ["discard", "too late"] })),
        ("trap", json!({ "trap": null })),
    ] {
        let completes = json!({ "transaction": [effect(key), { "complete": null }] });
        let id = plugin.enqueue_steps(json!([completes, after])).await;
        let done = plugin.until(&id, "done").await;
        assert_eq!(outcomes(&done), ["done"], "{key}");
    }
    assert_eq!(plugin.effects().await, ["retry", "discard", "trap"]);
}

#[tokio::test]
async fn a_completion_that_is_rolled_back_did_not_happen() {
    let app = App::start().await;
    let plugin = Plugin::deploy(&app, WORK).await;
    let rolled_back =
        json!({ "transaction": [effect("first"), { "complete": null }], "end": "rollback", "attempts": [1] });
    let fail = json!({ "fail": ["retry", "no"], "attempts": [1] });
    let completes = json!({ "transaction": [effect("second"), { "complete": null }] });
    let id = plugin.enqueue_steps(json!([rolled_back, fail, completes])).await;
    plugin.until(&id, "scheduled").await;
    app.advance(std::time::Duration::from_secs(1));
    app.pass().await;
    plugin.until(&id, "done").await;
    assert_eq!(plugin.effects().await, ["second"]);
}

#[tokio::test]
async fn only_a_job_completes_and_only_once() {
    let app = App::start().await;
    let plugin = Plugin::deploy(&app, WORK).await;
    let outside = plugin
        .refused(json!({ "transaction": [effect("x"), { "complete": null }] }))
        .await;
    assert!(outside.contains("Invalid"), "{outside}");
    assert!(plugin.effects().await.is_empty());
    let once = json!({ "transaction": [effect("a"), { "complete": null }] });
    let again = json!({ "transaction": [effect("b"), { "complete": null }], "anyway": true });
    let id = plugin
        .enqueue_steps(json!([once, again, { "report": "twice" }]))
        .await;
    plugin.until(&id, "done").await;
    let reports = plugin.reports("twice").await;
    let error = reports[0].1[1]["error"].as_str().unwrap();
    assert!(error.contains("Conflict") || error.contains("Invalid"), "{error}");
    assert_eq!(plugin.effects().await, ["a"]);
}

#[tokio::test]
async fn a_plugin_cannot_touch_the_tables_of_the_host() {
    let app = App::start().await;
    let plugin = Plugin::deploy(&app, WORK).await;
    plugin.step(json!({ "transaction": [enqueue("job")] })).await;
    for sql in [
        "INSERT INTO _mortise_outbox (entry) VALUES ('{}')",
        "DELETE FROM _mortise_outbox",
        "SELECT * FROM _mortise_outbox",
        "UPDATE _mortise_outbox_epoch SET epoch = 'x'",
        "DROP TABLE _mortise_outbox",
        "CREATE TABLE _mortise_completed (job)",
        "CREATE TABLE _mortise_other (a)",
        "DELETE FROM sqlite_sequence",
        "ALTER TABLE effects RENAME TO _mortise_effects",
    ] {
        let error = plugin.refused(json!({ "execute": sql })).await;
        assert!(
            error.contains("Denied") || error.contains("Invalid"),
            "{sql}: {error}"
        );
    }
}

#[tokio::test]
async fn jobs_of_transactions_keep_their_due_time_and_their_trace() {
    let app = App::start().await;
    let plugin = Plugin::deploy(&app, WORK).await;
    let mut job = writing("later");
    job["after_ms"] = json!(60_000);
    let answers = plugin.step(json!({ "transaction": [{ "enqueue": job }] })).await;
    let id = answers[0].as_str().unwrap();
    app.pass().await;
    let waiting = plugin.job(id).await;
    assert_eq!(waiting["state"], "scheduled");
    let due = START.saturating_add(std::time::Duration::from_secs(60));
    assert_eq!(waiting["due_at"], due.to_string());
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let body = json!({ "do": [{ "enqueue": { "name": "work", "payload": { "do": [{ "context": null }, { "report": "trace" }] } } }] });
    let reply = app
        .post("/acme/p/do")
        .header("traceparent", trace)
        .json(&body)
        .send()
        .await;
    let id = reply.expect(200).json()[0]["ok"].as_str().unwrap().to_owned();
    plugin.until(&id, "done").await;
    let seen = &plugin.reports("trace").await[0].1[0]["ok"]["traceparent"];
    let seen = seen.as_str().unwrap();
    assert!(seen.contains("4bf92f3577b34da6a3ce929d0e0e4736"), "{seen}");
}
