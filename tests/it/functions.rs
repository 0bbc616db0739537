//! Tests of functions: called by name with JSON input and output, each with its own limits.

use std::time::Duration;

use serde_json::{Value, json};
use test_artifacts::{ECHO, FUNCTIONS, NO_HTTP_HANDLER};

use crate::app::{App, Reply, TestTenant, bundled, open_manifest};

const ANY: (&str, &str) = ("any.json", "{}");
const NUMBER: (&str, &str) = ("number.json", r#"{"type":"integer"}"#);
const PATTERN: (&str, &str) = ("pattern.json", r#"{"type":"string","pattern":"^(a+)+$"}"#);

/// A public function, with further keys.
fn function(name: &str, more: &str) -> String {
    let schemas = match more.contains("input") {
        true => "output = 'any.json'",
        false => "input = 'any.json'\noutput = 'any.json'",
    };
    let auth = match more.contains("auth") {
        true => "",
        false => "auth = 'public'\n",
    };
    format!("[[function]]\nname = '{name}'\n{auth}{schemas}\n{more}\n")
}

/// A manifest with these functions and a route for all paths.
fn manifest(functions: &[String]) -> String {
    open_manifest("p", &functions.concat())
}

async fn deploy<'a>(app: &'a App, functions: &[String]) -> TestTenant<'a> {
    let acme = app.tenant("acme").await;
    let schemas = [ANY, NUMBER, PATTERN];
    let named: Vec<_> = schemas
        .into_iter()
        .filter(|(file, _)| functions.concat().contains(file))
        .collect();
    acme.deploy(FUNCTIONS, &manifest(functions), &named).await;
    acme
}

async fn call(app: &App, name: &str, input: &Value) -> Reply {
    let path = format!("/acme/p/-/functions/{name}");
    app.post(&path).json(input).send().await
}

#[tokio::test]
async fn a_function_takes_json_and_answers_json() {
    let app = App::start().await;
    deploy(&app, &[function("echo", "")]).await;
    let input = json!({ "total": 7, "name": "ä" });
    let reply = call(&app, "echo", &input).await.expect(200);
    assert_eq!(reply.json(), input);
    assert_eq!(reply.header("content-type"), "application/json");
    assert!(!reply.header("x-request-id").is_empty());
    let with_mark = app
        .post("/acme/p/-/functions/echo")
        .header("content-type", "application/json")
        .body("\u{feff}1");
    assert_eq!(with_mark.send().await.expect(200).text(), "1");
}

#[tokio::test]
async fn what_is_no_function_is_not_found_and_only_post_calls_one() {
    let app = App::start().await;
    deploy(&app, &[function("echo", "")]).await;
    for name in ["absent", "", "echo/", "echo/x", "Echo"] {
        call(&app, name, &json!(1)).await.expect_problem(404, "not-found");
    }
    let reply = app.get("/acme/p/-/functions/echo").send().await;
    let reply = reply.expect_problem(405, "method-not-allowed");
    assert_eq!(reply.header("allow"), "POST");
    // All other paths belong to the plugin's route.
    app.get("/acme/p/functions/echo").send().await.expect(200);
}

#[tokio::test]
async fn a_route_for_everything_takes_no_path_of_the_host() {
    let app = App::start().await;
    deploy(&app, &[]).await;
    for path in ["/-", "/-/", "/%2D/other", "/-/functions", "/-/functions/echo"] {
        let reply = app.get(&format!("/acme/p{path}")).send().await;
        reply.expect_problem(404, "not-found");
    }
    for path in ["/-x", "/x/-/y"] {
        app.get(&format!("/acme/p{path}")).send().await.expect(200);
    }
}

#[tokio::test]
async fn an_input_that_cannot_be_used_is_the_callers_fault() {
    let app = App::start().await;
    let functions = [
        function("echo", "input = 'number.json'"),
        function("invalid", ""),
        function("calls", "input = 'pattern.json'"),
    ];
    deploy(&app, &functions).await;
    let problem = call(&app, "echo", &json!("x"))
        .await
        .expect_problem(400, "validation-failed");
    let problem = problem.json();
    assert_eq!(problem["errors"][0]["pointer"], "");
    assert!(
        problem["detail"].as_str().unwrap().contains("of this function"),
        "{problem}"
    );
    // A schema with a pattern is checked in a sandbox.
    call(&app, "calls", &json!("b"))
        .await
        .expect_problem(400, "validation-failed");
    call(&app, "calls", &json!("aa")).await.expect(200);
    let post = |content_type: &str, body: &'static [u8]| {
        let call = app
            .post("/acme/p/-/functions/echo")
            .header("content-type", content_type);
        call.body(body).send()
    };
    post("application/json", b"{")
        .await
        .expect_problem(400, "invalid-request");
    post("application/json", b"")
        .await
        .expect_problem(400, "invalid-request");
    post("application/json", b"\xff")
        .await
        .expect_problem(400, "invalid-request");
    post("text/plain", b"1")
        .await
        .expect_problem(415, "unsupported-media-type");
    let reply = call(&app, "invalid", &json!(1))
        .await
        .expect_problem(400, "invalid-input");
    assert_eq!(reply.json()["detail"], "not this one");
}

#[tokio::test]
async fn a_function_that_fails_says_why() {
    let app = App::start().await;
    let acme = deploy(
        &app,
        &["failed", "other", "verbose"].map(|name| function(name, "")),
    )
    .await;
    for (name, detail) in [("failed", "it is broken"), ("other", "something else")] {
        let reply = call(&app, name, &json!(1))
            .await
            .expect_problem(422, "function-failed");
        assert_eq!(reply.json()["detail"], detail);
        let record = acme.invocation(&reply).await;
        assert_eq!(
            (&record["status"], &record["outcome"]),
            (&json!(422), &json!("failed"))
        );
        assert_eq!((&record["code"], &record["blame"]), (&Value::Null, &Value::Null));
    }
    let reply = call(&app, "verbose", &json!(1))
        .await
        .expect_problem(422, "function-failed");
    assert_eq!(
        reply.json()["detail"].as_str().unwrap().chars().count(),
        4 * 1024 + 1
    );
}

#[tokio::test]
async fn an_answer_that_cannot_be_sent_is_the_plugins_fault() {
    let app = App::start().await;
    let functions = [
        "[[function]]\nname = 'echo'\nauth = 'public'\ninput = 'any.json'\noutput = 'number.json'\n"
            .to_owned(),
        function("not-json", ""),
        function("large", ""),
        function("nowhere", ""),
        function("trap", ""),
        "[limits]\nresponse_body = '1MiB'\n".to_owned(),
    ];
    let acme = deploy(&app, &functions).await;
    call(&app, "echo", &json!(1)).await.expect(200);
    for (name, said) in [
        ("echo", "does not match its schema"),
        ("not-json", "the body is not JSON"),
        ("large", "larger than"),
        ("nowhere", "does not know it"),
    ] {
        let reply = call(&app, name, &json!("x")).await;
        let reply = reply.expect_problem(502, "plugin-invalid-response");
        let log = acme.log(&reply).await;
        let message = log.last().unwrap()["message"].as_str().unwrap();
        assert!(
            message.contains(said) || message.contains("response_body"),
            "{name}: {message}"
        );
        let record = acme.invocation(&reply).await;
        assert_eq!(
            (&record["code"], &record["outcome"]),
            (&json!("plugin-invalid-response"), &Value::Null)
        );
    }
    call(&app, "trap", &json!(1))
        .await
        .expect_problem(502, "plugin-trapped");
}

#[tokio::test]
async fn who_may_call_is_decided_as_for_a_route() {
    let app = App::start().await;
    let functions = [function("context", "auth = ['api-key']\nscopes = ['prices']")];
    let acme = deploy(&app, &functions).await;
    let call = async |key: Option<&str>| {
        let call = app.post("/acme/p/-/functions/context").json(&json!(null));
        match key {
            Some(key) => call.bearer(key).send().await,
            None => call.send().await,
        }
    };
    call(None).await.expect_problem(401, "unauthenticated");
    let (_, other) = acme
        .key_from(&json!({ "name": "other", "scopes": ["orders"] }))
        .await;
    call(Some(&other)).await.expect_problem(403, "insufficient-scope");
    let (id, key) = acme
        .key_from(&json!({ "name": "own", "scopes": ["prices"] }))
        .await;
    let context = call(Some(&key)).await.expect(200).json();
    assert_eq!(
        context,
        json!({ "trigger": "Trigger::Function", "principal": id })
    );
}

#[tokio::test]
async fn a_rate_counts_the_calls_of_one_function() {
    let app = App::start().await;
    deploy(&app, &[function("echo", "rate = '2/min'"), function("calls", "")]).await;
    for _ in 0..2 {
        call(&app, "echo", &json!(1)).await.expect(200);
    }
    let reply = call(&app, "echo", &json!(1))
        .await
        .expect_problem(429, "rate-limited");
    assert!(
        reply.header("ratelimit").starts_with("\"function\""),
        "{}",
        reply.header("ratelimit")
    );
    call(&app, "calls", &json!(1)).await.expect(200);
    app.clock.advance(Duration::from_secs(60));
    call(&app, "echo", &json!(1)).await.expect(200);
}

#[tokio::test]
async fn a_function_has_limits_of_its_own() {
    let app = App::start().await;
    let functions = [
        function("loop", "limits = { cpu = '20ms' }"),
        function("echo", "limits = { cpu = '8h' }"),
        function("calls", "limits = { memory = '128KiB' }"),
    ];
    let acme = app.tenant("acme").await;
    let beyond = bundled(FUNCTIONS, &manifest(&functions), &[ANY]);
    let problem = acme
        .upload("p", beyond)
        .await
        .expect_problem(422, "invalid-manifest")
        .json();
    let detail = problem["detail"].as_str().unwrap();
    assert!(
        detail.starts_with("plugin.toml: function[1].limits.cpu: 8h is more than"),
        "{detail}"
    );

    let [endless, _, calls] = functions;
    acme.deploy(FUNCTIONS, &manifest(&[endless, calls]), &[ANY]).await;
    let reply = call(&app, "loop", &json!(1))
        .await
        .expect_problem(504, "plugin-cpu");
    assert!(
        reply.json()["detail"].as_str().unwrap().contains("20ms"),
        "{}",
        reply.text()
    );
    let log = acme.log(&reply).await;
    let message = log.last().unwrap()["message"].as_str().unwrap();
    assert!(message.contains("the limit `cpu` of 20ms"), "{message}");
    let record = acme.invocation(&reply).await;
    assert_eq!(record["blame"], "limit");
    // The instance begins with more memory than that. A route of the same plugin has the plan's
    // limit.
    let reply = call(&app, "calls", &json!(1)).await;
    assert_eq!(reply.status, 502, "{}", reply.text());
    app.get("/acme/p/x").send().await.expect(200);
}

#[tokio::test]
async fn the_record_and_the_log_name_the_function() {
    let app = App::start().await;
    let acme = deploy(&app, &["log", "invalid"].map(|name| function(name, ""))).await;
    let answered = call(&app, "log", &json!(1)).await.expect(200);
    let record = acme.invocation(&answered).await;
    assert_eq!(record["trigger"], "function");
    assert_eq!(
        (&record["function"], &record["outcome"]),
        (&json!("log"), &json!("answered"))
    );
    assert_eq!(
        (&record["method"], &record["route"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(record["usage"]["request_bytes"], 1);
    assert_eq!(record["usage"]["response_bytes"], 4);
    let log = acme.log(&answered).await;
    assert_eq!(
        (&log[0]["message"], &log[0]["function"]),
        (&json!("called"), &json!("log"))
    );
    let refused = call(&app, "invalid", &json!(1)).await;
    assert_eq!(acme.invocation(&refused).await["outcome"], "invalid-input");
    let requested = app.get("/acme/p/x").send().await.expect(200);
    assert_eq!(acme.invocation(&requested).await["trigger"], "http");
    for (filter, count) in [
        ("", 3),
        ("?trigger=function", 2),
        ("?trigger=http", 1),
        ("?function=log", 1),
        ("?function=absent", 0),
        ("?failed=true", 0),
    ] {
        let path = acme.path(&format!("/invocations{filter}"));
        let page = app.admin("GET", &path).send().await.expect(200).json();
        assert_eq!(page["items"].as_array().unwrap().len(), count, "{filter}");
    }
    let usage = app
        .admin("GET", &acme.path("/usage"))
        .send()
        .await
        .expect(200)
        .json();
    assert_eq!(usage["plugins"][0]["invocations"], 3);
    let metrics = app.metrics().await.text();
    assert!(
        metrics.contains("mortise_invocations_triggered_total{trigger=\"function\"} 2"),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_function_that_fails_all_the_time_is_left_alone_and_the_others_serve() {
    let app = App::configured(|config| config.breaker.failures = 3).await;
    let acme = deploy(&app, &["trap", "echo", "failed"].map(|name| function(name, ""))).await;
    for _ in 0..4 {
        call(&app, "failed", &json!(1))
            .await
            .expect_problem(422, "function-failed");
    }
    let mut last = None;
    for _ in 0..3 {
        last = Some(
            call(&app, "trap", &json!(1))
                .await
                .expect_problem(502, "plugin-trapped"),
        );
    }
    call(&app, "trap", &json!(1))
        .await
        .expect_problem(503, "plugin-unhealthy");
    call(&app, "echo", &json!(1)).await.expect(200);
    app.get("/acme/p/x").send().await.expect(200);
    let plugin = app
        .admin("GET", &acme.path("/plugins/p"))
        .send()
        .await
        .expect(200)
        .json();
    assert_eq!(plugin["health"]["state"], "unhealthy");
    assert_eq!(plugin["health"]["routes"], json!([]));
    assert_eq!(plugin["health"]["functions"][0]["name"], "trap");
    assert_eq!(plugin["health"]["functions"][0]["reason"], "plugin-trapped");
    let log = acme.log(&last.unwrap()).await;
    let message = log.last().unwrap()["message"].as_str().unwrap();
    assert!(
        message.starts_with("function trap failed repeatedly"),
        "{message}"
    );
}

#[tokio::test]
async fn an_instance_that_is_reused_serves_requests_and_functions() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    let functions = [function("calls", ""), function("echo", "")];
    let manifest = manifest(&functions).replace("[plugin]", "[plugin]\nreuse = true");
    acme.deploy(FUNCTIONS, &manifest, &[ANY]).await;
    assert_eq!(app.get("/acme/p/x").send().await.expect(200).text(), "1");
    assert_eq!(call(&app, "calls", &json!(1)).await.expect(200).text(), "2");
    call(&app, "echo", &json!(1)).await.expect(200);
    assert_eq!(app.get("/acme/p/x").send().await.expect(200).text(), "4");
}

#[tokio::test]
async fn a_component_of_contract_0_1_handles_functions() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    let functions = ["echo", "invalid", "failed", "nowhere"].map(|name| function(name, ""));
    let manifest = format!("[plugin]\nname = 'p'\nversion = '1'\n{}", functions.concat());
    acme.deploy(NO_HTTP_HANDLER, &manifest, &[ANY]).await;
    assert_eq!(
        call(&app, "echo", &json!([1])).await.expect(200).json(),
        json!([1])
    );
    call(&app, "invalid", &json!(1))
        .await
        .expect_problem(400, "invalid-input");
    call(&app, "failed", &json!(1))
        .await
        .expect_problem(422, "function-failed");
    call(&app, "nowhere", &json!(1))
        .await
        .expect_problem(502, "plugin-invalid-response");
}

#[tokio::test]
async fn functions_need_a_handler() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    let component = bundled(ECHO, &manifest(&[function("echo", "")]), &[ANY]);
    let problem = acme
        .upload("p", component)
        .await
        .expect_problem(422, "invalid-component")
        .json();
    let detail = problem["detail"].as_str().unwrap();
    assert!(
        detail.contains("exports no `mortise:plugin/function-handler`"),
        "{detail}"
    );
    assert!(
        problem["hint"]
            .as_str()
            .unwrap()
            .contains("mortise_sdk::functions!"),
        "{problem}"
    );
}
