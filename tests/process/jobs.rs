//! Tests of jobs of a host that is killed at a fail point, stopped, or drained: what was
//! acknowledged is there after the next start, and runs.

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;
use test_artifacts::BACKGROUND;

use super::host::{HostProcess, Process, serve, until};
use super::http::Http;
use crate::shared::{bundled, open_manifest};

/// Names the fail point at which a host ends.
const FAIL_POINT: &str = "MORTISE_TEST_FAIL_POINT";

/// Jobs with a short limit, so that their leases are over soon: the host adds ten seconds.
const SECTIONS: &str = "[database]\nmigrations = 'migrations'\n\
    [[job]]\nname = 'work'\nattempts = 3\nbackoff = { initial = '1ms', max = '1ms' }\nlimits = { wall = '2s' }\n\
    [[job]]\nname = 'tick'\nlimits = { wall = '2s' }\n\
    [events]\npublish = ['a.*']\n[[subscribe]]\ntopic = 'a.*'\njob = 'work'\n";

const TABLES: (&str, &str) = (
    "migrations/0001_effects.sql",
    "CREATE TABLE effects (key TEXT NOT NULL, job TEXT NOT NULL, attempt INTEGER NOT NULL, origin TEXT NOT NULL);",
);

/// The tenant's plugin on a host that runs.
struct Plugin {
    http: Http,
    operator: Http,
}

impl Plugin {
    /// Creates the tenant and deploys the plugin with further sections.
    fn deploy(host: &HostProcess, more: &str) -> Self {
        let operator = host.operator();
        operator
            .post("/api/v1/tenants", &json!({ "name": "acme" }))
            .expect(201);
        let manifest = open_manifest("p", &format!("{SECTIONS}{more}"));
        let component = bundled(BACKGROUND, &manifest, &[TABLES]);
        let path = "/api/v1/tenants/acme/plugins/p";
        let upload = Some(("application/wasm", component.as_slice()));
        let uploaded = operator.send("POST", &format!("{path}/versions"), upload);
        let version = uploaded.unwrap().expect(201)["version"].clone();
        let grants = json!({ "database": true, "events": ["a.*"] });
        operator
            .json("PUT", &format!("{path}/grants"), &grants)
            .expect(200);
        operator
            .json(
                "PUT",
                &format!("{path}/activation"),
                &json!({ "version": version }),
            )
            .expect(200);
        Self::known(host)
    }

    fn known(host: &HostProcess) -> Self {
        Self {
            http: host.http(),
            operator: host.operator(),
        }
    }

    /// Sends a step in a request. `None` if the host is gone.
    fn send(&self, step: &Value) -> Option<Value> {
        let body = json!({ "do": [step] }).to_string();
        let body = Some(("application/json", body.as_bytes()));
        let answer = self.http.send("POST", "/acme/p/do", body).ok()?.expect(200);
        assert!(answer[0].get("ok").is_some(), "{step}: {answer}");
        Some(answer[0]["ok"].clone())
    }

    /// Waits until no job waits or runs.
    fn until_idle(&self) {
        until(|| {
            let summary = self.operator.get("/api/v1/tenants/acme/jobs/summary").expect(200);
            (summary["live"] == 0).then_some(())
        });
    }

    fn job(&self, id: &str) -> Option<Value> {
        let path = format!("/api/v1/tenants/acme/jobs/{id}");
        Some(self.operator.send("GET", &path, None).ok()?.body())
    }

    /// The jobs, the newest first.
    fn jobs(&self) -> Vec<Value> {
        let page = self.operator.get("/api/v1/tenants/acme/jobs").expect(200);
        page["items"].as_array().unwrap().clone()
    }

    /// The keys of the effects, in order, and which job and attempt wrote each.
    fn effects(&self) -> Vec<(String, String, i64)> {
        let sql = "SELECT key, job, attempt FROM effects ORDER BY rowid";
        let rows = self.send(&json!({ "query": sql })).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let rows = rows.as_array().unwrap().iter();
        rows.map(|row| (text(&row[0]), text(&row[1]), row[2].as_i64().unwrap()))
            .collect()
    }
}

/// A job that writes its key in a transaction that completes it.
fn job(key: &str) -> Value {
    let insert = json!({
        "execute": "INSERT INTO effects (key, job, attempt, origin) VALUES ($1, $2, $3, $4)",
        "params": [key, "$job", "$attempt", "$origin"],
    });
    let steps = json!([{ "transaction": [insert, { "complete": null }] }]);
    json!({ "name": "work", "payload": { "do": steps } })
}

/// Waits until a host that was started with a fail point has ended there.
fn ended(host: HostProcess) {
    let status = host.wait();
    assert!(
        !status.success() && status.code().is_none(),
        "it is aborted: {status}"
    );
}

/// Starts a host that ends at a fail point, does `step`, and waits for the end. Returns what the
/// step returned, if the host was still there.
fn end_at(data: &Path, point: &str, step: &Value) -> Option<Value> {
    let host = HostProcess::start_with(data, &[(FAIL_POINT, point)]);
    let answer = Plugin::known(&host).send(step);
    ended(host);
    answer
}

/// A data folder with the plugin.
fn prepared(more: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let host = HostProcess::start(folder.path());
    Plugin::deploy(&host, more);
    host.stop();
    folder
}

/// Ends a host at each point with this step, which adds one job. After the next start the job is
/// done, exactly once.
#[track_caller]
fn survives(points: &[&str], step: impl Fn(&str) -> Value) {
    let folder = prepared("");
    for point in points {
        end_at(folder.path(), point, &step(point));
        let host = HostProcess::start(folder.path());
        let plugin = Plugin::known(&host);
        until(|| {
            let effects = plugin.effects();
            effects.iter().any(|(key, _, _)| key == point).then_some(())
        });
        plugin.until_idle();
        host.stop();
    }
    let host = HostProcess::start(folder.path());
    let plugin = Plugin::known(&host);
    let keys: Vec<String> = plugin.effects().into_iter().map(|(key, _, _)| key).collect();
    assert_eq!(keys, points, "each job had its effect once");
    let jobs = plugin.jobs();
    assert_eq!(jobs.len(), points.len());
    assert!(jobs.iter().all(|job| job["state"] == "done"), "{jobs:#?}");
    host.stop();
}

#[test]
fn a_job_of_a_request_survives_a_crash_at_each_moment() {
    // At the first point the job is stored, and the request is not answered.
    let points = [
        "enqueue-added",
        "claimed",
        "before-run",
        "after-effect",
        "before-acknowledge",
        "after-acknowledge",
    ];
    survives(&points, |point| json!({ "enqueue": job(point) }));
}

#[test]
fn a_job_of_a_transaction_survives_a_crash_at_each_moment_of_its_relay() {
    let points = ["relay-read", "relay-added", "relay-deleted"];
    survives(
        &points,
        |point| json!({ "transaction": [{ "enqueue": job(point) }] }),
    );
}

#[test]
fn an_event_of_a_transaction_survives_a_crash_of_its_relay() {
    let points = ["relay-read", "relay-added"];
    survives(&points, |point| {
        let event = json!({ "topic": "a.b", "payload": job(point)["payload"] });
        json!({ "transaction": [{ "publish": event }] })
    });
}

#[test]
fn a_time_of_a_schedule_is_handled_once_although_the_host_ends_there() {
    let insert = json!({
        "execute": "INSERT INTO effects (key, job, attempt, origin) VALUES ($3, $1, $2, $3)",
        "params": ["$job", "$attempt", "$origin"],
    });
    let payload = json!({ "do": [insert] });
    let schedule = format!(
        "[[schedule]]\nname = 's'\ncron = '* * * * * *'\njob = 'tick'\noverlap = 'queue'\npayload = '''{payload}'''\n"
    );
    let folder = tempfile::tempdir().unwrap();
    let often = ("MORTISE_LIMITS__SCHEDULE_RUNS_PER_HOUR", "3600");
    let host = HostProcess::start_with(folder.path(), &[often, (FAIL_POINT, "tick:2")]);
    // The host may end before the activation is answered.
    let deployed =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| Plugin::deploy(&host, &schedule)));
    drop(deployed);
    ended(host);
    let host = HostProcess::start_with(folder.path(), &[often]);
    let plugin = Plugin::known(&host);
    let effects = until(|| Some(plugin.effects()).filter(|effects| effects.len() >= 4));
    let mut times: Vec<&String> = effects.iter().map(|(origin, _, _)| origin).collect();
    times.sort();
    times.dedup();
    assert_eq!(times.len(), effects.len(), "no time has two jobs: {effects:?}");
}

#[test]
fn a_job_that_ends_the_host_each_time_is_a_dead_letter_after_its_attempts() {
    let folder = prepared("");
    let fault = [(FAIL_POINT, "before-run")];
    let id = end_at(folder.path(), "before-run", &json!({ "enqueue": job("poison") }));
    let id = id.expect("the request is answered before the job runs");
    let id = id.as_str().unwrap();
    for _ in 0..2 {
        // The lease is over after some seconds, and the job ends the host again.
        let mut host = Process::spawn(serve(folder.path()).envs(fault));
        assert!(!host.wait().success());
    }
    let host = HostProcess::start_with(folder.path(), &fault);
    let plugin = Plugin::known(&host);
    let dead = until(|| plugin.job(id).filter(|job| job["state"] == "dead"));
    let outcomes: Vec<&Value> = dead["attempts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|attempt| &attempt["outcome"])
        .collect();
    assert_eq!(outcomes, ["lost", "lost", "lost"]);
    assert!(plugin.effects().is_empty());
    host.stop();
}

#[test]
fn a_host_that_drains_gives_a_running_job_back() {
    let folder = prepared("[[job]]\nname = 'long'\nlimits = { wall = '60s' }\n");
    let host = HostProcess::start_with(folder.path(), &[("MORTISE_SERVER__DRAIN_TIMEOUT", "300ms")]);
    let plugin = Plugin::known(&host);
    let mut slow = job("slow");
    slow["name"] = json!("long");
    let steps = slow["payload"]["do"].as_array_mut().unwrap();
    // Only the first attempt waits longer than the host does.
    steps.insert(0, json!({ "sleep-ms": 50_000, "attempts": [1] }));
    let slow = plugin.send(&json!({ "enqueue": slow })).unwrap();
    let id = slow.as_str().unwrap();
    until(|| plugin.job(id).filter(|job| job["state"] == "running"));
    host.stop();
    let host = HostProcess::start(folder.path());
    let plugin = Plugin::known(&host);
    let done = until(|| plugin.job(id).filter(|job| job["state"] == "done"));
    let first = &done["attempts"][0];
    assert_eq!(first["outcome"], "retry", "{done:#}");
    assert_eq!(plugin.effects().len(), 1);
    host.stop();
}

#[test]
fn a_host_that_drains_lets_short_jobs_end() {
    let folder = prepared("");
    let host = HostProcess::start(folder.path());
    let plugin = Plugin::known(&host);
    let mut short = job("short");
    let steps = short["payload"]["do"].as_array_mut().unwrap();
    steps.insert(0, json!({ "sleep-ms": 500 }));
    let id = plugin.send(&json!({ "enqueue": short })).unwrap();
    until(|| {
        plugin
            .job(id.as_str().unwrap())
            .filter(|job| job["state"] == "running")
    });
    host.stop();
    let host = HostProcess::start(folder.path());
    let plugin = Plugin::known(&host);
    let done = plugin.job(id.as_str().unwrap()).unwrap();
    assert_eq!(
        (&done["state"], &done["attempt"]),
        (&json!("done"), &json!(1)),
        "{done:#}"
    );
    host.stop();
}

#[test]
fn the_command_line_shows_and_replays_dead_letters() {
    let folder = prepared("");
    let host = HostProcess::start(folder.path());
    let plugin = Plugin::known(&host);
    let discard =
        json!({ "name": "work", "payload": { "do": [{ "fail": ["discard", "there is no order 7"] }] } });
    let id = plugin.send(&json!({ "enqueue": discard })).unwrap();
    let id = id.as_str().unwrap();
    until(|| plugin.job(id).filter(|job| job["state"] == "dead"));
    let listed = host
        .cli(&["dead-letters", "list", "--tenant", "acme", "--json"])
        .json();
    assert_eq!(listed[0]["id"], id);
    let shown = host.cli(&["jobs", "show", id, "--tenant", "acme"]).ok();
    assert!(shown.contains("there is no order 7"), "{shown}");
    host.cli(&["jobs", "retry", id, "--tenant", "acme"]).ok();
    until(|| {
        plugin
            .job(id)
            .filter(|job| job["state"] == "dead" && job["attempt"] == 2)
    });
    let schedules = host
        .cli(&["schedules", "list", "--tenant", "acme", "--json"])
        .json();
    assert_eq!(schedules, json!([]));
    host.stop();
}
