//! Tests of jobs, dead letters and schedules in the admin API.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use futures_util::FutureExt as _;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use super::{Answer, TestApp};
use crate::domain::clock::{Clock as _, Timestamp};
use crate::domain::id::{JobId, JobName, PluginName, TenantId};
use crate::domain::job::{
    Acknowledgement, Backoff, ClaimedJob, Concurrency, ConcurrencyKey, Ending, JobOrigin, NewJob,
};
use crate::domain::role::Role;
use crate::storage::conformance::{UNTOLD, name, plugin, tenant};
use crate::storage::{Acknowledged, Added, ClaimPolicy};

/// Claims whatever is ready.
struct Anything;

impl ClaimPolicy for Anything {
    fn quota(&self, _: TenantId, _: u32, _: u32) -> u32 {
        u32::MAX
    }

    fn lease(&self, _: TenantId, _: &PluginName, _: &JobName) -> Option<Duration> {
        Some(Duration::from_secs(60))
    }
}

/// A tenant `acme` with a plugin `orders` that has no active version.
struct Shop {
    app: TestApp,
    tenant: TenantId,
    developer: String,
    viewer: String,
}

impl Shop {
    async fn open() -> Self {
        let app = TestApp::start().await;
        let tenant = tenant(&*app.db, "acme").await.id;
        plugin(&*app.db, tenant, "orders").await;
        app.lifecycle.refresh(tenant).await;
        Self {
            developer: app.with_role(Role::Developer, tenant).await,
            viewer: app.with_role(Role::Viewer, tenant).await,
            app,
            tenant,
        }
    }

    fn new_job(&self, kind: &str) -> NewJob {
        let now = self.app.clock.now();
        NewJob {
            id: JobId::generate(),
            tenant: self.tenant,
            plugin: name("orders"),
            name: name(kind),
            payload: "{\"order\": 7}".into(),
            origin: JobOrigin::Enqueued,
            priority: 0,
            run_at: now,
            max_attempts: 2,
            backoff: Backoff::default(),
            unique_key: None,
            concurrency: None,
            depth: 0,
            traceparent: None,
            created_at: now,
        }
    }

    async fn add(&self, job: NewJob) -> JobId {
        let added = self.app.db.add_jobs(std::slice::from_ref(&job)).await.unwrap();
        assert_eq!(added, [Added::New(job.id)]);
        job.id
    }

    /// Claims all ready jobs.
    async fn claim(&self) -> Vec<ClaimedJob> {
        let now = self.app.clock.now();
        let round = self
            .app
            .db
            .claim_jobs("node", None, 1_000, now, &Anything)
            .await
            .unwrap();
        round.claimed
    }

    async fn end(&self, claimed: &ClaimedJob, ending: Ending) {
        let acknowledgement = Acknowledgement {
            job: claimed.job.new.id,
            claim: claimed.claim,
            ending,
            ended_at: self.app.clock.now(),
            invocation: None,
        };
        let written = self.app.db.acknowledge_jobs(&[acknowledgement]).await.unwrap();
        assert!(matches!(written[..], [Acknowledged::Applied(_)]), "{written:?}");
    }

    /// Adds a job that failed for good.
    async fn add_dead(&self, kind: &str) -> JobId {
        let id = self.add(self.new_job(kind)).await;
        for claimed in self.claim().await {
            let error = "the ERP is away".to_owned();
            self.end(&claimed, Ending::Dead { error }).await;
        }
        id
    }

    async fn call(&self, method: &str, path: &str) -> Answer {
        let path = format!("/api/v1/tenants/acme{path}");
        self.app.call(&self.developer, method, &path, None).await
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.call("GET", path).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.problem());
        answer.body
    }

    /// The states of the jobs that a list shows.
    async fn states(&self, path: &str) -> Vec<String> {
        let list = self.get(path).await;
        let items = list["items"].as_array().unwrap().iter();
        items
            .map(|job| job["state"].as_str().unwrap().to_owned())
            .collect()
    }

    /// The action and the subject of each change, the oldest first.
    async fn changes(&self) -> Vec<(String, String)> {
        let list = self.get("/audit").await;
        let items = list["items"].as_array().unwrap().iter().rev();
        items
            .map(|entry| {
                let text = |member: &str| entry[member].as_str().unwrap().to_owned();
                (text("action"), text("subject"))
            })
            .filter(|(action, _)| action != UNTOLD)
            .collect()
    }

    fn is_woken(&self) -> bool {
        self.app.jobs.wake.for_jobs().now_or_never().is_some()
    }
}

#[tokio::test]
async fn jobs_are_listed_newest_first_by_plugin_kind_state_and_time() {
    let shop = Shop::open().await;
    shop.add_dead("report").await;
    shop.app.clock.advance(Duration::from_secs(60));
    let later = shop.app.clock.now();
    let delayed = NewJob {
        run_at: later.saturating_add(Duration::from_secs(60)),
        ..shop.new_job("sync-erp")
    };
    let delayed = shop.add(delayed).await;
    shop.add(shop.new_job("sync-erp")).await;
    assert_eq!(shop.states("/jobs").await, ["ready", "scheduled", "dead"]);
    for (filter, wanted) in [
        ("state=dead,ready", vec!["ready", "dead"]),
        ("job=sync-erp", vec!["ready", "scheduled"]),
        ("plugin=orders&job=report", vec!["dead"]),
        (&format!("from={later}"), vec!["ready", "scheduled"]),
        (&format!("to={later}"), vec!["dead"]),
    ] {
        assert_eq!(shop.states(&format!("/jobs?{filter}")).await, wanted, "{filter}");
    }
    let first = shop.get("/jobs?limit=2").await;
    assert_eq!(first["items"][1]["id"], delayed.to_string());
    let next = first["next"].as_str().unwrap();
    assert_eq!(
        shop.states(&format!("/jobs?limit=2&cursor={next}")).await,
        ["dead"]
    );

    let refused = shop.call("GET", "/jobs?state=failed").await.problem();
    assert!(
        refused.starts_with("400 invalid-request: state: `failed` is not a state"),
        "{refused}"
    );
    let refused = shop
        .call("GET", "/jobs?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z")
        .await;
    assert_eq!(
        refused.problem(),
        "400 invalid-request: from: it must lie before `to`"
    );
    let refused = shop.call("GET", "/jobs?plugin=unknown").await;
    assert_eq!(refused.problem(), "404 not-found: there is no such plugin");
}

#[tokio::test]
async fn a_job_is_shown_with_payload_attempts_and_why_it_waits() {
    let shop = Shop::open().await;
    let id = shop.add(shop.new_job("sync-erp")).await;
    let claimed = shop.claim().await;
    let running = shop.get(&format!("/jobs/{id}")).await;
    assert_eq!(running["state"], "running");
    assert_eq!((running.get("waits_for"), running.get("due_at")), (None, None));
    assert_eq!(running["attempts"][0]["outcome"], Value::Null);
    let ending = Ending::Retry {
        at: Timestamp(1_700_000_060_000),
        error: "the ERP is away".to_owned(),
    };
    shop.end(&claimed[0], ending).await;

    let path = format!("/jobs/{id}");
    let shown = shop.get(&path).await;
    assert_eq!(shown["payload"], "{\"order\": 7}");
    assert_eq!(shown["origin"], json!({ "kind": "enqueued" }));
    assert_eq!(shown["due_at"], "2023-11-14T22:14:20.000Z");
    assert_eq!(shown["waits_for"]["kind"], "time");
    let detail = shown["waits_for"]["detail"].as_str().unwrap();
    assert!(
        detail.starts_with(
            "attempt 2 of 2 is due at 2023-11-14T22:14:20.000Z; it could not run now: the plugin"
        ),
        "{detail}"
    );
    let attempt = &shown["attempts"][0];
    assert_eq!(
        (
            &attempt["number"],
            &attempt["outcome"],
            &attempt["error"],
            &attempt["node"]
        ),
        (
            &json!(1),
            &json!("retry"),
            &json!("the ERP is away"),
            &json!("node")
        )
    );

    let seen = shop
        .app
        .get(&shop.viewer, &format!("/api/v1/tenants/acme{path}"))
        .await;
    assert_eq!(seen.status, StatusCode::OK);
    assert_eq!(seen.body["content_hidden"], true);
    let text = seen.body.to_string();
    assert!(!text.contains("order\\\"") && !text.contains("ERP"), "{text}");
    let list = shop
        .app
        .get(&shop.viewer, "/api/v1/tenants/acme/jobs")
        .await
        .body
        .to_string();
    assert!(list.contains("sync-erp") && !list.contains("ERP"), "{list}");
    assert!(shop.get("/jobs").await.to_string().contains("the ERP is away"));

    let unknown = shop.call("GET", &format!("/jobs/{}", JobId::generate())).await;
    assert_eq!(unknown.problem(), "404 not-found: there is no such job");
    assert!(
        unknown.body["hint"]
            .as_str()
            .unwrap()
            .contains("mortise jobs list")
    );
}

#[tokio::test]
async fn a_blocked_job_waits_for_its_key() {
    let shop = Shop::open().await;
    let key = ConcurrencyKey {
        key: "customer-7".to_owned(),
        bound: Concurrency {
            limit: 1.try_into().unwrap(),
            ordered: true,
        },
    };
    for _ in 0..2 {
        let job = NewJob {
            concurrency: Some(key.clone()),
            ..shop.new_job("sync-erp")
        };
        shop.add(job).await;
    }
    let list = shop.get("/jobs?state=blocked").await;
    let job = &list["items"][0];
    assert_eq!(job["waits_for"]["kind"], "key");
    assert_eq!(
        job["concurrency"],
        json!({ "key": "customer-7", "limit": 1, "ordered": true })
    );
    let seen = shop
        .app
        .get(&shop.viewer, "/api/v1/tenants/acme/jobs?state=blocked")
        .await;
    assert_eq!(
        seen.body["items"][0]["concurrency"],
        json!({ "limit": 1, "ordered": true })
    );
}

#[tokio::test]
async fn an_ended_job_is_retried_and_a_running_one_is_not() {
    let shop = Shop::open().await;
    let id = shop.add_dead("sync-erp").await;
    let path = format!("/jobs/{id}/retry");
    let retried = shop.call("POST", &path).await;
    assert_eq!(retried.status, StatusCode::OK, "{}", retried.problem());
    assert_eq!(
        (
            &retried.body["state"],
            &retried.body["attempt"],
            &retried.body["max_attempts"]
        ),
        (&json!("ready"), &json!(1), &json!(3))
    );
    assert!(shop.is_woken());
    assert_eq!(shop.claim().await.len(), 1);
    let refused = shop.call("POST", &path).await;
    assert_eq!(
        refused.problem(),
        "409 conflict: the job runs, so it cannot be retried"
    );
    assert!(
        refused.body["hint"]
            .as_str()
            .unwrap()
            .contains("mortise jobs cancel")
    );
    let unknown = shop
        .call("POST", &format!("/jobs/{}/retry", JobId::generate()))
        .await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    assert_eq!(
        shop.changes().await,
        [("job.retry".to_owned(), format!("orders sync-erp {id}"))]
    );
}

#[tokio::test]
async fn a_waiting_job_is_cancelled_at_once_and_a_running_one_is_asked_to_end() {
    let shop = Shop::open().await;
    let waiting = shop.add(shop.new_job("sync-erp")).await;
    let path = format!("/jobs/{waiting}/cancel");
    let cancelled = shop.call("POST", &path).await;
    assert_eq!(
        (cancelled.status, &cancelled.body["state"]),
        (StatusCode::OK, &json!("cancelled"))
    );
    let again = shop.call("POST", &path).await;
    assert_eq!(
        again.problem(),
        "409 conflict: the job ended before, as cancelled"
    );

    let running = shop.add(shop.new_job("sync-erp")).await;
    shop.claim().await;
    let requested = shop.call("POST", &format!("/jobs/{running}/cancel")).await;
    assert_eq!(requested.status, StatusCode::ACCEPTED);
    assert_eq!(
        (&requested.body["state"], &requested.body["cancel_requested"]),
        (&json!("running"), &json!(true))
    );
    let wake = &shop.app.jobs.wake;
    assert!(wake.for_cancellations().now_or_never().is_some());
    assert_eq!(
        shop.changes().await,
        [waiting, running].map(|id| ("job.cancel".to_owned(), format!("orders sync-erp {id}")))
    );
}

#[tokio::test]
async fn a_purge_deletes_what_matches_and_leaves_what_runs() {
    let shop = Shop::open().await;
    shop.add_dead("report").await;
    let running = shop.add(shop.new_job("sync-erp")).await;
    shop.claim().await;
    shop.add(shop.new_job("sync-erp")).await;
    let refused = shop.call("DELETE", "/jobs?state=running").await;
    assert_eq!(
        refused.problem(),
        "409 conflict: state: jobs that run cannot be deleted"
    );
    let purged = shop.call("DELETE", "/jobs?job=report").await;
    assert_eq!(purged.body, json!({ "purged": 1, "running": 0 }));
    let purged = shop.call("DELETE", "/jobs").await;
    assert_eq!(purged.body, json!({ "purged": 1, "running": 1 }));
    assert_eq!(shop.get("/jobs").await["items"][0]["id"], running.to_string());
    assert_eq!(shop.states("/jobs").await, ["running"]);
    let again = shop.call("DELETE", "/jobs").await;
    assert_eq!(again.body, json!({ "purged": 0, "running": 1 }));
    // A purge that deletes nothing is no change.
    assert_eq!(
        shop.changes().await,
        [
            ("job.purge".to_owned(), "job=report".to_owned()),
            ("job.purge".to_owned(), "all".to_owned())
        ]
    );
}

#[tokio::test]
async fn a_purge_takes_as_many_blocks_as_it_needs() {
    let shop = Shop::open().await;
    let jobs: Vec<NewJob> = (0..1_234).map(|_| shop.new_job("sync-erp")).collect();
    shop.app.db.add_jobs(&jobs).await.unwrap();
    let purged = shop.call("DELETE", "/jobs").await;
    assert_eq!(purged.body, json!({ "purged": 1_234, "running": 0 }));
    assert_eq!(shop.get("/jobs/summary").await["live"], 0);
}

#[tokio::test]
async fn dead_letters_are_retried_and_deleted_by_filter() {
    let shop = Shop::open().await;
    for kind in ["report", "sync-erp", "sync-erp"] {
        shop.add_dead(kind).await;
    }
    shop.add(shop.new_job("sync-erp")).await;
    assert_eq!(shop.states("/dead-letters").await, ["dead"; 3]);
    let refused = shop.call("GET", "/dead-letters?state=done").await.problem();
    assert!(refused.starts_with("400 invalid-request: state: "), "{refused}");
    let retried = shop.call("POST", "/dead-letters/retry?job=sync-erp").await;
    assert_eq!(retried.body, json!({ "retried": 2 }));
    assert!(shop.is_woken());
    assert_eq!(shop.states("/dead-letters").await, ["dead"]);
    assert_eq!(shop.states("/jobs?state=ready").await.len(), 3);
    let purged = shop.call("DELETE", "/dead-letters").await;
    assert_eq!(purged.body, json!({ "purged": 1, "running": 0 }));
    assert_eq!(shop.states("/jobs").await, ["ready"; 3]);
    assert_eq!(
        shop.changes().await,
        [
            (
                "dead-letter.retry".to_owned(),
                "job=sync-erp state=dead".to_owned()
            ),
            ("dead-letter.purge".to_owned(), "state=dead".to_owned())
        ]
    );
}

#[tokio::test]
async fn a_filter_with_a_plugin_that_does_not_exist_is_not_found() {
    let shop = Shop::open().await;
    let requests = [
        ("GET", "/jobs"),
        ("GET", "/jobs/export"),
        ("DELETE", "/jobs"),
        ("GET", "/dead-letters"),
        ("DELETE", "/dead-letters"),
        ("POST", "/dead-letters/retry"),
    ];
    for (method, path) in requests {
        let answer = shop.call(method, &format!("{path}?plugin=unknown")).await;
        let problem = answer.problem();
        assert_eq!(
            problem, "404 not-found: there is no such plugin",
            "{method} {path}"
        );
    }
    for plugin in ["orders", "-"] {
        let path = format!("/dead-letters/retry?plugin={plugin}");
        assert_eq!(shop.call("POST", &path).await.body, json!({ "retried": 0 }));
    }
    assert!(shop.changes().await.is_empty());
}

#[tokio::test]
async fn jobs_are_paused_and_resumed_once() {
    let shop = Shop::open().await;
    let all = "/plugins/orders/jobs/pause";
    let kind = "/plugins/orders/jobs/sync-erp/pause";
    for (method, path, wanted) in [
        ("POST", kind, json!([false, ["sync-erp"], true])),
        ("POST", kind, json!([false, ["sync-erp"], false])),
        ("POST", all, json!([true, ["sync-erp"], true])),
        ("DELETE", kind, json!([true, [], true])),
        ("DELETE", all, json!([false, [], true])),
        ("DELETE", all, json!([false, [], false])),
    ] {
        let answer = shop.call(method, path).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.problem());
        let paused = json!([answer.body["all"], answer.body["jobs"], answer.body["changed"]]);
        assert_eq!(paused, wanted, "{method} {path}");
    }
    let unknown = shop.call("POST", "/plugins/unknown/jobs/pause").await;
    assert_eq!(unknown.problem(), "404 not-found: there is no such plugin");
    let change = |action: &str, subject: &str| (action.to_owned(), subject.to_owned());
    assert_eq!(
        shop.changes().await,
        [
            change("job.pause", "orders sync-erp"),
            change("job.pause", "orders"),
            change("job.resume", "orders sync-erp"),
            change("job.resume", "orders"),
        ]
    );
}

#[tokio::test]
async fn the_summary_counts_by_kind_and_state() {
    let shop = Shop::open().await;
    let first = shop.app.clock.now();
    shop.add_dead("report").await;
    shop.add(shop.new_job("report")).await;
    shop.app.clock.advance(Duration::from_secs(1));
    shop.add(shop.new_job("sync-erp")).await;
    shop.call("POST", "/plugins/orders/jobs/cleanup/pause").await;
    let summary = shop.get("/jobs/summary").await;
    assert_eq!(
        (&summary["live"], &summary["running"], &summary["dead"]),
        (&json!(2), &json!(0), &json!(1))
    );
    assert_eq!(summary["oldest_ready"], first.to_string());
    let kinds: Vec<Value> = summary["kinds"]
        .as_array()
        .unwrap()
        .iter()
        .map(|kind| json!([kind["job"], kind["states"]["ready"], kind["states"]["dead"]]))
        .collect();
    assert_eq!(
        kinds,
        [
            json!(["cleanup", 0, 0]),
            json!(["report", 1, 1]),
            json!(["sync-erp", 1, 0])
        ]
    );
    let hold = summary["kinds"][0]["hold"].as_str().unwrap();
    assert!(hold.contains("no active version"), "{hold}");
}

#[tokio::test]
async fn an_export_has_every_job_with_its_content_once() {
    let shop = Shop::open().await;
    let dead = shop.add_dead("report").await;
    let jobs: Vec<NewJob> = (0..45).map(|_| shop.new_job("sync-erp")).collect();
    shop.app.db.add_jobs(&jobs).await.unwrap();
    let exported = async |query: &str| {
        let request = Request::get(format!("/api/v1/tenants/acme/jobs/export{query}"))
            .header("authorization", format!("Bearer {}", shop.developer))
            .body(Body::empty())
            .unwrap();
        let response = shop.app.send(request).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "application/x-ndjson");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8(body.to_vec()).unwrap();
        text.lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .collect::<Vec<_>>()
    };
    let lines = exported("").await;
    let ids: std::collections::BTreeSet<&str> =
        lines.iter().map(|line| line["id"].as_str().unwrap()).collect();
    assert_eq!((lines.len(), ids.len()), (46, 46));
    assert!(lines.iter().all(|line| line["payload"] == "{\"order\": 7}"));
    let found = exported("?state=dead").await;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["id"], dead.to_string());
    assert_eq!(found[0]["attempts"][0]["error"], "the ERP is away");
    assert_eq!(exported("?state=done").await, Vec::<Value>::new());
}

#[tokio::test]
async fn a_schedule_that_no_active_version_has_cannot_be_run() {
    let shop = Shop::open().await;
    assert_eq!(shop.get("/schedules").await, json!({ "items": [] }));
    let unknown = shop.call("POST", "/plugins/orders/schedules/nightly/run").await;
    let said = unknown.problem();
    assert!(
        said.starts_with(
            "404 not-found: the active version of the plugin `orders` has no schedule `nightly`"
        ),
        "{said}"
    );
    assert!(
        unknown.body["hint"]
            .as_str()
            .unwrap()
            .contains("mortise schedules list")
    );
    let unknown = shop.call("POST", "/plugins/unknown/schedules/nightly/run").await;
    assert_eq!(unknown.problem(), "404 not-found: there is no such plugin");
    assert_eq!(shop.changes().await, []);
}

#[tokio::test]
async fn another_tenant_s_jobs_are_not_there() {
    let shop = Shop::open().await;
    let id = shop.add(shop.new_job("sync-erp")).await;
    let other = tenant(&*shop.app.db, "other").await;
    let owner = shop.app.owner(other.id).await;
    for (method, path) in [
        ("GET", format!("/jobs/{id}")),
        ("POST", format!("/jobs/{id}/retry")),
        ("POST", format!("/jobs/{id}/cancel")),
    ] {
        let path = format!("/api/v1/tenants/other{path}");
        let answer = shop.app.call(&owner, method, &path, None).await;
        assert_eq!(
            answer.problem(),
            "404 not-found: there is no such job",
            "{method} {path}"
        );
    }
    let purged = shop
        .app
        .call(&owner, "DELETE", "/api/v1/tenants/other/jobs", None)
        .await;
    assert_eq!(purged.body, json!({ "purged": 0, "running": 0 }));
    assert_eq!(shop.states("/jobs").await, ["ready"]);
}
