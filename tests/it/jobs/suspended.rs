//! Tests of jobs that cannot run: suspended tenants, disabled plugins, paused jobs, versions
//! without the job, and deleted plugins. The admin API says what each waits for.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Plugin, WORK, eventually, writing};
use crate::app::App;

/// Adds a job that is due in a second.
async fn soon(plugin: &Plugin<'_>, key: &str) -> String {
    let mut job = writing(key);
    job["after_ms"] = json!(1_000);
    plugin.enqueue(job).await
}

/// Makes the job due, and waits until it is held. Returns the reason.
async fn held(plugin: &Plugin<'_>, id: &str) -> String {
    plugin.app.advance(Duration::from_secs(1));
    plugin.app.pass().await;
    let job = plugin.until(id, "held").await;
    assert_eq!(
        (&job["waits_for"]["kind"], &job["attempt"]),
        (&json!("hold"), &json!(0))
    );
    job["waits_for"]["detail"].as_str().unwrap().to_owned()
}

/// Lets held jobs go, and waits until this one is done.
async fn released(plugin: &Plugin<'_>, id: &str) -> Value {
    plugin.app.pass().await;
    plugin.until(id, "done").await
}

#[tokio::test]
async fn jobs_of_a_suspended_tenant_wait() {
    let app = App::start().await;
    let plugin = Plugin::deploy(&app, WORK).await;
    let id = soon(&plugin, "a").await;
    plugin.tenant.suspend(true).await;
    let why = held(&plugin, &id).await;
    assert!(why.contains("suspended"), "{why}");
    plugin.tenant.suspend(false).await;
    released(&plugin, &id).await;
}

#[tokio::test]
async fn jobs_of_a_disabled_plugin_wait() {
    let app = App::start().await;
    let plugin = Plugin::deploy(&app, WORK).await;
    let id = soon(&plugin, "a").await;
    plugin.tenant.disable("p", true).await;
    let why = held(&plugin, &id).await;
    assert!(why.contains("disabled"), "{why}");
    plugin.tenant.disable("p", false).await;
    released(&plugin, &id).await;
}

#[tokio::test]
async fn paused_jobs_wait_and_others_run() {
    let app = App::start().await;
    let plugin = Plugin::deploy(&app, &format!("{WORK}[[job]]\nname = 'other'\n")).await;
    let paused = plugin
        .change("POST", "/plugins/p/jobs/work/pause")
        .await
        .expect(200);
    assert_eq!(
        paused.json(),
        json!({ "plugin": "p", "all": false, "jobs": ["work"], "changed": true })
    );
    let again = plugin
        .change("POST", "/plugins/p/jobs/work/pause")
        .await
        .expect(200);
    assert_eq!(again.json()["changed"], false);
    let id = soon(&plugin, "a").await;
    let other = json!({ "name": "other", "payload": { "do": [] } });
    let other = plugin.enqueue(other).await;
    let why = held(&plugin, &id).await;
    assert!(why.contains("paused"), "{why}");
    plugin.until(&other, "done").await;

    // All jobs of the plugin: the kind stays paused on its own.
    plugin.change("POST", "/plugins/p/jobs/pause").await.expect(200);
    plugin
        .change("DELETE", "/plugins/p/jobs/work/pause")
        .await
        .expect(200);
    app.pass().await;
    assert_eq!(plugin.job(&id).await["state"], "held");
    plugin.change("DELETE", "/plugins/p/jobs/pause").await.expect(200);
    released(&plugin, &id).await;
    plugin
        .change("POST", "/plugins/p/jobs/absent/pause")
        .await
        .expect(404);
}

#[tokio::test]
async fn a_pause_survives_a_restart() {
    let app = App::start().await;
    let plugin = Plugin::deploy(&app, WORK).await;
    plugin.change("POST", "/plugins/p/jobs/pause").await.expect(200);
    drop(plugin);
    let app = app.restart().await;
    let plugin = Plugin::known(&app);
    let id = soon(&plugin, "a").await;
    held(&plugin, &id).await;
    plugin.change("DELETE", "/plugins/p/jobs/pause").await.expect(200);
    released(&plugin, &id).await;
}

#[tokio::test]
async fn a_job_whose_handler_is_gone_after_a_rollback_waits_and_says_why() {
    let app = App::start().await;
    let plugin = Plugin::deploy(&app, WORK).await;
    plugin.update("2.0.0", "[[job]]\nname = 'new'\n").await;
    let mut job = json!({ "name": "new", "payload": { "do": [super::effect("new")] } });
    job["after_ms"] = json!(1_000);
    let id = plugin.enqueue(job).await;
    plugin
        .change("POST", "/plugins/p/activation/back")
        .await
        .expect(200);
    let why = held(&plugin, &id).await;
    assert!(why.contains("version"), "{why}");
    let summary = plugin.read("/jobs/summary").await;
    let kinds = summary["kinds"].as_array().unwrap();
    let kind = kinds.iter().find(|kind| kind["job"] == "new").unwrap();
    assert_eq!(
        (&kind["states"]["held"], kind["hold"].is_string()),
        (&json!(1), true)
    );
    // With the version that has it, it runs.
    plugin.update("3.0.0", "[[job]]\nname = 'new'\n").await;
    released(&plugin, &id).await;
    assert_eq!(plugin.effects().await, ["new"]);
}

#[tokio::test]
async fn the_jobs_of_a_deleted_plugin_are_dead_letters() {
    let app = App::start().await;
    let plugin = Plugin::deploy(&app, WORK).await;
    let beside = plugin.beside("q", WORK).await;
    let id = soon(&beside, "a").await;
    plugin.change("DELETE", "/plugins/q").await.expect(204);
    app.advance(Duration::from_secs(1));
    let dead = eventually(async || {
        app.pass().await;
        let job = plugin.job(&id).await;
        if job["state"] == "dead" { Ok(job) } else { Err(job) }
    });
    let dead = dead.await;
    let error = dead["error"].as_str().unwrap();
    assert!(error.contains("no plugin `q`; restore the plugin"), "{error}");
    assert!(plugin.effects().await.is_empty());
}

#[tokio::test]
async fn the_jobs_of_a_deleted_tenant_are_gone_with_it() {
    let app = App::start().await;
    let plugin = Plugin::deploy(&app, WORK).await;
    let id = soon(&plugin, "a").await;
    plugin.change("DELETE", "?purge=true").await.expect(204);
    app.pass().await;
    let again = Plugin::deploy(&app, WORK).await;
    again
        .change("GET", &format!("/jobs/{id}"))
        .await
        .expect_problem(404, "not-found");
    assert!(again.jobs("").await.is_empty());
}
