//! Tests of unavailable capabilities: a typed error, never a trap.

use serde_json::{Value, json};

use super::{call, deploy};
use crate::app::App;

#[tokio::test]
async fn each_call_answers_a_typed_error() {
    let app = App::start().await;
    deploy(&app, "").await;
    let answers = call(&app, "/unavailable", &json!({})).await.json();
    for (interface, calls, kind) in [("realtime", 5, "Unavailable"), ("crypto", 6, "NotGranted")] {
        let answers = match &answers[interface] {
            Value::Array(answers) => answers.clone(),
            answer => vec![answer.clone()],
        };
        assert_eq!(answers.len(), calls, "{interface}");
        for answer in answers {
            let error = answer["error"].as_str().unwrap();
            assert!(
                error.contains(kind) && error.contains("does not serve"),
                "{interface}: {error}"
            );
        }
    }
}

#[tokio::test]
async fn each_call_is_charged() {
    let app = App::start().await;
    let acme = deploy(&app, "").await;
    let reply = call(&app, "/unavailable", &json!({})).await;
    assert_eq!(acme.invocation(&reply).await["usage"]["host_calls"], 12);
}
