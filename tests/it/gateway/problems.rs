//! Tests of problem responses and request ids.

use mortise::domain::problem::Code;
use serde_json::json;
use test_artifacts::{CAPABILITIES, ECHO};

use super::{LINE, MANIFEST};
use crate::app::{App, open_manifest};

const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[tokio::test]
async fn every_code_has_its_page() {
    let app = App::start().await;
    for code in Code::ALL {
        let path = format!("/-/problems/{}", code.as_str());
        let text = app.get(&path).send().await.expect(200).text();
        assert!(text.starts_with(code.as_str()), "{text}");
        assert!(text.contains(&code.status().to_string()), "{text}");
        assert!(text.lines().last().unwrap().ends_with('.'), "{text}");
    }
    let unknown = app.get("/-/problems/unknown").send().await;
    unknown.expect_problem(404, "not-found");
}

#[tokio::test]
async fn a_problem_has_all_its_members() {
    let app = App::start().await;
    let reply = app.get("/nobody/nothing").send().await;
    let reply = reply.expect_problem(404, "not-found").json();
    let mut members: Vec<&String> = reply.as_object().unwrap().keys().collect();
    members.sort_unstable();
    assert_eq!(
        members,
        ["code", "detail", "request_id", "status", "title", "type"]
    );
    assert_eq!(reply["status"], 404);
    assert_eq!(reply["title"], "Not found");
    assert_eq!(reply["type"], "/-/problems/not-found");
}

#[tokio::test]
async fn every_response_has_an_id_of_its_own() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    acme.deploy(ECHO, MANIFEST, &[LINE]).await;
    let mut ids = Vec::new();
    for path in [
        "/acme/echo/open/1",
        "/acme/echo/open/1",
        "/-/healthz",
        "/nobody/x",
        "/a//b",
    ] {
        let reply = app.get(path).header("x-request-id", "mine").send().await;
        let id = reply.header("x-request-id").to_owned();
        assert_eq!((id.len(), &id[14..15]), (36, "7"), "{path}: {id}");
        ids.push(id);
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 5);
}

#[tokio::test]
async fn the_plugin_knows_the_id_and_a_valid_trace() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    acme.deploy(CAPABILITIES, &open_manifest("caps", ""), &[]).await;
    let get = || app.get("/acme/caps/context");

    let reply = get().header("traceparent", TRACEPARENT).send().await.expect(200);
    assert_eq!(reply.json()["id"], reply.header("x-request-id"));
    assert_eq!(reply.json()["traceparent"], TRACEPARENT);
    for invalid in ["", "01", &TRACEPARENT.to_uppercase(), &TRACEPARENT[..54]] {
        let reply = get().header("traceparent", invalid).send().await.expect(200);
        assert_eq!(reply.json()["traceparent"], json!(null), "{invalid}");
    }
}
