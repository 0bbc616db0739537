//! Tests of request and response bodies: size, type and form.

use axum::body::{Body, Bytes};
use futures_util::stream;
use serde_json::json;
use test_artifacts::ECHO;

use super::{LINE, MANIFEST};
use crate::app::App;

const LIMIT: usize = 1_024;

/// A body of `length` bytes in pieces, without a length.
fn in_pieces(length: usize) -> Body {
    let piece = Bytes::from_static(&[b'x'; 16]);
    let pieces = (0..length).step_by(16);
    let pieces = pieces.map(move |start| Ok::<_, std::io::Error>(piece.slice(..(length - start).min(16))));
    Body::from_stream(stream::iter(pieces.collect::<Vec<_>>()))
}

#[tokio::test]
async fn a_body_is_read_as_far_as_the_limit() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    acme.deploy(ECHO, MANIFEST, &[LINE]).await;
    acme.limit(&json!({ "request_body": "1KiB" })).await;
    let post = || app.post("/acme/echo/open/1").header("content-type", "text/plain");

    for body in [Body::from("x".repeat(LIMIT)), in_pieces(LIMIT)] {
        let reply = post().body(body).send().await.expect(200);
        assert_eq!(reply.json()["body"]["text"].as_str().unwrap().len(), LIMIT);
        let record = acme.invocation(&reply).await;
        assert_eq!(record["usage"]["request_bytes"], LIMIT);
        assert_eq!(record["usage"]["response_bytes"], reply.body.len());
    }
    for body in [Body::from("x".repeat(LIMIT + 1)), in_pieces(LIMIT + 1)] {
        let reply = post().body(body).send().await;
        reply.expect_problem(413, "body-too-large");
    }
    // A body with a length above the limit is rejected before it is sent.
    let reply = post()
        .header("content-length", "1025")
        .body(Body::from_stream(
            stream::pending::<Result<Bytes, std::io::Error>>(),
        ));
    reply.send().await.expect_problem(413, "body-too-large");
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let app = App::configured(|config| config.server.body_timeout = "20ms".parse().unwrap()).await;
    app.tenant("acme").await.deploy(ECHO, MANIFEST, &[LINE]).await;
    let never = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
    let reply = app.post("/acme/echo/open/1").body(never).send().await;
    reply.expect_problem(408, "request-timeout");

    let broken = stream::iter([Err::<Bytes, _>(std::io::Error::other("gone"))]);
    let reply = app.post("/acme/echo/open/1").body(Body::from_stream(broken));
    reply.send().await.expect_problem(400, "invalid-request");
}

#[tokio::test]
async fn text_reaches_the_plugin_as_text_and_the_rest_as_bytes() {
    let app = App::start().await;
    app.tenant("acme").await.deploy(ECHO, MANIFEST, &[LINE]).await;
    for (content_type, body, seen) in [
        ("text/plain", b"caf\xc3\xa9".as_slice(), json!({ "text": "café" })),
        ("text/plain", b"\xff", json!({ "bytes": [255] })),
        ("image/png", b"ab", json!({ "bytes": [97, 98] })),
        ("application/json", b"", json!(null)),
    ] {
        let call = app.post("/acme/echo/open/1").header("content-type", content_type);
        let reply = call.body(body.to_vec()).send().await.expect(200);
        assert_eq!(reply.json()["body"], seen, "{content_type}");
    }
}

#[tokio::test]
async fn a_body_against_the_schema_names_each_place() {
    let app = App::start().await;
    app.tenant("acme").await.deploy(ECHO, MANIFEST, &[LINE]).await;
    let post = || app.post("/acme/echo/checked");

    post().json(&json!({ "quantity": 1 })).send().await.expect(200);

    let wrong = json!({ "quantity": 0, "product": { "id": 7 } });
    let reply = post().json(&wrong).send().await;
    let reply = reply.expect_problem(400, "validation-failed").json();
    let errors = reply["errors"].as_array().unwrap();
    let mut pointers: Vec<&str> = errors
        .iter()
        .map(|error| error["pointer"].as_str().unwrap())
        .collect();
    pointers.sort_unstable();
    assert_eq!(pointers, ["/product/id", "/quantity"]);
    assert!(
        errors
            .iter()
            .all(|error| error["detail"].as_str().unwrap().len() > 5)
    );

    let reply = post()
        .json(&json!({}))
        .send()
        .await
        .expect_problem(400, "validation-failed");
    assert_eq!(reply.json()["errors"][0]["pointer"], "");

    for content_type in ["text/plain", "application/xml", "application/jsonx"] {
        let call = post().header("content-type", content_type).body("{}");
        call.send().await.expect_problem(415, "unsupported-media-type");
    }
    post().send().await.expect_problem(415, "unsupported-media-type");
    for body in ["", "{", "{\"quantity\":1}x", &"[".repeat(100_000)] {
        let call = post()
            .header("content-type", "application/json")
            .body(body.to_owned());
        call.send().await.expect_problem(400, "invalid-request");
    }
}

#[tokio::test]
async fn a_coded_body_is_refused_where_it_is_checked_and_passed_on_elsewhere() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    acme.deploy(ECHO, MANIFEST, &[LINE]).await;
    let post = |path: &str, coding: &str| {
        let call = app.post(path).header("content-type", "application/json");
        call.header("content-encoding", coding)
    };
    let reply = post("/acme/echo/checked", "gzip")
        .body(vec![0x1f, 0x8b, 8])
        .send()
        .await;
    let reply = reply.expect_problem(415, "unsupported-media-type");
    assert_eq!(reply.header("accept-encoding"), "identity");
    assert!(
        reply.text().contains("`content-encoding: gzip`"),
        "{}",
        reply.text()
    );
    let plain = post("/acme/echo/checked", "identity").body("{\"quantity\":1}");
    plain.send().await.expect(200);
    let coded = post("/acme/echo/open/1", "gzip").body(vec![0x1f, 0x8b, 8]);
    let echo = coded.send().await.expect(200).json();
    assert_eq!(echo["body"], json!({ "bytes": [0x1f, 0x8b, 8] }));
}

#[tokio::test]
async fn a_byte_order_mark_reaches_the_plugin_and_not_the_schema() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    // Because of the pattern, the check runs in a sandbox.
    let line = (
        "line.json",
        r#"{ "properties": { "a": { "pattern": "^x" } }, "required": ["a"] }"#,
    );
    acme.deploy(ECHO, MANIFEST, &[line]).await;
    let post = |body: &str| {
        let call = app.post("/acme/echo/checked");
        call.header("content-type", "application/vnd.line+json")
            .body(body.to_owned())
    };
    let body = "\u{feff}{\"a\":\"x\"}";
    let echo = post(body).send().await.expect(200).json();
    assert_eq!(echo["body"], json!({ "text": body }));
    let refused = post("\u{feff}{\"a\":\"y\"}").send().await;
    refused.expect_problem(400, "validation-failed");
}

#[tokio::test]
async fn a_response_against_its_schema_is_the_plugins_fault() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    acme.deploy(ECHO, MANIFEST, &[LINE]).await;
    let reply = app.get("/acme/echo/promised").send().await;
    let reply = reply.expect_problem(502, "plugin-invalid-response");
    assert!(!reply.text().contains("quantity"), "{}", reply.text());
    let log = acme.log(&reply).await;
    let message = log[0]["message"].as_str().unwrap();
    assert!(message.contains("quantity"), "{message}");
    assert_eq!(acme.invocation(&reply).await["blame"], "guest");
}
