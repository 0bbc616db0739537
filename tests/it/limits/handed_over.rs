//! Tests of the limits of host calls: their number, their arguments and their handles.

use serde_json::json;
use test_artifacts::{CAPABILITIES, HTTP_CLIENT};

use super::{around, bytes, usage};
use crate::app::{App, TestTenant, open_manifest};
use crate::http_client::server::Server;

async fn deploy(app: &App) -> TestTenant<'_> {
    let acme = app.tenant("acme").await;
    acme.deploy(CAPABILITIES, &open_manifest("caps", ""), &[]).await;
    acme
}

#[tokio::test]
pub async fn host_calls() {
    let app = App::start().await;
    let acme = deploy(&app).await;
    for (limit, fits) in around(50) {
        acme.limit(&json!({ "host_calls": limit })).await;
        // These functions have an error type for the limit.
        let call = app.post("/acme/caps/host-calls").json(&json!({ "calls": 50 }));
        let reply = call.send().await.expect(200);
        let answer = reply.json();
        assert_eq!(answer["made"], limit.min(50));
        if !fits {
            let error = answer["error"].as_str().unwrap();
            assert!(error.contains("has made its 49 host calls"), "{error}");
        }
        assert_eq!(usage(&acme, &reply, "host_calls").await, limit.min(50));
        // This one has none.
        let call = app.post("/acme/caps/host-calls");
        let reply = call.json(&json!({ "calls": 49, "untyped": true })).send().await;
        if fits {
            reply.expect(200);
        } else {
            let reply = reply.expect_problem(502, "plugin-limit");
            assert_eq!(acme.invocation(&reply).await["blame"], "limit");
            let log = acme.log(&reply).await;
            let message = log[0]["message"].as_str().unwrap();
            assert!(message.contains("has made its 49 host calls"), "{message}");
        }
    }
}

#[tokio::test]
pub async fn host_call_bytes() {
    let app = App::start().await;
    let acme = deploy(&app).await;
    for (limit, fits) in around(100_000) {
        acme.limit(&json!({ "host_call_bytes": bytes(limit) })).await;
        let hand_over = async |call: &str| {
            let input = json!({ "call": call, "bytes": 100_000 });
            app.post("/acme/caps/hand-over").json(&input).send().await
        };
        let typed = hand_over("typed").await.expect(200);
        let error = typed.json()["error"].as_str().unwrap().to_owned();
        assert_eq!(error.contains("Limit"), !fits, "{error}");
        let untyped = hand_over("untyped").await;
        if fits {
            // The plugin has no grant for the database, which is checked only now.
            assert!(error.contains("Unavailable"), "{error}");
            for reply in [typed, untyped.expect(200)] {
                assert_eq!(usage(&acme, &reply, "host_call_bytes").await, 100_000);
            }
        } else {
            untyped.expect_problem(502, "plugin-limit");
        }
    }
}

#[tokio::test]
pub async fn handles() {
    let app = App::configured(|config| config.http_client.allow_loopback = true).await;
    let server = Server::start().await;
    let acme = app.tenant("acme").await;
    let manifest = open_manifest("client", &format!("[http]\nallow = ['{}']\n", server.origin));
    acme.deploy(HTTP_CLIENT, &manifest, &[]).await;
    let request = json!({ "url": server.url("/") });
    let three = json!({ "requests": [request, request, request] });
    for (limit, fits) in around(3) {
        acme.limit(&json!({ "handles": limit })).await;
        let reply = app
            .post("/acme/client/start")
            .json(&three)
            .send()
            .await
            .expect(200);
        let answer = reply.json();
        if fits {
            assert_eq!(answer[2][0]["status"], 200, "{answer}");
            assert_eq!(usage(&acme, &reply, "handles").await, 3);
        } else {
            let error = answer[2]["error"].as_str().unwrap();
            assert!(
                error.contains("Limit") && error.contains("its 2 handles"),
                "{error}"
            );
            assert_eq!(answer[1][0]["status"], 200, "{answer}");
        }
    }
}
