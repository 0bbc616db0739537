//! Tests of the limits of requests: bodies, time, concurrency and rate.

use std::pin::pin;
use std::time::Duration;

use axum::body::{Body, Bytes};
use futures_util::future::join_all;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use serde_json::json;
use test_artifacts::{ECHO, FAULTS};

use super::{around, bytes, usage};
use crate::app::{App, Reply, TestTenant, open_manifest};

async fn echo(app: &App) -> TestTenant<'_> {
    let acme = app.tenant("acme").await;
    acme.deploy(ECHO, &open_manifest("echo", ""), &[]).await;
    acme
}

async fn faults(app: &App) -> TestTenant<'_> {
    let acme = app.tenant("acme").await;
    let manifest = open_manifest("faults", "[limits]\nwall = '100ms'\n");
    acme.deploy(FAULTS, &manifest, &[]).await;
    acme
}

#[tokio::test]
pub async fn request_body() {
    let app = App::start().await;
    let acme = echo(&app).await;
    for (limit, fits) in around(1_000) {
        acme.limit(&json!({ "request_body": bytes(limit) })).await;
        let reply = app.post("/acme/echo/x").body("x".repeat(1_000)).send().await;
        if fits {
            assert_eq!(usage(&acme, &reply.expect(200), "request_bytes").await, 1_000);
        } else {
            reply.expect_problem(413, "body-too-large");
        }
    }
}

/// A body that begins and does not end.
fn unending(bytes: usize) -> Body {
    let beginning = stream::iter([Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; bytes]))]);
    Body::from_stream(beginning.chain(stream::pending()))
}

#[tokio::test]
pub async fn request_backlog() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    let manifest = "[plugin]\nname = 'echo'\nversion = '1'\n[[route]]\nmethod = 'POST'\npath = '/x'\nauth = ['api-key']\n";
    acme.deploy(ECHO, manifest, &[]).await;
    let key = acme.key(&[]).await;
    let post = |body: Body| app.post("/acme/echo/x").bearer(&key).body(body).send();
    // A pending body counts its bytes and the fixed cost of a slow body.
    let mut slow = pin!(post(unending(1_000)));
    assert!(slow.as_mut().now_or_never().is_none());
    let reply = post("x".repeat(500).into()).await.expect(200);
    let needed = usage(&acme, &reply, "request_backlog_bytes").await;
    assert_eq!(needed, 16 * 1_024 + 1_500);
    for (limit, fits) in around(needed) {
        acme.limit(&json!({ "request_backlog": bytes(limit) })).await;
        let reply = post("x".repeat(500).into()).await;
        if fits {
            reply.expect(200);
        } else {
            let reply = reply.expect_problem(503, "overloaded");
            assert_eq!(reply.header("retry-after"), "1");
            // A request without a body holds nothing.
            post(Body::empty()).await.expect(200);
        }
    }
}

#[tokio::test]
pub async fn response_body() {
    let app = App::start().await;
    let acme = echo(&app).await;
    let get = || app.get("/acme/echo/x").send();
    let needed = get().await.expect(200).body.len() as u64;
    for (limit, fits) in around(needed) {
        acme.limit(&json!({ "response_body": bytes(limit) })).await;
        if fits {
            assert_eq!(
                usage(&acme, &get().await.expect(200), "response_bytes").await,
                needed
            );
        } else {
            get().await.expect_problem(502, "plugin-invalid-response");
        }
    }
}

#[tokio::test]
pub async fn response_backlog() {
    let app = App::start().await;
    let acme = faults(&app).await;
    let fine = || app.get("/acme/faults/fine").send();
    let unread = app.get("/acme/faults/large").open().await;
    let needed = usage(&acme, &fine().await.expect(200), "backlog_bytes").await + 1;
    for (limit, fits) in around(needed) {
        acme.limit(&json!({ "response_backlog": bytes(limit) })).await;
        if fits {
            fine().await.expect(200);
        } else {
            fine().await.expect_problem(503, "overloaded");
        }
    }
    drop(unread);
    let reply = fine().await.expect(200);
    assert_eq!(usage(&acme, &reply, "backlog_bytes").await, 0);
}

/// Sends three concurrent requests, each of which sleeps until its time limit. Returns the number
/// that were admitted, and the metric `place` of each.
async fn three_at_once(app: &App, acme: &TestTenant<'_>) -> (usize, Vec<u64>) {
    let calls = (0..3).map(|_| app.get("/acme/faults/sleep").send());
    let replies: Vec<Reply> = join_all(calls).await;
    let mut places = Vec::new();
    for reply in &replies {
        match reply.problem() {
            (504, code) if code == "plugin-timeout" => places.push(usage(acme, reply, "place").await),
            problem => assert_eq!(problem, (503, "overloaded".to_owned())),
        }
    }
    (places.len(), places)
}

#[tokio::test]
pub async fn concurrency() {
    let app = App::start().await;
    let acme = faults(&app).await;
    for (limit, fits) in around(3) {
        acme.limit(&json!({ "concurrency": limit, "queue": 0 })).await;
        let (let_in, places) = three_at_once(&app, &acme).await;
        assert_eq!(let_in, if fits { 3 } else { 2 });
        assert_eq!(places[..2], [1, 2]);
    }
}

#[tokio::test]
pub async fn queue() {
    let app = App::start().await;
    let acme = faults(&app).await;
    for (limit, fits) in around(2) {
        let limits = json!({ "concurrency": 1, "queue": limit, "queue_wait": "30s" });
        acme.limit(&limits).await;
        let (let_in, places) = three_at_once(&app, &acme).await;
        assert_eq!(let_in, if fits { 3 } else { 2 });
        assert_eq!(places[..2], [1, 2]);
    }
}

#[tokio::test]
pub async fn queue_wait() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    let manifest = open_manifest("faults", "");
    acme.deploy(FAULTS, &manifest, &[]).await;
    let sleep = || app.get("/acme/faults/sleep").send();
    let limit = async |queue_wait: &str, wall: &str| {
        let limits = json!({ "concurrency": 1, "queue": 1, "queue_wait": queue_wait, "wall": wall });
        acme.limit(&limits).await;
    };

    limit("20ms", "60s").await;
    let reply = tokio::select! {
        biased;
        _ = sleep() => panic!("the sleep was over before the other one had waited"),
        reply = sleep() => reply,
    };
    reply.expect_problem(503, "overloaded");

    limit("30s", "100ms").await;
    let (_, reply) = tokio::join!(biased; sleep(), sleep());
    let reply = reply.expect_problem(504, "plugin-timeout");
    let queued = usage(&acme, &reply, "queued_us").await;
    assert!((1_000..30_000_000).contains(&queued), "{queued}");
}

#[tokio::test]
pub async fn requests_per_second() {
    let app = App::start().await;
    let acme = echo(&app).await;
    // At a rate of 1,000 per second, one request is added every millisecond.
    for (limit, fits) in around(1_000) {
        acme.limit(&json!({ "requests_per_second": limit, "request_burst": 1 }))
            .await;
        app.advance(Duration::from_secs(60));
        app.get("/acme/echo/x").send().await.expect(200);
        app.advance(Duration::from_millis(1));
        let reply = app.get("/acme/echo/x").send().await;
        if fits {
            assert_eq!(usage(&acme, &reply.expect(200), "burst_taken").await, 1);
        } else {
            reply.expect_problem(429, "rate-limited");
        }
    }
}

#[tokio::test]
pub async fn request_burst() {
    let app = App::start().await;
    let acme = echo(&app).await;
    for (limit, fits) in around(3) {
        acme.limit(&json!({ "requests_per_second": 1, "request_burst": limit }))
            .await;
        for _ in 0..2 {
            app.get("/acme/echo/x").send().await.expect(200);
        }
        let reply = app.get("/acme/echo/x").send().await;
        if fits {
            assert_eq!(usage(&acme, &reply.expect(200), "burst_taken").await, 3);
        } else {
            reply.expect_problem(429, "rate-limited");
        }
    }
}
