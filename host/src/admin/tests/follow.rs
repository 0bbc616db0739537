//! Tests of following a log.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::Request;
use futures_util::StreamExt as _;
use serde_json::json;

use super::TestApp;
use crate::admin::page::cursor;
use crate::domain::clock::Timestamp;
use crate::domain::id::{InvocationId, TenantId};
use crate::domain::limits::Limits;
use crate::domain::log_line::Level;
use crate::domain::token::{Reach, TenantRole};
use crate::storage::conformance::{change, entry, tenant};
use crate::storage::{LogPosition, Page};

async fn log(app: &TestApp, tenant: TenantId, at: i64) {
    app.ledger
        .record(entry(tenant, "orders", at, &[Level::Info]), &Limits::default());
    app.ledger.flush().await;
}

async fn follow(app: &TestApp, tenant: TenantId) -> BodyDataStream {
    follow_after(app, tenant, None).await
}

/// Follows from recent lines, or from after an event.
async fn follow_after(app: &TestApp, tenant: TenantId, last: Option<&str>) -> BodyDataStream {
    let token = app.token(Reach::Tenant(tenant, TenantRole::Viewer)).await;
    let mut request = Request::get("/api/v1/tenants/acme/logs?follow=true&limit=2")
        .header("authorization", format!("Bearer {token}"));
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    let response = app.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    response.into_body().into_data_stream()
}

/// A field of the next event.
async fn field(events: &mut BodyDataStream, name: &str) -> Option<String> {
    let event = events.next().await?.unwrap();
    let text = String::from_utf8(event.to_vec()).unwrap();
    let field = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    Some(field.unwrap_or_else(|| panic!("no {name} in {text}")).to_owned())
}

/// The message of the next event.
async fn next(events: &mut BodyDataStream) -> Option<String> {
    let data = field(events, "data").await?;
    let data: serde_json::Value = serde_json::from_str(&data).unwrap();
    Some(data["message"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_client_goes_on_after_the_last_event_that_it_saw() {
    let app = TestApp::start().await;
    let acme = tenant(&*app.db, "acme").await.id;
    let other = tenant(&*app.db, "other").await.id;
    log(&app, acme, 100).await;
    let mut events = follow(&app, acme).await;
    let last = field(&mut events, "id").await.unwrap();
    drop(events);
    // While the client is disconnected: an invocation that began before the last event and ended
    // after it, and more lines than a page holds.
    log(&app, acme, 50).await;
    log(&app, other, 100).await;
    for at in 101..=450 {
        log(&app, acme, at).await;
    }
    let mut events = follow_after(&app, acme, Some(&last)).await;
    log(&app, acme, 451).await;
    assert_eq!(next(&mut events).await.unwrap(), "info at 50");
    for at in 101..=451 {
        assert_eq!(next(&mut events).await.unwrap(), format!("info at {at}"));
    }
    log(&app, acme, 452).await;
    assert_eq!(next(&mut events).await.unwrap(), "info at 452");
    let last_line_is_gone = cursor(&LogPosition {
        at: Timestamp(450),
        invocation: InvocationId::generate(),
        position: 0,
    });
    let mut events = follow_after(&app, acme, Some(&last_line_is_gone)).await;
    assert_eq!(next(&mut events).await.unwrap(), "info at 451");
}

#[tokio::test]
async fn lines_name_the_request_and_what_was_dropped() {
    let app = TestApp::start().await;
    let acme = tenant(&*app.db, "acme").await.id;
    let token = app.owner(acme).await;
    let mut events = follow(&app, acme).await;
    let mut entry = entry(acme, "orders", 1, &[Level::Info, Level::Info, Level::Debug]);
    entry.record.usage.log_lines_dropped = 7;
    app.ledger.record(entry, &Limits::default());
    app.ledger.flush().await;
    let told = |line: &serde_json::Value| {
        (
            line["route"].clone(),
            line["method"].clone(),
            line["dropped"].clone(),
        )
    };
    let mut followed = Vec::new();
    for _ in 0..3 {
        let data = field(&mut events, "data").await.unwrap();
        followed.push(told(&serde_json::from_str(&data).unwrap()));
    }
    let route = || (json!("/orders/{id}"), json!("GET"));
    let line = |dropped| (route().0, route().1, dropped);
    assert_eq!(followed, [line(json!(null)), line(json!(null)), line(json!(7))]);
    // The newest line comes first. The last shown line has the number of dropped ones.
    let list = app.get(&token, "/api/v1/tenants/acme/logs?level=info").await;
    let listed: Vec<_> = list.body["items"].as_array().unwrap().iter().map(told).collect();
    assert_eq!(listed, [line(json!(7)), line(json!(null))]);
    // The number is shown once, also if the lines are on several pages.
    let path = "/api/v1/tenants/acme/logs?level=info&limit=1";
    let first = app.get(&token, path).await;
    assert_eq!(told(&first.body["items"][0]), line(json!(7)));
    let next = first.body["next"].as_str().unwrap();
    let second = app.get(&token, &format!("{path}&cursor={next}")).await;
    assert_eq!(told(&second.body["items"][0]), line(json!(null)));
    assert_eq!(second.body["next"], json!(null));
}

#[tokio::test]
async fn a_client_that_goes_on_sees_what_was_logged_long_before_it_was_written() {
    let app = TestApp::start().await;
    let acme = tenant(&*app.db, "acme").await.id;
    const DAY: i64 = 24 * 60 * 60 * 1_000;
    log(&app, acme, 2 * DAY).await;
    let mut events = follow(&app, acme).await;
    let last = field(&mut events, "id").await.unwrap();
    drop(events);
    // Written after the client's last line, and logged a day before: `[ceiling] wall` may be as
    // long.
    log(&app, acme, DAY).await;
    let mut events = follow_after(&app, acme, Some(&last)).await;
    assert_eq!(next(&mut events).await.unwrap(), format!("info at {DAY}"));
}

#[tokio::test]
async fn the_log_of_a_plugin_that_never_was_is_not_found() {
    let app = TestApp::start().await;
    let acme = tenant(&*app.db, "acme").await.id;
    let token = app.owner(acme).await;
    log(&app, acme, 1).await;
    for query in ["plugin=nope", "plugin=nope&follow=true"] {
        let answer = app
            .get(&token, &format!("/api/v1/tenants/acme/logs?{query}"))
            .await;
        assert_eq!(
            answer.problem(),
            "404 not-found: there is no such plugin",
            "{query}"
        );
    }
    // Lines of a deleted plugin are listed.
    let answer = app.get(&token, "/api/v1/tenants/acme/logs?plugin=orders").await;
    assert_eq!(answer.body["items"].as_array().unwrap().len(), 1);
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
    let (mut revoked, mut valid) = (follow(&app, acme).await, follow(&app, acme).await);
    log(&app, acme, 1).await;
    for events in [&mut revoked, &mut valid] {
        assert_eq!(next(events).await.unwrap(), "info at 1");
    }
    let first = app.db.tokens(Some(acme), Page::first(1)).await.unwrap().remove(0);
    assert!(
        app.db
            .revoke_token(Some(acme), first.id, &change(1))
            .await
            .unwrap()
    );
    app.clock.advance(Duration::from_secs(10));
    log(&app, acme, 2).await;
    assert_eq!(next(&mut revoked).await, None);
    assert_eq!(next(&mut valid).await.unwrap(), "info at 2");
}

#[tokio::test]
async fn nobody_follows_a_tenant_that_was_purged() {
    let app = TestApp::start().await;
    let acme = tenant(&*app.db, "acme").await.id;
    let mut events = follow(&app, acme).await;
    app.db.purge_tenant(acme, &change(1)).await.unwrap();
    assert_eq!(next(&mut events).await, None);
}
