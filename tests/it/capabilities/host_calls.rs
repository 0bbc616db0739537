//! The budget of host calls.

use serde_json::json;

use super::{call, deploy};
use crate::app::App;

#[tokio::test]
async fn the_budget_is_met_exactly() {
    let app = App::start().await;
    let acme = deploy(&app, "").await;
    acme.limit(&json!({ "host_calls": 50 })).await;
    let reply = call(&app, "/host-calls", &json!({ "calls": 50 })).await;
    assert_eq!(reply.json(), json!({ "made": 50 }));
    let usage = &acme.invocation(&reply).await["usage"];
    assert_eq!(
        (&usage["host_calls"], &usage["cache_calls"]),
        (&json!(50), &json!(50))
    );

    let reply = call(&app, "/host-calls", &json!({ "calls": 51 })).await.json();
    assert_eq!(reply["made"], 50);
    let error = reply["error"].as_str().unwrap();
    assert!(
        error.contains("this invocation has made its 50 host calls"),
        "{error}"
    );
}

#[tokio::test]
async fn a_call_without_a_typed_error_ends_the_plugin_beyond_it() {
    let app = App::start().await;
    let acme = deploy(&app, "").await;
    acme.limit(&json!({ "host_calls": 50 })).await;
    let over = |calls: u32| {
        let input = json!({ "calls": calls, "untyped": true });
        app.post("/acme/caps/host-calls").json(&input).send()
    };
    over(49).await.expect(200);
    let reply = over(50).await.expect_problem(502, "plugin-trapped");
    let log = acme.log(&reply).await;
    let message = log[0]["message"].as_str().unwrap();
    assert!(
        message.contains("this invocation has made its 50 host calls"),
        "{message}"
    );
}
