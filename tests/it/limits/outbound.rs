//! Tests of the limits of outbound requests.

use serde_json::{Value, json};
use test_artifacts::HTTP_CLIENT;
use tokio::net::TcpListener;

use super::{around, bytes, usage};
use crate::app::{App, Reply, TestTenant, open_manifest};
use crate::http_client::server::Server;

async fn app() -> App {
    App::configured(|config| config.http_client.allow_loopback = true).await
}

async fn deploy<'a>(app: &'a App, origin: &str) -> TestTenant<'a> {
    let acme = app.tenant("acme").await;
    let manifest = open_manifest("client", &format!("[http]\nallow = ['{origin}']\n"));
    acme.deploy(HTTP_CLIENT, &manifest, &[]).await;
    acme
}

async fn send(app: &App, request: &Value) -> Reply {
    app.post("/acme/client/send")
        .json(request)
        .send()
        .await
        .expect(200)
}

/// Starts three concurrent requests. Returns the reply and the number of responses.
async fn start_three(app: &App, url: &str) -> (Reply, u64) {
    let request = json!({ "url": url });
    let three = json!({ "requests": [request, request, request] });
    let reply = app
        .post("/acme/client/start")
        .json(&three)
        .send()
        .await
        .expect(200);
    let answers = reply.json();
    let mut answered = 0;
    for answer in answers.as_array().unwrap() {
        if answer[0]["status"] == 200 {
            answered += 1;
        } else {
            assert!(
                answer["error"].as_str().unwrap().contains("Error::Limit"),
                "{answer}"
            );
        }
    }
    (reply, answered)
}

#[tokio::test]
pub async fn http_requests() {
    let app = app().await;
    let server = Server::start().await;
    let acme = deploy(&app, &server.origin).await;
    for (limit, _) in around(3) {
        acme.limit(&json!({ "http_requests": limit })).await;
        let (reply, answered) = start_three(&app, &server.url("/")).await;
        assert_eq!(answered, limit.min(3));
        assert_eq!(usage(&acme, &reply, "http_requests").await, answered);
    }
}

#[tokio::test]
pub async fn http_concurrency() {
    let app = app().await;
    let server = Server::start().await;
    let acme = deploy(&app, &server.origin).await;
    for (limit, _) in around(3) {
        acme.limit(&json!({ "http_concurrency": limit })).await;
        let (reply, answered) = start_three(&app, &server.url("/")).await;
        assert_eq!(answered, limit.min(3));
        assert_eq!(usage(&acme, &reply, "http_at_once").await, answered);
    }
}

#[tokio::test]
pub async fn http_response_body() {
    let app = app().await;
    let server = Server::start().await;
    let acme = deploy(&app, &server.origin).await;
    for (limit, fits) in around(1_000) {
        acme.limit(&json!({ "http_response_body": bytes(limit) })).await;
        let reply = send(&app, &json!({ "url": server.url("/size/1000") })).await;
        if fits {
            assert_eq!(reply.json()["status"], 200);
            assert_eq!(usage(&acme, &reply, "http_response_bytes").await, 1_000);
        } else {
            assert_eq!(reply.json(), json!({ "error": "Error::TooLarge" }));
        }
    }
}

/// The server accepts and sends nothing, so the TLS handshake never completes.
#[tokio::test]
pub async fn http_connect() {
    let app = app().await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("https://{}", silent.local_addr().unwrap());
    let server = Server::start().await;
    let acme = app.tenant("acme").await;
    let manifest = open_manifest(
        "client",
        &format!("[http]\nallow = ['{origin}', '{}']\n", server.origin),
    );
    acme.deploy(HTTP_CLIENT, &manifest, &[]).await;
    acme.limit(&json!({ "http_connect": "20ms", "wall": "60s" }))
        .await;
    let reply = send(&app, &json!({ "url": origin })).await;
    assert_eq!(reply.json(), json!({ "error": "Error::Timeout" }));
    assert!(usage(&acme, &reply, "http_connect_us").await >= 20_000);
    acme.limit(&json!({ "http_connect": "30s", "wall": "60s" })).await;
    let reply = send(&app, &json!({ "url": server.url("/") })).await;
    assert_eq!(reply.json()["status"], 200);
    let used = usage(&acme, &reply, "http_connect_us").await;
    assert!((1..30_000_000).contains(&used), "{used}");
}

/// Checks a time limit with a server that never answers and with one that answers.
async fn times_out(limit: &str, figure: &str) {
    let app = app().await;
    let server = Server::start().await;
    let acme = deploy(&app, &server.origin).await;
    acme.limit(&json!({ limit: "20ms", "wall": "60s" })).await;
    let reply = send(&app, &json!({ "url": server.url("/never") })).await;
    assert_eq!(reply.json(), json!({ "error": "Error::Timeout" }));
    assert!(usage(&acme, &reply, figure).await >= 20_000);
    acme.limit(&json!({ limit: "60s", "wall": "60s" })).await;
    let reply = send(&app, &json!({ "url": server.url("/") })).await;
    assert_eq!(reply.json()["status"], 200);
    let used = usage(&acme, &reply, figure).await;
    assert!((1..60_000_000).contains(&used), "{used}");
}

#[tokio::test]
pub async fn http_first_byte() {
    times_out("http_first_byte", "http_first_byte_us").await;
}

#[tokio::test]
pub async fn http_total() {
    times_out("http_total", "http_request_us").await;
}
