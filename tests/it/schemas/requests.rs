//! Tests of expensive request bodies.

use std::sync::Mutex;
use std::time::Duration;

use serde_json::{Value, json};
use test_artifacts::{ECHO, ECHO_0_1, REUSED};

use super::{deploy_checked, letters, manifest, nested_unevaluated, patterns};
use crate::app::{App, Reply, TestTenant};

const CPU: Duration = Duration::from_millis(200);

async fn limited(tenant: &TestTenant<'_>) {
    tenant
        .limit(&json!({ "cpu": "200ms", "wall": "60s", "memory": "128MiB" }))
        .await;
}

/// Sends an expensive body several times while another tenant is called. The other tenant is
/// answered first.
async fn attacked(app: &App, acme: &TestTenant<'_>, body: &Value) -> Vec<Reply> {
    let order = Mutex::new(Vec::new());
    let note = |who: &'static str| order.lock().unwrap().push(who);
    let attack = || async {
        let reply = app.post("/acme/p/checked").json(body).send().await;
        note("attack");
        reply
    };
    let good = async {
        for _ in 0..20 {
            app.post("/globex/p/checked")
                .json(&json!({}))
                .send()
                .await
                .expect(200);
            note("good");
        }
    };
    let (first, second, ()) = tokio::join!(attack(), attack(), good);
    let order = order.into_inner().unwrap();
    let answered_before = order.iter().take_while(|who| **who == "good").count();
    assert!(answered_before >= 15, "{order:?}");
    for reply in [&first, &second] {
        let usage = acme.invocation(reply).await["usage"].clone();
        let cpu = Duration::from_micros(usage["cpu_us"].as_u64().unwrap());
        // The guest may run for two more ticks, and the compilation of the schema is charged, but
        // not taken from the budget.
        assert!(cpu >= CPU && cpu < CPU * 30, "{usage}");
    }
    vec![first, second]
}

async fn good(app: &App) {
    let globex = app.tenant("globex").await;
    globex.deploy(ECHO, &manifest(""), &[]).await;
}

#[tokio::test]
async fn a_pattern_on_a_long_text_is_charged_and_ended() {
    let app = App::start().await;
    good(&app).await;
    let acme = deploy_checked(&app, "acme", &patterns(20, 500)).await;
    limited(&acme).await;
    for reply in attacked(&app, &acme, &json!(letters(1_000_000))).await {
        let problem = reply.expect_problem(504, "plugin-cpu").json();
        let detail = problem["detail"].as_str().unwrap();
        assert!(
            detail.contains("checking the body against its schema"),
            "{detail}"
        );
    }
    // A body that does not match the pattern, and one that does.
    let post = |body: &str| app.post("/acme/p/checked").json(&json!(body)).send();
    post("ab").await.expect_problem(400, "validation-failed");
    let matching = format!("a{}c7", "b".repeat(500));
    post(&matching).await.expect(200);
}

#[tokio::test]
async fn unevaluated_properties_that_double_are_charged_and_ended() {
    let app = App::start().await;
    good(&app).await;
    let acme = deploy_checked(&app, "acme", &nested_unevaluated(40)).await;
    limited(&acme).await;
    let body = json!({ "a": 1 });
    for reply in attacked(&app, &acme, &body).await {
        reply.expect_problem(504, "plugin-cpu");
    }
}

#[tokio::test]
async fn the_errors_of_a_large_body_are_few_and_cost_no_more_memory_than_there_is() {
    let app = App::start().await;
    let types = ["string", "object", "array", "boolean", "null", "string"];
    let types: Vec<Value> = types.iter().map(|name| json!({ "type": name })).collect();
    let acme = deploy_checked(&app, "acme", &json!({ "items": { "anyOf": types } })).await;
    acme.limit(&json!({ "memory": "64MiB" })).await;
    // First the largest body, then the largest one whose errors are listed.
    for ones in [500_000, 16_000] {
        let body = format!("[{}1]", "1,".repeat(ones - 1));
        let call = app
            .post("/acme/p/checked")
            .header("content-type", "application/json");
        let reply = call
            .body(body)
            .send()
            .await
            .expect_problem(400, "validation-failed");
        let errors = reply.json()["errors"].as_array().unwrap().len();
        assert!(errors <= 20, "{errors}");
        assert!(reply.body.len() < 30_000, "{}", reply.body.len());
    }
}

#[tokio::test]
async fn each_error_is_short_and_names_its_place() {
    let app = App::start().await;
    deploy_checked(
        &app,
        "acme",
        &json!({ "additionalProperties": { "type": "integer" } }),
    )
    .await;
    let mut body = json!({});
    for number in 0..30 {
        body[format!("m{number:02}")] = json!("x".repeat(1_000));
    }
    let reply = app.post("/acme/p/checked").json(&body).send().await;
    let problem = reply.expect_problem(400, "validation-failed").json();
    let errors = problem["errors"].as_array().unwrap();
    assert_eq!(errors.len(), 20);
    for (number, error) in errors.iter().enumerate() {
        assert_eq!(error["pointer"], format!("/m{number:02}"));
        assert!(error["detail"].as_str().unwrap().len() <= 200, "{error}");
    }
}

#[tokio::test]
async fn a_body_is_checked_at_any_size() {
    let app = App::start().await;
    let schema = json!({ "type": "array", "items": { "type": "integer", "minimum": 0 } });
    deploy_checked(&app, "acme", &schema).await;
    for numbers in [1, 1_000, 10_000, 100_000] {
        let good = json!(vec![1; numbers]);
        app.post("/acme/p/checked").json(&good).send().await.expect(200);
        let mut wrong = good;
        wrong[numbers - 1] = json!(-1);
        let reply = app.post("/acme/p/checked").json(&wrong).send().await;
        let problem = reply.expect_problem(400, "validation-failed").json();
        assert_eq!(problem["errors"][0]["pointer"], format!("/{}", numbers - 1));
    }
    for body in ["[1", "[1]x"] {
        // The first body is small enough for the host itself, the second is checked in a sandbox.
        for blanks in [0, 100_000] {
            let body = format!("{}{body}", " ".repeat(blanks));
            let call = app
                .post("/acme/p/checked")
                .header("content-type", "application/json");
            call.body(body)
                .send()
                .await
                .expect_problem(400, "invalid-request");
        }
    }
}

#[tokio::test]
async fn a_schema_that_recurses_checks_trees_and_a_loop_without_end_is_stopped() {
    let app = App::start().await;
    let tree = json!({
        "required": ["name"],
        "properties": { "children": { "items": { "$ref": "#" } } },
    });
    deploy_checked(&app, "acme", &tree).await;
    let leaf = json!({ "name": "c" });
    let good = json!({ "name": "a", "children": [{ "name": "b", "children": [leaf] }] });
    app.post("/acme/p/checked").json(&good).send().await.expect(200);
    let wrong = json!({ "name": "a", "children": [{ "name": "b", "children": [{}] }] });
    let reply = app.post("/acme/p/checked").json(&wrong).send().await;
    let problem = reply.expect_problem(400, "validation-failed").json();
    assert_eq!(problem["errors"][0]["pointer"], "/children/0/children/0");

    let globex = app.tenant("globex").await;
    let circle = json!({ "$ref": "#/$defs/a", "$defs": {
        "a": { "allOf": [{ "$ref": "#/$defs/b" }] }, "b": { "allOf": [{ "$ref": "#/$defs/a" }] },
    } });
    let manifest = manifest("") + "request = 's.json'\n";
    globex
        .deploy(ECHO, &manifest, &[("s.json", &circle.to_string())])
        .await;
    let reply = app.post("/globex/p/checked").json(&json!({})).send().await;
    assert!([200, 502].contains(&reply.status.as_u16()), "{}", reply.text());
    app.post("/acme/p/checked").json(&good).send().await.expect(200);
}

#[tokio::test]
async fn a_format_is_checked_for_contract_0_2() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    for (guest, contract, status) in [
        (ECHO_0_1, "", 200),
        (ECHO_0_1, "contract = '0.1'", 200),
        (ECHO, "", 400),
        (ECHO, "contract = '0.2'", 400),
    ] {
        let manifest = manifest(contract) + "request = 's.json'\n";
        acme.deploy(guest, &manifest, &[("s.json", r#"{"format":"email"}"#)])
            .await;
        app.post("/acme/p/checked")
            .json(&json!("nobody"))
            .send()
            .await
            .expect(status);
        app.post("/acme/p/checked")
            .json(&json!("a@example.com"))
            .send()
            .await
            .expect(200);
    }
}

#[tokio::test]
async fn a_body_that_does_not_match_costs_the_plugin_no_warm_instance() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    let manifest = manifest("reuse = true") + "request = 's.json'\n[database]\n";
    acme.deploy(REUSED, &manifest, &[("s.json", r#"{"required":["a"]}"#)])
        .await;
    let post = |body: Value| app.post("/acme/p/checked").json(&body).send();
    let good = json!({ "a": 1 });
    assert_eq!(post(good.clone()).await.expect(200).json(), 1);
    for _ in 0..3 {
        post(json!({})).await.expect_problem(400, "validation-failed");
    }
    assert_eq!(post(good).await.expect(200).json(), 2);
}
