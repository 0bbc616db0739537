//! Tests of the host calls that need no separate test server, made by a guest.

mod cache;
mod config;
mod context;
mod log;
mod secrets;
mod unavailable;

use serde_json::Value;
use test_artifacts::CAPABILITIES;

use crate::app::{App, Reply, TestTenant, open_manifest};

/// A tenant `acme` whose plugin `caps` is the guest `capabilities`.
async fn deploy<'a>(app: &'a App, more: &str) -> TestTenant<'a> {
    let acme = app.tenant("acme").await;
    acme.deploy(CAPABILITIES, &open_manifest("caps", more), &[]).await;
    acme
}

/// Calls `caps` of `acme`.
async fn call(app: &App, path: &str, input: &Value) -> Reply {
    let path = format!("/acme/caps{path}");
    app.post(&path).json(input).send().await.expect(200)
}
