//! Tests of plugin faults: the caller gets a problem, the record has the blame, and the next
//! request is served.

use serde_json::{Value, json};
use test_artifacts::FAULTS;

use crate::app::{App, Reply, TestTenant, open_manifest};

async fn deploy<'a>(app: &'a App, more: &str) -> TestTenant<'a> {
    let acme = app.tenant("acme").await;
    acme.deploy(FAULTS, &open_manifest("faults", more), &[]).await;
    acme
}

/// Calls the fault, checks the problem and its record, and then that a request is served.
async fn fault(app: &App, acme: &TestTenant<'_>, name: &str, problem: (u16, &str), blame: &str) -> Reply {
    let reply = app.get(&format!("/acme/faults/{name}")).send().await;
    let reply = reply.expect_problem(problem.0, problem.1);
    let record = acme.invocation(&reply).await;
    assert_eq!(record["status"], problem.0, "{record}");
    assert_eq!(record["code"], problem.1, "{record}");
    assert_eq!(record["blame"], blame, "{record}");
    assert_eq!(record["route"], "/{*rest}", "{record}");
    assert!(record["usage"]["wall_us"].as_u64().unwrap() > 0, "{record}");
    let fine = app.get("/acme/faults/fine").send().await.expect(200);
    assert_eq!(acme.invocation(&fine).await["code"], Value::Null);
    reply
}

fn messages(log: &[Value]) -> String {
    let messages = log.iter().map(|line| line["message"].as_str().unwrap());
    messages.collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn a_trap() {
    let app = App::start().await;
    let acme = deploy(&app, "").await;
    let reply = fault(&app, &acme, "trap", (502, "plugin-trapped"), "guest").await;
    assert_eq!(
        reply.json()["detail"],
        "the plugin stopped with a fault of its own"
    );
    let log = messages(&acme.log(&reply).await);
    assert!(log.contains("unreachable"), "{log}");
    assert!(!reply.text().contains("unreachable"));
}

#[tokio::test]
async fn a_panic_is_told_to_the_author_and_not_to_the_caller() {
    let app = App::start().await;
    let acme = deploy(&app, "").await;
    let reply = fault(&app, &acme, "panic", (502, "plugin-trapped"), "guest").await;
    assert!(!reply.text().contains("a message"), "{}", reply.text());
    let log = acme.log(&reply).await;
    assert!(messages(&log).contains("a panic with a message"), "{log:?}");
    assert!(log.iter().all(|line| line["level"] == "error"), "{log:?}");
}

#[tokio::test]
async fn an_endless_loop() {
    let app = App::start().await;
    let acme = deploy(&app, "[limits]\ncpu = '100ms'\n").await;
    let reply = fault(&app, &acme, "loop", (504, "plugin-cpu"), "limit").await;
    let log = messages(&acme.log(&reply).await);
    assert!(log.starts_with("the host stopped the plugin: it used "), "{log}");
    let said = "of CPU time, more than the limit `cpu` of 100ms; it made no host calls";
    assert!(log.contains(said), "{log}");
    assert_eq!(reply.json()["detail"], "the plugin used up its 100ms of CPU time");
    let cpu = acme.invocation(&reply).await["usage"]["cpu_us"].as_u64().unwrap();
    assert!((100_000..1_000_000).contains(&cpu), "{cpu}");
}

#[tokio::test]
async fn a_loop_leaves_the_thread_to_others() {
    let app = App::start().await;
    deploy(&app, "[limits]\ncpu = '400ms'\n").await;
    // One thread runs both; the second is answered while the first still uses its budget.
    let looping = app.get("/acme/faults/loop").send();
    tokio::pin!(looping);
    let fine = app.get("/acme/faults/fine").send();
    let fine = tokio::select! {
        biased;
        _ = &mut looping => panic!("the loop was over before the other request was served"),
        fine = fine => fine,
    };
    fine.expect(200);
    looping.await.expect_problem(504, "plugin-cpu");
}

#[tokio::test]
async fn a_recursion_without_end() {
    let app = App::start().await;
    let acme = deploy(&app, "").await;
    let reply = fault(&app, &acme, "recursion", (502, "plugin-trapped"), "guest").await;
    assert!(!messages(&acme.log(&reply).await).is_empty());
}

#[tokio::test]
async fn a_hoard_of_memory() {
    let app = App::start().await;
    let acme = deploy(&app, "[limits]\nmemory = '16MiB'\n").await;
    let reply = fault(&app, &acme, "memory", (502, "plugin-memory"), "limit").await;
    let log = messages(&acme.log(&reply).await);
    assert!(log.contains("the host stopped the plugin: it held "), "{log}");
    let said = "asked for more than the limit `memory` of 16MiB; it made no host calls";
    assert!(log.contains(said), "{log}");
    // Rust's message is one line.
    let lines: Vec<&str> = log.lines().collect();
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("memory allocation of ") && line.contains("bytes failed")),
        "{log}"
    );
    let peak = acme.invocation(&reply).await["usage"]["memory_bytes"]
        .as_u64()
        .unwrap();
    assert!((8 << 20..=16 << 20).contains(&peak), "{peak}");
}

#[tokio::test]
async fn a_sleep_ends_with_the_wall_clock() {
    let app = App::start().await;
    let acme = deploy(&app, "[limits]\nwall = '200ms'\n").await;
    let reply = fault(&app, &acme, "sleep", (504, "plugin-timeout"), "limit").await;
    let log = messages(&acme.log(&reply).await);
    assert!(
        log.starts_with("the host stopped the plugin: it ran for "),
        "{log}"
    );
    assert!(log.contains("longer than the limit `wall` of 200ms; "), "{log}");
    let usage = acme.invocation(&reply).await["usage"].clone();
    let (wall, cpu) = (
        usage["wall_us"].as_u64().unwrap(),
        usage["cpu_us"].as_u64().unwrap(),
    );
    assert!((200_000..2_000_000).contains(&wall), "{usage}");
    // Waiting is not charged as CPU time.
    assert!(cpu < 150_000, "{usage}");
}

#[tokio::test]
async fn a_response_that_is_none() {
    let app = App::start().await;
    let acme = deploy(&app, "").await;
    acme.limit(&json!({ "response_body": "2MiB" })).await;
    for (name, reason) in [
        ("status", "99 is not a status from 200 to 599"),
        ("header", "the value of header `x` is not valid"),
        (
            "large",
            "the body has 3145728 bytes, more than the limit `response_body` of 2MiB",
        ),
        ("channels", "this host does not serve realtime channels yet"),
    ] {
        let reply = fault(&app, &acme, name, (502, "plugin-invalid-response"), "guest").await;
        assert!(!reply.text().contains(reason), "{}", reply.text());
        assert!(!reply.headers.contains_key("set-cookie"));
        let log = messages(&acme.log(&reply).await);
        assert!(log.contains(reason), "{name}: {log}");
    }
}

#[tokio::test]
async fn a_response_that_is_never_copied_is_too_large() {
    let app = App::start().await;
    let acme = deploy(&app, "").await;
    // With these limits the response does not fit into what is copied out of a sandbox.
    acme.limit(&json!({ "response_body": "1MiB", "host_call_bytes": "1MiB" }))
        .await;
    let reply = fault(&app, &acme, "large", (502, "plugin-invalid-response"), "guest").await;
    assert_eq!(
        reply.json()["detail"],
        "the plugin's response is larger than its limit `response_body` of 1MiB"
    );
    let log = messages(&acme.log(&reply).await);
    assert_eq!(
        log,
        "invalid response: it is larger than the limit `response_body` of 1MiB"
    );
}

#[tokio::test]
async fn a_large_response_that_may_be_is_sent_whole() {
    let app = App::start().await;
    let acme = deploy(&app, "").await;
    let reply = app.get("/acme/faults/large").send().await.expect(200);
    assert_eq!(reply.body.len(), 3 << 20);
    assert_eq!(reply.header("content-type"), "application/octet-stream");
    assert_eq!(acme.invocation(&reply).await["usage"]["response_bytes"], 3 << 20);
}

#[tokio::test]
async fn the_connection_is_the_hosts() {
    let app = App::start().await;
    deploy(&app, "").await;
    let reply = app.get("/acme/faults/connection").send().await.expect(200);
    assert_ne!(reply.header("x-request-id"), "1");
    for name in ["connection", "transfer-encoding", "content-length"] {
        assert_ne!(reply.header(name), "1", "{name}");
    }
}

#[tokio::test]
async fn an_instance_knows_nothing_of_the_one_before() {
    let app = App::configured(|config| config.runtime.instances = 1).await;
    let acme = deploy(&app, "[limits]\nmemory = '16MiB'\n").await;
    // With one slot, every request uses the memory of the previous one.
    for _ in 0..5 {
        app.get("/acme/faults/memory")
            .send()
            .await
            .expect_problem(502, "plugin-memory");
        let reply = app.get("/acme/faults/fine").send().await.expect(200);
        let peak = acme.invocation(&reply).await["usage"]["memory_bytes"]
            .as_u64()
            .unwrap();
        assert!(peak < 4 << 20, "{peak}");
    }
}

#[tokio::test]
async fn failures_are_listed_and_counted() {
    let app = App::start().await;
    let acme = deploy(&app, "").await;
    for path in ["fine", "trap", "fine", "status"] {
        app.get(&format!("/acme/faults/{path}")).send().await;
    }
    app.host.flush().await;
    let path = acme.path("/invocations?failed=true");
    let page = app.admin("GET", &path).send().await.expect(200).json();
    let codes: Vec<&Value> = page["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| &item["code"])
        .collect();
    assert_eq!(codes, ["plugin-invalid-response", "plugin-trapped"]);

    let to = mortise::domain::clock::Timestamp(crate::app::START.0 + 3_600_000);
    let path = acme.path(&format!("/usage?to={to}"));
    let usage = app.admin("GET", &path).send().await.expect(200).json();
    assert_eq!(usage["plugins"][0]["invocations"], 4);
    assert_eq!(usage["plugins"][0]["failures"], 2);
}
