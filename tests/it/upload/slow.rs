//! Tests of slow uploads and endless log streams: one tenant's requests do not block others.

use axum::body::{Body, Bytes};
use futures_util::{FutureExt as _, StreamExt as _, stream};
use serde_json::json;
use test_artifacts::ECHO;

use crate::app::{App, TestTenant, bundled, open_manifest};

/// More streams than one tenant may have, and more uploads than the host once accepted at a time.
const MANY: usize = 40;

/// The number of bytes of a component that are sent.
const BYTES: usize = 8 << 20;

async fn person(app: &App, tenant: &TestTenant<'_>, role: &str) -> String {
    let body = json!({ "name": "test", "role": role });
    let made = app.admin("POST", &tenant.path("/tokens")).json(&body).send();
    let made = made.await.expect(201).json();
    made["credential"].as_str().unwrap().to_owned()
}

/// A body that begins with these bytes and never ends.
fn unending(beginning: &Bytes) -> Body {
    let beginning = stream::iter([Ok::<_, std::io::Error>(beginning.clone())]);
    Body::from_stream(beginning.chain(stream::pending()))
}

#[tokio::test]
async fn slow_uploads_of_one_developer_keep_nobody_from_uploading() {
    let app = App::start().await;
    let (greedy, other) = (app.tenant("greedy").await, app.tenant("other").await);
    let developer = person(&app, &greedy, "developer").await;
    let component = || bundled(ECHO, &open_manifest("echo", ""), &[]);
    let beginning = Bytes::from(vec![0; BYTES]);
    let mut under_way = Vec::new();
    let mut refused = 0;
    for _ in 0..2 * MANY {
        let path = greedy.path("/plugins/echo/versions");
        let call = app
            .admin_as(&developer, "POST", &path)
            .header("content-type", "application/wasm")
            .body(unending(&beginning));
        // The request runs in a task, so that the host continues to read meanwhile.
        let mut upload = tokio::spawn(call.send());
        loop {
            if let Some(reply) = (&mut upload).now_or_never() {
                reply.unwrap().expect_problem(503, "overloaded");
                refused += 1;
                break;
            }
            let held = app.gauges().await["upload_bytes"].as_u64().unwrap();
            if held >= u64::try_from((under_way.len() + 1) * BYTES).unwrap() {
                under_way.push(upload);
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    // A tenant may use half of the slots, so that others can upload.
    assert!(
        under_way.len() >= 16 && refused > 0,
        "{} {refused}",
        under_way.len()
    );
    other.upload("echo", component()).await.expect(201);
    greedy.upload("echo", component()).await.expect(201);
    under_way.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn one_viewer_that_follows_logs_keeps_nobody_from_following() {
    let app = App::start().await;
    let (greedy, other) = (app.tenant("greedy").await, app.tenant("other").await);
    let (viewer, theirs) = (
        person(&app, &greedy, "viewer").await,
        person(&app, &other, "viewer").await,
    );
    let follow = async |token: &str, tenant: &TestTenant<'_>| {
        let path = tenant.path("/logs?follow=true");
        app.admin_as(token, "GET", &path).open().await
    };
    let mut followed = Vec::new();
    for _ in 0..MANY {
        followed.push(follow(&viewer, &greedy).await);
    }
    let statuses: Vec<u16> = followed
        .iter()
        .map(|response| response.status().as_u16())
        .collect();
    assert_eq!(statuses[..20], [200; 20]);
    assert_eq!(statuses[20..], [503; 20]);
    assert_eq!(follow(&theirs, &other).await.status(), 200);
    let path = greedy.path("/logs?follow=true");
    assert_eq!(app.admin("GET", &path).open().await.status(), 200);
    followed.remove(0);
    assert_eq!(follow(&viewer, &greedy).await.status(), 200);
}
