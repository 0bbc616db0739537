//! Tests of schedules: when they run, what happens to missed times, and that they are part of the
//! active version.

use std::time::Duration;

use mortise::domain::clock::{Clock as _, Timestamp};
use serde_json::{Value, json};
use test_artifacts::BACKGROUND;

use super::gate::Gate;
use super::{Plugin, WORK, effect, manifest, members};
use crate::app::App;
use crate::upload::wasm::with_manifest;

const HOUR: Duration = Duration::from_secs(3_600);

/// A schedule `s` of the job `work`, which writes its origin.
fn schedule(cron: &str, more: &str) -> String {
    let payload = json!({ "do": [effect("ran")] });
    format!(
        "{WORK}[[schedule]]\nname = 's'\ncron = '{cron}'\njob = 'work'\npayload = '''{payload}'''\n{more}\n"
    )
}

fn time(text: &str) -> Timestamp {
    serde_json::from_value(json!(text)).unwrap()
}

/// A host whose clock shows this time.
async fn app_at(now: &str) -> App {
    App::found(tempfile::tempdir().unwrap(), time(now)).await
}

impl Plugin<'_> {
    /// Moves the clock to a time and handles what is due, until the jobs have ended.
    async fn at(&self, now: &str) {
        let now = time(now);
        self.app.advance(now.since(self.app.clock.now()));
        self.settle().await;
    }

    /// The times for which the schedule ran, in order. Its jobs are deleted after a day, but not
    /// what they wrote.
    async fn ran(&self) -> Vec<String> {
        self.until_idle().await;
        let sql = "SELECT origin ->> 'due_at' AS due FROM effects ORDER BY due";
        let rows = self.query(sql).await;
        rows.iter()
            .map(|row| row[0].as_str().unwrap().to_owned())
            .collect()
    }

    /// The schedule `s` as the admin API shows it.
    async fn schedule(&self) -> Value {
        let page = self.read("/schedules").await;
        let [schedule] = page["items"].as_array().unwrap().as_slice() else {
            panic!("{page}");
        };
        schedule.clone()
    }
}

#[tokio::test]
async fn a_schedule_adds_a_job_for_each_of_its_times() {
    let app = app_at("2026-01-01T00:30:00Z").await;
    let plugin = Plugin::deploy(&app, &schedule("0 2 * * *", "zone = 'Europe/Amsterdam'")).await;
    plugin.at("2026-01-01T00:30:00Z").await;
    plugin.at("2026-01-01T00:59:59Z").await;
    assert!(plugin.ran().await.is_empty());
    plugin.at("2026-01-01T01:00:00Z").await;
    plugin.at("2026-01-01T01:00:30Z").await;
    assert_eq!(plugin.ran().await, ["2026-01-01T01:00:00.000Z"]);
    let shown = plugin.schedule().await;
    assert_eq!(
        shown["next_runs"].as_array().unwrap()[..2],
        [
            json!("2026-01-02T01:00:00.000Z"),
            json!("2026-01-03T01:00:00.000Z")
        ]
    );
    assert_eq!(shown["last_due"], "2026-01-01T01:00:00.000Z");
    assert_eq!(shown["last_run"]["state"], "done");
    plugin.at("2026-01-02T01:00:00Z").await;
    assert_eq!(plugin.ran().await.len(), 2);
    let origin = plugin.query("SELECT origin FROM effects").await[0][0].clone();
    let origin: Value = serde_json::from_str(origin.as_str().unwrap()).unwrap();
    assert_eq!(
        origin,
        json!({ "kind": "schedule", "name": "s", "due_at": "2026-01-01T01:00:00.000Z" })
    );
}

#[tokio::test]
async fn seconds_are_optional() {
    let app = app_at("2026-01-01T00:00:00Z").await;
    let plugin = Plugin::deploy(&app, &schedule("30 */5 * * * *", "")).await;
    app.pass().await;
    plugin.at("2026-01-01T00:00:30Z").await;
    plugin.at("2026-01-01T00:05:30Z").await;
    assert_eq!(
        plugin.ran().await,
        ["2026-01-01T00:00:30.000Z", "2026-01-01T00:05:30.000Z"]
    );
}

#[tokio::test]
async fn zones_decide_what_happens_when_clocks_change() {
    // London goes from 1:00 to 2:00 on 29 March 2026, and from 2:00 back to 1:00 on 25 October. New
    // York does so on 8 March and 1 November. Lord Howe Island moves by half an hour. Samoa had no
    // 30 December 2011.
    for (now, cron, zone, next) in [
        (
            "2026-03-28T12:00:00Z",
            "30 1 * * *",
            "Europe/London",
            ["2026-03-29T01:00:00.000Z", "2026-03-30T00:30:00.000Z"],
        ),
        (
            "2026-10-24T12:00:00Z",
            "30 1 * * *",
            "Europe/London",
            ["2026-10-25T00:30:00.000Z", "2026-10-26T01:30:00.000Z"],
        ),
        (
            "2026-03-07T12:00:00Z",
            "30 2 * * *",
            "America/New_York",
            ["2026-03-08T07:00:00.000Z", "2026-03-09T06:30:00.000Z"],
        ),
        (
            "2026-10-31T12:00:00Z",
            "30 1 * * *",
            "America/New_York",
            ["2026-11-01T05:30:00.000Z", "2026-11-02T06:30:00.000Z"],
        ),
        (
            "2026-10-03T00:00:00Z",
            "15 2 * * *",
            "Australia/Lord_Howe",
            ["2026-10-03T15:30:00.000Z", "2026-10-04T15:15:00.000Z"],
        ),
        (
            "2011-12-29T00:00:00Z",
            "0 12 * * *",
            "Pacific/Apia",
            ["2011-12-29T22:00:00.000Z", "2011-12-30T22:00:00.000Z"],
        ),
    ] {
        let app = app_at(now).await;
        let plugin = Plugin::deploy(&app, &schedule(cron, &format!("zone = '{zone}'"))).await;
        app.pass().await;
        let shown = plugin.schedule().await;
        let shown: Vec<&str> = shown["next_runs"].as_array().unwrap()[..2]
            .iter()
            .map(|time| time.as_str().unwrap())
            .collect();
        assert_eq!(shown, next, "{zone} after {now}");
        for time in next {
            plugin.at(time).await;
        }
        assert_eq!(plugin.ran().await, next, "{zone} after {now}");
    }
}

#[tokio::test]
async fn a_host_that_was_down_for_three_hours_catches_up_as_the_manifest_says() {
    for (catch_up, ran) in [
        ("catch_up = 'skip'", vec![]),
        ("catch_up = 'once'", vec!["12:00"]),
        ("catch_up = { all = 24 }", vec!["10:00", "11:00", "12:00"]),
        ("catch_up = { all = 2 }", vec!["11:00", "12:00"]),
    ] {
        let app = app_at("2026-01-01T09:30:00Z").await;
        // The missed jobs are added at the same moment, and each may wait for the one before.
        let sections = schedule("0 * * * *", &format!("{catch_up}\noverlap = 'queue'"));
        Plugin::deploy(&app, &sections).await;
        app.pass().await;
        let clock = app.clock.clone();
        let app = app.restart_after(async |_| clock.advance(HOUR * 3), |_| {}).await;
        let plugin = Plugin::known(&app);
        app.pass().await;
        let wanted: Vec<String> = ran
            .iter()
            .map(|time| format!("2026-01-01T{time}:00.000Z"))
            .collect();
        assert_eq!(plugin.ran().await, wanted, "{catch_up}");
        plugin.at("2026-01-01T13:00:00Z").await;
        assert_eq!(plugin.ran().await.len(), wanted.len() + 1, "{catch_up}");
    }
}

#[tokio::test]
async fn a_clock_that_is_set_back_repeats_nothing_and_one_that_jumps_ahead_catches_up() {
    let app = app_at("2026-01-01T09:30:00Z").await;
    let plugin = Plugin::deploy(&app, &schedule("0 * * * *", "catch_up = 'once'")).await;
    app.pass().await;
    plugin.at("2026-01-01T10:00:00Z").await;
    assert_eq!(plugin.ran().await.len(), 1);
    app.clock.set(time("2026-01-01T09:00:10Z"));
    app.pass().await;
    app.clock.set(time("2026-01-01T10:00:10Z"));
    app.pass().await;
    assert_eq!(plugin.ran().await.len(), 1, "10:00 is not handled again");
    app.clock.set(time("2026-01-01T11:10:00Z"));
    app.pass().await;
    assert_eq!(
        plugin.ran().await,
        ["2026-01-01T10:00:00.000Z", "2026-01-01T11:00:00.000Z"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_time_whose_previous_job_is_live_is_skipped_or_waits() {
    for (overlap, count) in [("skip", 1), ("queue", 2)] {
        let gate = Gate::start().await;
        let app = Gate::app().await;
        let payload = json!({ "do": [gate.step("run"), effect("ran")] });
        let sections = format!(
            "{WORK}[[schedule]]\nname = 's'\ncron = '* * * * *'\njob = 'work'\npayload = '''{payload}'''\n\
             overlap = '{overlap}'\n{}",
            gate.section()
        );
        let plugin = Plugin::deploy(&app, &sections).await;
        app.pass().await;
        // The host's clock shows 22:13:20.
        app.advance(Duration::from_secs(40));
        app.pass().await;
        gate.arrived("run", 1).await;
        app.advance(Duration::from_secs(50));
        app.pass().await;
        app.advance(Duration::from_secs(10));
        app.pass().await;
        let jobs = plugin.jobs("").await;
        assert_eq!(jobs.len(), count, "{overlap}: {jobs:?}");
        assert_eq!(gate.count("run"), 1);
        gate.open("run");
        assert_eq!(plugin.ran().await.len(), count);
    }
}

#[tokio::test]
async fn schedules_begin_change_and_end_with_the_active_version() {
    let app = app_at("2026-01-01T00:30:00Z").await;
    let plugin = Plugin::deploy(&app, &schedule("0 * * * *", "")).await;
    app.pass().await;
    plugin.at("2026-01-01T01:00:00Z").await;
    assert_eq!(plugin.ran().await.len(), 1);

    // Another expression begins anew: the times before the activation are not missed ones.
    plugin
        .update("2.0.0", &schedule("15 * * * *", "catch_up = { all = 9 }"))
        .await;
    app.pass().await;
    plugin.at("2026-01-01T01:15:00Z").await;
    assert_eq!(plugin.ran().await[1..], ["2026-01-01T01:15:00.000Z"]);

    plugin.update("3.0.0", WORK).await;
    app.pass().await;
    plugin.at("2026-01-01T02:15:00Z").await;
    assert_eq!(plugin.ran().await.len(), 2);
    assert_eq!(plugin.read("/schedules").await["items"], json!([]));

    // After a rollback it begins anew as well.
    plugin
        .change("POST", "/plugins/p/activation/back")
        .await
        .expect(200);
    app.pass().await;
    plugin.at("2026-01-01T03:15:00Z").await;
    assert_eq!(plugin.ran().await[2..], ["2026-01-01T03:15:00.000Z"]);
    assert_eq!(plugin.schedule().await["cron"], "15 * * * *");
}

#[tokio::test]
async fn a_version_with_the_same_expression_goes_on_where_the_last_one_was() {
    let app = app_at("2026-01-01T00:30:00Z").await;
    let plugin = Plugin::deploy(&app, &schedule("0 * * * *", "catch_up = 'once'")).await;
    app.pass().await;
    plugin.at("2026-01-01T01:00:00Z").await;
    plugin
        .update(
            "2.0.0",
            &schedule("0 * * * *", "catch_up = 'once'\noverlap = 'queue'"),
        )
        .await;
    app.pass().await;
    assert_eq!(plugin.ran().await.len(), 1, "1:00 is not handled again");
    plugin.at("2026-01-01T02:05:00Z").await;
    assert_eq!(plugin.ran().await[1..], ["2026-01-01T02:00:00.000Z"]);
}

#[tokio::test]
async fn suspended_tenants_disabled_plugins_and_paused_jobs_skip_their_times() {
    let app = app_at("2026-01-01T00:30:00Z").await;
    let plugin = Plugin::deploy(&app, &schedule("0 * * * *", "catch_up = { all = 9 }")).await;
    app.pass().await;
    plugin.tenant.suspend(true).await;
    plugin.at("2026-01-01T01:00:00Z").await;
    plugin.at("2026-01-01T01:30:00Z").await;
    assert!(
        plugin.schedule().await["hold"]
            .as_str()
            .unwrap()
            .contains("suspended")
    );
    plugin.tenant.suspend(false).await;
    app.pass().await;
    plugin.tenant.disable("p", true).await;
    plugin.at("2026-01-01T02:00:00Z").await;
    plugin.at("2026-01-01T02:30:00Z").await;
    plugin.tenant.disable("p", false).await;
    app.pass().await;
    plugin
        .change("POST", "/plugins/p/jobs/work/pause")
        .await
        .expect(200);
    plugin.at("2026-01-01T03:00:00Z").await;
    plugin.at("2026-01-01T03:30:00Z").await;
    assert!(plugin.schedule().await["hold"].is_string());
    plugin
        .change("DELETE", "/plugins/p/jobs/work/pause")
        .await
        .expect(200);
    app.pass().await;
    assert!(plugin.ran().await.is_empty());
    plugin.at("2026-01-01T04:00:00Z").await;
    assert_eq!(plugin.ran().await, ["2026-01-01T04:00:00.000Z"]);
}

#[tokio::test]
async fn a_schedule_can_be_run_now() {
    let app = app_at("2026-01-01T00:30:00Z").await;
    let plugin = Plugin::deploy(&app, &schedule("0 0 1 1 *", "")).await;
    app.pass().await;
    let started = plugin
        .change("POST", "/plugins/p/schedules/s/run")
        .await
        .expect(201)
        .json();
    let id = started["job_id"].as_str().unwrap();
    let job = plugin.until(id, "done").await;
    assert_eq!(job["origin"]["kind"], "schedule");
    assert_eq!(
        plugin.schedule().await["next_runs"][0],
        "2027-01-01T00:00:00.000Z"
    );
    plugin
        .change("POST", "/plugins/p/schedules/absent/run")
        .await
        .expect(404);
}

#[tokio::test]
async fn a_wrong_schedule_is_refused_at_the_upload_with_its_place() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    let component = std::fs::read(BACKGROUND).unwrap();
    for (cron, more, named) in [
        ("0 25 * * *", "", "schedule[0].cron"),
        ("every day", "", "schedule[0].cron"),
        ("* * *", "", "schedule[0].cron"),
        ("0 0 30 2 *", "", "schedule[0].cron"),
        ("0 2 * * *", "zone = 'Europe/Atlantis'", "schedule[0].zone"),
        ("0 2 * * *", "catch_up = { all = 101 }", "schedule[0].catch_up"),
        ("0 2 * * *", "overlap = 'replace'", "overlap"),
        ("0 2 * * *", "every = '1h'", "every"),
    ] {
        let manifest = manifest("p", &schedule(cron, more)).replace("migrations = 'migrations'\n", "");
        let reply = acme.upload("p", with_manifest(&component, &manifest)).await;
        let problem = (422, "invalid-manifest".to_owned());
        assert_eq!(reply.problem(), problem, "{cron} {more}: {}", reply.text());
        let detail = reply.json()["detail"].to_string();
        assert!(detail.contains(named), "{cron} {more}: {detail}");
    }
    let twice = schedule("0 2 * * *", "") + &schedule("0 3 * * *", "").replace(WORK, "");
    let absent = schedule("0 2 * * *", "").replace("job = 'work'", "job = 'absent'");
    for (sections, named) in [(twice, "defined twice"), (absent, "absent")] {
        let manifest = manifest("p", &sections).replace("migrations = 'migrations'\n", "");
        let reply = acme.upload("p", with_manifest(&component, &manifest)).await;
        let detail = reply.expect_problem(422, "invalid-manifest").json()["detail"].to_string();
        assert!(detail.contains(named), "{detail}");
    }
}

#[tokio::test]
async fn schedules_of_all_plugins_are_listed() {
    let app = app_at("2026-01-01T00:30:00Z").await;
    let plugin = Plugin::deploy(&app, &schedule("0 * * * *", "")).await;
    plugin
        .beside("q", &schedule("30 * * * *", "zone = 'Asia/Kathmandu'"))
        .await;
    app.pass().await;
    let page = plugin.read("/schedules").await;
    let items = page["items"].as_array().unwrap();
    assert_eq!(members(items, "plugin"), ["p", "q"]);
    assert_eq!(members(items, "zone"), ["UTC", "Asia/Kathmandu"]);
    // The zone is three quarters of an hour off.
    assert_eq!(items[1]["next_runs"][0], "2026-01-01T00:45:00.000Z");
}

#[tokio::test]
async fn a_restored_plugin_has_no_more_schedules_than_the_tenant_may_have() {
    let app = app_at("2026-01-01T00:30:00Z").await;
    let plugin = Plugin::deploy(&app, &schedule("0 2 * * *", "")).await;
    plugin.tenant.limit(&json!({ "schedules": 1 })).await;
    plugin.change("DELETE", "/plugins/p").await.expect(204);
    plugin.beside("q", &schedule("0 3 * * *", "")).await;
    let refused = plugin.change("POST", "/plugins/p/restore").await;
    let refused = refused.expect_problem(409, "conflict");
    assert!(refused.text().contains("limit `schedules`"), "{}", refused.text());
    assert_eq!(plugin.schedule().await["plugin"], "q");
    plugin.change("DELETE", "/plugins/q").await.expect(204);
    plugin.change("POST", "/plugins/p/restore").await.expect(200);
    assert_eq!(plugin.schedule().await["plugin"], "p");
}
