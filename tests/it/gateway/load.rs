//! Tests of concurrency limits, rate limits and plugins that cannot run.

use std::time::Duration;

use serde_json::json;
use test_artifacts::{ECHO, FAULTS};

use super::{LINE, MANIFEST};
use crate::app::{App, open_manifest};

#[tokio::test]
async fn a_tenant_has_a_rate_and_comes_back_by_the_clock() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    acme.deploy(ECHO, MANIFEST, &[LINE]).await;
    let other = app.tenant("other").await;
    other.deploy(ECHO, MANIFEST, &[LINE]).await;
    acme.limit(&json!({ "requests_per_second": 1, "request_burst": 2 }))
        .await;
    let get = || app.get("/acme/echo/open/1").send();

    get().await.expect(200);
    get().await.expect(200);
    let reply = get().await.expect_problem(429, "rate-limited");
    assert_eq!(reply.header("retry-after"), "1");
    assert_eq!(reply.header("ratelimit"), "\"tenant\";r=0;t=1");
    assert_eq!(reply.header("ratelimit-policy"), "\"tenant\";q=2");
    app.get("/other/echo/open/1").send().await.expect(200);

    app.advance(Duration::from_millis(999));
    get().await.expect_problem(429, "rate-limited");
    app.advance(Duration::from_millis(1));
    get().await.expect(200);
    get().await.expect_problem(429, "rate-limited");
}

#[tokio::test]
async fn beyond_its_rate_no_body_is_waited_for() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    acme.deploy(ECHO, MANIFEST, &[LINE]).await;
    acme.limit(&json!({ "requests_per_second": 1, "request_burst": 1 }))
        .await;
    app.get("/acme/echo/open/1").send().await.expect(200);
    let never = futures_util::stream::pending::<Result<axum::body::Bytes, std::io::Error>>();
    let post = app
        .post("/acme/echo/open/1")
        .body(axum::body::Body::from_stream(never));
    post.send().await.expect_problem(429, "rate-limited");
}

#[tokio::test]
async fn rejected_credentials_are_counted_apart_and_refuse_no_valid_one() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    acme.deploy(ECHO, MANIFEST, &[LINE]).await;
    let key = acme.key(&[]).await;
    acme.limit(&json!({ "requests_per_second": 1, "request_burst": 2 }))
        .await;
    let foreign = app.tenant("other").await.key(&["*"]).await;
    let guesses = ["guess", "", &foreign, &key[..key.len() - 1]];
    for (number, guess) in guesses.into_iter().cycle().take(100).enumerate() {
        let reply = app.get("/acme/echo/mine").bearer(guess).send().await;
        if number < 2 {
            reply.expect_problem(401, "unauthenticated");
        } else {
            let reply = reply.expect_problem(429, "rate-limited");
            assert_eq!(reply.header("ratelimit"), "\"credentials\";r=0;t=1");
            assert_eq!(reply.header("retry-after"), "1");
        }
    }
    // Requests with a valid credential, and those that need none, still have the whole rate.
    let mine = || app.get("/acme/echo/mine").bearer(&key).send();
    app.get("/acme/echo/open/1").send().await.expect(200);
    mine().await.expect(200);
    mine().await.expect(200);
    let reply = mine().await.expect_problem(429, "rate-limited");
    assert_eq!(reply.header("ratelimit"), "\"tenant\";r=0;t=1");
    app.advance(Duration::from_secs(1));
    let guess = || app.get("/acme/echo/mine").bearer("guess").send();
    guess().await.expect_problem(401, "unauthenticated");
    guess().await.expect_problem(429, "rate-limited");
}

#[tokio::test]
async fn a_flood_of_anonymous_requests_takes_nothing_from_callers_with_a_key() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    acme.deploy(ECHO, MANIFEST, &[LINE]).await;
    let key = acme.key(&[]).await;
    acme.limit(&json!({ "requests_per_second": 2, "request_burst": 2 }))
        .await;
    let open = || app.get("/acme/echo/open/1").send();
    let mine = || app.get("/acme/echo/mine").bearer(&key).send();
    for second in 0..5 {
        // The flood comes first in each second. It gets what callers with a key left unused in the
        // previous second.
        let mut served = 0;
        for _ in 0..10 {
            served += u32::from(open().await.status == 200);
        }
        assert_eq!(served, if second == 0 { 2 } else { 0 }, "second {second}");
        mine().await.expect(200);
        mine().await.expect(200);
        mine().await.expect_problem(429, "rate-limited");
        app.advance(Duration::from_secs(1));
    }
    // When they stop, all callers share the whole rate.
    app.advance(Duration::from_secs(2));
    open().await.expect(200);
    open().await.expect(200);
}

#[tokio::test]
async fn a_key_without_the_scope_counts_as_its_holders_request() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    acme.deploy(ECHO, MANIFEST, &[LINE]).await;
    let key = acme.key(&[]).await;
    acme.limit(&json!({ "requests_per_second": 1, "request_burst": 1 }))
        .await;
    let scoped = || app.get("/acme/echo/scoped").bearer(&key).send();
    scoped().await.expect_problem(403, "insufficient-scope");
    scoped().await.expect_problem(429, "rate-limited");
}

#[tokio::test]
async fn a_route_has_a_rate_for_each_caller() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    acme.deploy(ECHO, MANIFEST, &[LINE]).await;
    let (first, second) = (acme.key(&[]).await, acme.key(&[]).await);
    let seldom = |key: &str| app.get("/acme/echo/seldom").bearer(key).send();

    seldom(&first).await.expect(200);
    seldom(&first).await.expect(200);
    let reply = seldom(&first).await.expect_problem(429, "rate-limited");
    assert_eq!(reply.header("retry-after"), "30");
    assert_eq!(reply.header("ratelimit-policy"), "\"route\";q=2");
    seldom(&second).await.expect(200);
    app.get("/acme/echo/mine").bearer(&first).send().await.expect(200);

    app.advance(Duration::from_secs(30));
    seldom(&first).await.expect(200);
    seldom(&first).await.expect_problem(429, "rate-limited");
}

#[tokio::test]
async fn a_change_elsewhere_in_the_tenant_gives_no_new_rate() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    acme.deploy(ECHO, MANIFEST, &[LINE]).await;
    let key = acme.key(&[]).await;
    let seldom = || app.get("/acme/echo/seldom").bearer(&key).send();
    seldom().await.expect(200);
    seldom().await.expect(200);
    acme.secret("unrelated", "x").await;
    seldom().await.expect_problem(429, "rate-limited");
}

#[tokio::test]
async fn beyond_the_concurrency_and_its_queue_nobody_waits() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    let manifest = open_manifest("faults", "[limits]\nwall = '60s'\n");
    acme.deploy(FAULTS, &manifest, &[]).await;
    let other = app.tenant("other").await;
    other.deploy(FAULTS, &manifest, &[]).await;
    acme.limit(&json!({ "concurrency": 1, "queue": 0, "wall": "60s" }))
        .await;

    let slow = tokio::spawn(app.get("/acme/faults/sleep").send());
    app.until_gauges(|gauges| gauges["requests_admitted"] == 1).await;
    let refused = app.get("/acme/faults/fine").send().await;
    let reply = refused.expect_problem(503, "overloaded");
    assert_eq!(reply.header("retry-after"), "1");
    app.get("/other/faults/fine").send().await.expect(200);
    slow.abort();
    app.until_gauges(|gauges| gauges["requests_admitted"] == 0).await;
    app.get("/acme/faults/fine").send().await.expect(200);
}

#[tokio::test]
async fn every_queued_request_runs() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    acme.deploy(ECHO, MANIFEST, &[LINE]).await;
    acme.limit(&json!({ "concurrency": 1, "queue": 10 })).await;
    let calls = (0..11).map(|_| app.get("/acme/echo/open/1").send());
    for reply in futures_util::future::join_all(calls).await {
        reply.expect(200);
    }
}

#[tokio::test]
pub async fn a_tenant_with_a_larger_share_gets_more_of_a_busy_thread() {
    let app = App::configured(|config| config.runtime.threads = 1).await;
    let manifest = open_manifest("faults", "[limits]\ncpu = '150ms'\nwall = '60s'\n");
    for (tenant, share) in [("small", 1), ("large", 3)] {
        let tenant = app.tenant(tenant).await;
        tenant.deploy(FAULTS, &manifest, &[]).await;
        tenant.limit(&json!({ "share": share, "wall": "60s" })).await;
    }
    // The small tenant sends first.
    let mut loops = tokio::task::JoinSet::new();
    for tenant in ["small", "small", "small", "large", "large", "large"] {
        let call = app.get(&format!("/{tenant}/faults/loop"));
        loops.spawn(async move { (tenant, call.send().await) });
    }
    let mut ended = Vec::new();
    while let Some(reply) = loops.join_next().await {
        let (tenant, reply) = reply.unwrap();
        reply.expect_problem(504, "plugin-cpu");
        ended.push(tenant);
    }
    // With equal shares the small tenant, which came first, would end first. The third loop of the
    // large one ends at about the time of the first loop of the small one, so their order is not
    // checked.
    assert_eq!(ended[..2], ["large", "large"], "{ended:?}");
    assert_eq!(ended[4..], ["small", "small"], "{ended:?}");
}

#[tokio::test]
async fn what_is_suspended_or_disabled_answers_503_until_it_is_not() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    acme.deploy(ECHO, MANIFEST, &[LINE]).await;
    let get = || app.get("/acme/echo/open/1").send();

    acme.suspend(true).await;
    let reply = get().await.expect_problem(503, "plugin-suspended");
    assert_eq!(reply.header("retry-after"), "60");
    acme.suspend(false).await;
    get().await.expect(200);

    acme.disable("echo", true).await;
    get().await.expect_problem(503, "plugin-suspended");
    acme.disable("echo", false).await;
    get().await.expect(200);
}
