//! Tests that a request that is dropped at any point leaves nothing open.

use std::collections::HashSet;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use serde_json::{Value, json};
use test_artifacts::RESOURCES;

use crate::app::{App, Call, Reply, TestTenant, open_manifest};
use crate::http_client::server::Server;

/// The gauges of what a request holds, which are zero without a request.
const HELD: [&str; 9] = [
    "requests_under_way",
    "requests_admitted",
    "requests_waiting",
    "guests_running",
    "instances_in_use",
    "database_transactions",
    "database_cursors",
    "database_statements",
    "outbound_requests",
];

/// The number of requests after which the test fails. A page has as many records.
const MOST_REQUESTS: usize = 150;

/// A host with one instance, and a tenant with one permit: if either is lost, the next request is
/// rejected.
async fn app() -> App {
    App::configured(|config| {
        config.runtime.instances = 1;
        config.http_client.allow_loopback = true;
        // The limits are long, so that they do not hide a leak.
        config.limits.wall = "60s".parse().unwrap();
        config.limits.http_first_byte = "60s".parse().unwrap();
        config.limits.http_total = "60s".parse().unwrap();
    })
    .await
}

/// Deploys the guest as the plugin `res`, which may send requests to `origin`.
pub async fn deploy<'a>(app: &'a App, origin: &str) -> TestTenant<'a> {
    let acme = app.tenant("acme").await;
    let more = format!("[database]\nmigrations = 'migrations'\n[http]\nallow = ['{origin}']\n");
    let tables = "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT NOT NULL, price REAL);";
    let tables = ("migrations/0001_tables.sql", tables);
    acme.deploy(RESOURCES, &open_manifest("res", &more), &[tables])
        .await;
    acme.limit(&json!({ "concurrency": 1, "queue": 0 })).await;
    acme
}

fn call(app: &App, path: &str, url: &str) -> Call {
    app.post(&format!("/acme/res{path}")).json(&json!({ "url": url }))
}

/// Waits until nothing is held and all open connections are idle.
pub async fn until_nothing_is_held(app: &App) {
    app.until_gauges(|gauges| {
        HELD.iter().all(|gauge| gauges[gauge] == 0)
            && gauges["outbound_connections"] == gauges["outbound_connections_idle"]
    })
    .await;
}

/// The outcome of a request that is polled a limited number of times.
enum Polled {
    /// It was ready.
    Ready(Reply),
    /// It was dropped while it held this.
    Dropped(Vec<&'static str>),
}

/// Polls `request` this often, then drops it.
async fn polled(app: &App, request: impl Future<Output = Reply>, times: usize) -> Polled {
    let mut request = pin!(request);
    let mut polls = 0;
    let reply = poll_fn(|context| {
        polls += 1;
        match request.as_mut().poll(context) {
            Poll::Ready(reply) => Poll::Ready(Some(reply)),
            Poll::Pending if polls == times => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await;
    match reply {
        Some(reply) => Polled::Ready(reply),
        None => {
            let gauges = app.gauges().await;
            Polled::Dropped(HELD.into_iter().filter(|gauge| gauges[gauge] != 0).collect())
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_stays_open_at_whichever_await_it_is_dropped() {
    let app = app().await;
    let server = Server::start().await;
    let acme = deploy(&app, &server.origin).await;
    let url = server.url("/echo");
    let first = call(&app, "/everything", &url).send().await.expect(200);
    assert_eq!(
        first.json(),
        json!({ "cached": true, "sent": 200, "waited": 200 })
    );
    until_nothing_is_held(&app).await;

    // A future that is ready at once cannot be dropped there, and the scheduler determines which
    // ones are. So the loop continues until a request was dropped while it held each of these, with
    // a limit.
    let mut not_dropped = HashSet::from([
        "requests_under_way",
        "requests_admitted",
        "instances_in_use",
        "database_transactions",
    ]);
    for times in (1..=25).cycle().take(MOST_REQUESTS) {
        match polled(&app, call(&app, "/everything", &url).send(), times).await {
            Polled::Ready(reply) => _ = reply.expect(200),
            Polled::Dropped(held) => held.iter().for_each(|gauge| _ = not_dropped.remove(gauge)),
        }
        until_nothing_is_held(&app).await;
        if times == 25 && not_dropped.is_empty() {
            break;
        }
    }
    assert_eq!(not_dropped, HashSet::new());

    // A server on this machine responds too quickly for that, so here is one that never does.
    let pending = tokio::spawn(call(&app, "/everything", &server.url("/never")).send());
    app.until_gauges(|gauges| gauges["outbound_requests"] == 1).await;
    pending.abort();
    until_nothing_is_held(&app).await;

    // Each committed transaction wrote two items, and nothing remains of the others.
    let items = call(&app, "/count", &url).send().await.expect(200).json();
    let items = items.as_u64().unwrap();
    assert!(items >= 2 && items.is_multiple_of(2), "{items}");
    // Every invocation has a record.
    let metrics = app.metrics().await.text();
    let invocations: u64 = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("mortise_invocations_total")?.rsplit_once(' '))
        .map(|(_, count)| count.parse::<u64>().unwrap())
        .sum();
    app.host.flush().await;
    let records = app
        .admin("GET", &acme.path("/invocations?limit=200"))
        .send()
        .await
        .expect(200)
        .json();
    let records = records["items"].as_array().unwrap();
    assert_eq!(records.len() as u64, invocations);
    assert!(
        records.iter().any(|record| record["status"] == 499),
        "{records:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_ever_ends_at_the_wall_with_all_that_it_holds() {
    let app = app().await;
    let server = Server::start().await;
    let acme = deploy(&app, &server.origin).await;
    // This is long enough for everything before the endless wait.
    acme.limit(&json!({ "concurrency": 1, "queue": 0, "wall": "5s" }))
        .await;
    let call = call(&app, "/never", &server.url("/never"));
    call.send().await.expect_problem(504, "plugin-timeout");
    until_nothing_is_held(&app).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_goes_away_while_it_waits_for_ever_takes_all_with_it() {
    let app = app().await;
    let server = Server::start().await;
    deploy(&app, &server.origin).await;
    let url = server.url("/never");
    let running = tokio::spawn(call(&app, "/never", &url).send());
    let open = [
        "database_transactions",
        "database_cursors",
        "outbound_requests",
        "outbound_connections",
    ];
    app.until_gauges(|gauges| open.iter().all(|gauge| gauges[gauge] == 1))
        .await;
    running.abort();
    until_nothing_is_held(&app).await;
}

#[tokio::test]
async fn a_handle_that_the_plugin_does_not_have_ends_that_plugin_alone() {
    let app = app().await;
    let server = Server::start().await;
    let acme = deploy(&app, &server.origin).await;
    for (path, code, reason) in [
        ("/dropped", "plugin-trapped", "unknown handle index"),
        ("/made-up", "plugin-trapped", "unknown handle index"),
        ("/of-another-kind", "plugin-trapped", "handle index"),
        ("/hoard", "plugin-limit", "(limit `handles`)"),
    ] {
        let reply = call(&app, path, "").send().await;
        let reply = reply.expect_problem(502, code);
        let log = acme.log(&reply).await;
        let message = log.last().unwrap()["message"].as_str().unwrap();
        assert!(message.contains(reason), "{path}: {message}");
        until_nothing_is_held(&app).await;
    }
    let fine = call(&app, "/everything", &server.url("/echo")).send().await;
    fine.expect(200);
}

#[tokio::test]
async fn a_store_is_used_once_whatever_became_of_it() {
    let app = app().await;
    let server = Server::start().await;
    deploy(&app, &server.origin).await;
    // With one slot in the pool, each request follows one that trapped or was dropped.
    for _ in 0..5 {
        call(&app, "/made-up", "")
            .send()
            .await
            .expect_problem(502, "plugin-trapped");
        let running = tokio::spawn(call(&app, "/never", &server.url("/never")).send());
        app.until_gauges(|gauges| gauges["outbound_requests"] == 1).await;
        running.abort();
        until_nothing_is_held(&app).await;
        let fine = call(&app, "/other", "").send().await.expect(200);
        assert_eq!(fine.json(), Value::from("/other"));
    }
}
