//! Following a log.

use axum::body::{Body, BodyDataStream};
use axum::http::Request;
use futures_util::StreamExt as _;

use super::TestApp;
use crate::domain::id::TenantId;
use crate::domain::limits::Limits;
use crate::domain::log_line::Level;
use crate::domain::token::{Reach, TenantRole};
use crate::storage::conformance::{entry, tenant};

async fn log(app: &TestApp, tenant: TenantId, at: i64) {
    app.ledger
        .record(entry(tenant, "orders", at, &[Level::Info]), &Limits::default());
    app.ledger.flush().await;
}

async fn follow(app: &TestApp, tenant: TenantId) -> BodyDataStream {
    let token = app.token(Reach::Tenant(tenant, TenantRole::Viewer)).await;
    let request = Request::get("/api/v1/tenants/acme/logs?follow=true&limit=2")
        .header("authorization", format!("Bearer {token}"))
        .body(Body::empty())
        .unwrap();
    let response = app.send(request).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    response.into_body().into_data_stream()
}

/// The message of the next event.
async fn next(events: &mut BodyDataStream) -> Option<String> {
    let event = events.next().await?.unwrap();
    let text = String::from_utf8(event.to_vec()).unwrap();
    let data = text.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
    let data: serde_json::Value = serde_json::from_str(data).unwrap();
    Some(data["message"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_follower_sees_recent_lines_then_new_ones_until_the_host_drains() {
    let app = TestApp::start().await;
    let acme = tenant(&*app.db, "acme").await.id;
    let other = tenant(&*app.db, "other").await.id;
    for at in 1..=3 {
        log(&app, acme, at).await;
    }
    let mut events = follow(&app, acme).await;
    log(&app, other, 4).await;
    log(&app, acme, 5).await;
    for wanted in ["info at 2", "info at 3", "info at 5"] {
        assert_eq!(next(&mut events).await.unwrap(), wanted);
    }
    app.draining.cancel();
    assert_eq!(next(&mut events).await, None);
}

#[tokio::test]
async fn a_revoked_token_follows_no_longer() {
    let app = TestApp::start().await;
    let acme = tenant(&*app.db, "acme").await.id;
    let mut events = follow(&app, acme).await;
    app.db.purge_tenant(acme).await.unwrap();
    assert_eq!(next(&mut events).await, None);
}
