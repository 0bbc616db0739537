//! Tests of outbound requests of a guest to a loopback server.

mod hostile;
mod origins;
mod requests;
pub mod server;

use serde_json::{Value, json};
use test_artifacts::HTTP_CLIENT;

use crate::app::{App, TestTenant, open_manifest};

/// A host that allows granted loopback origins.
async fn app() -> App {
    App::configured(|config| config.http_client.allow_loopback = true).await
}

/// A tenant with the guest `http_client` as its plugin `client`, which requests these origins and
/// is granted them.
async fn deploy<'a>(app: &'a App, origins: &[&str], more: &str) -> TestTenant<'a> {
    let acme = app.tenant("acme").await;
    let manifest = open_manifest("client", &format!("[http]\nallow = {origins:?}\n{more}"));
    acme.deploy(HTTP_CLIENT, &manifest, &[]).await;
    acme
}

/// Makes `client` of `acme` send a request.
async fn send(app: &App, request: Value) -> Value {
    let call = app.post("/acme/client/send").json(&request);
    call.send().await.expect(200).json()
}

/// Makes it send a `GET` to `url`.
async fn get(app: &App, url: &str) -> Value {
    send(app, json!({ "url": url })).await
}

#[track_caller]
fn is_error(answer: &Value, kind: &str, reason: &str) {
    let error = answer["error"].as_str().unwrap_or_else(|| panic!("{answer}"));
    assert!(
        error.contains(&format!("Error::{kind}")) && error.contains(reason),
        "{error}"
    );
}
