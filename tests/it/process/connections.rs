//! Callers that are slow, greedy or sly: each is shown out, and nobody else notices.

use std::time::Duration;

use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tempfile::TempDir;
use tokio::time::Instant;

use super::host::HostProcess;
use super::plugin::{self, PLUGIN};
use super::wire::Wire;

/// A host that does not wait long.
fn impatient() -> (HostProcess, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let variables = [
        ("MORTISE_SERVER_HEADER_TIMEOUT", "300ms"),
        ("MORTISE_SERVER_BODY_TIMEOUT", "300ms"),
    ];
    (HostProcess::start_with(folder.path(), &variables), folder)
}

/// A host with a plugin, which waits as long as usual.
fn patient() -> (HostProcess, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let host = HostProcess::start(folder.path());
    plugin::tenant(&host.operator());
    plugin::deploy(&host.operator(), "1.0.0").unwrap();
    (host, folder)
}

#[test]
fn who_sends_no_whole_head_is_shown_out() {
    let (host, _folder) = impatient();
    for listener in [host.public, host.admin] {
        for beginning in [
            "",
            "G",
            "GET / HTTP/1.1\r\nhost: x\r\nx-more: ",
            "PRI * HTTP/2.0\r\n\r\nS",
        ] {
            let mut wire = Wire::connect(listener).unwrap();
            wire.send(beginning);
            let answer = wire.rest();
            assert!(
                answer.is_empty() || answer.starts_with("HTTP/1.1 408"),
                "{beginning:?}: {answer}"
            );
        }
    }
    assert_eq!(host.http().get("/-/readyz").status, 200);
}

#[test]
fn a_head_that_comes_byte_by_byte_is_too_slow() {
    let (host, _folder) = impatient();
    let mut wire = Wire::connect(host.public).unwrap();
    wire.send("GET / HTTP/1.1\r\nx-slow: ");
    let deadline = Instant::now() + Duration::from_secs(20);
    while wire.send("a") && !wire.is_closed_within(Duration::from_millis(50)) {
        assert!(Instant::now() < deadline, "it is still open");
    }
}

#[test]
fn an_idle_connection_is_closed() {
    let (host, _folder) = impatient();
    let mut wire = Wire::connect(host.public).unwrap();
    for _ in 0..2 {
        assert!(wire.send("GET /-/healthz HTTP/1.1\r\nhost: x\r\n\r\n"));
        assert!(wire.read_past("alive\n").starts_with("HTTP/1.1 200"));
    }
    assert_eq!(wire.rest(), "");
}

#[test]
fn a_body_that_does_not_come_is_a_408() {
    let (host, _folder) = impatient();
    plugin::tenant(&host.operator());
    plugin::deploy(&host.operator(), "1.0.0").unwrap();
    let mut wire = Wire::connect(host.public).unwrap();
    wire.send(format!(
        "POST {PLUGIN}/log HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{{"
    ));
    let answer = wire.rest();
    assert!(
        answer.starts_with("HTTP/1.1 408") && answer.contains("\"request-timeout\""),
        "{answer}"
    );
}

#[test]
fn a_head_that_is_too_large_is_a_431() {
    let (host, _folder) = patient();
    let head = |headers: &str| {
        let mut wire = Wire::connect(host.public).unwrap();
        wire.send(format!(
            "GET {PLUGIN}/context HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n"
        ));
        let answer = wire.rest();
        answer.split(' ').nth(1).unwrap_or(&answer).to_owned()
    };
    let many = |count: usize| {
        (0..count)
            .map(|number| format!("x-{number}: 1\r\n"))
            .collect::<String>()
    };
    assert_eq!(head(&many(98)), "200", "a hundred, with two more");
    assert_eq!(head(&many(99)), "431");
    assert_eq!(head(&format!("x-long: {}\r\n", "a".repeat(32 * 1024))), "200");
    assert_eq!(head(&format!("x-long: {}\r\n", "a".repeat(64 * 1024))), "431");
}

#[test]
fn no_request_hides_in_the_body_of_another() {
    let (host, _folder) = patient();
    let answer = |lengths: &str| {
        let mut wire = Wire::connect(host.public).unwrap();
        wire.send(format!(
            "POST {PLUGIN}/log HTTP/1.1\r\nhost: x\r\n{lengths}\r\n0\r\n\r\n\
             GET {PLUGIN}/context HTTP/1.1\r\nhost: x\r\n\r\n"
        ));
        // The connection ends after this, so that what follows is read by nobody.
        wire.rest()
    };
    for lengths in [
        "content-length: 5\r\ncontent-length: 6\r\n",
        "content-length: 5, 6\r\n",
        "content-length: +5\r\n",
        "transfer-encoding: chunked, identity\r\n",
        "transfer-encoding: xchunked\r\n",
    ] {
        let answer = answer(lengths);
        assert!(answer.starts_with("HTTP/1.1 400"), "{lengths}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{lengths}: {answer}");
    }
    // With both, the chunks count and the connection is closed after the answer (RFC 9112, 6.3).
    for lengths in [
        "content-length: 4\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 4\r\n",
    ] {
        let answer = answer(lengths);
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{lengths}: {answer}");
        assert!(answer.contains("connection: close"), "{lengths}: {answer}");
    }
}

#[tokio::test]
async fn http_2_is_served_with_prior_knowledge() {
    let (host, _folder) = tokio::task::spawn_blocking(patient).await.unwrap();
    let stream = tokio::net::TcpStream::connect(host.public).await.unwrap();
    let (sender, connection) = hyper::client::conn::http2::handshake::<_, _, Empty<bytes::Bytes>>(
        TokioExecutor::new(),
        TokioIo::new(stream),
    )
    .await
    .unwrap();
    tokio::spawn(connection);
    let calls = (0..10).map(|_| {
        let mut sender = sender.clone();
        let request = http::Request::get(format!("http://{}{PLUGIN}/context", host.public));
        tokio::spawn(async move {
            let response = sender
                .send_request(request.body(Empty::new()).unwrap())
                .await
                .unwrap();
            let status = response.status();
            (status, response.into_body().collect().await.unwrap().to_bytes())
        })
    });
    for call in calls.collect::<Vec<_>>() {
        let (status, body) = call.await.unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            (status.as_u16(), &body["version"]),
            (200, &"1.0.0".into()),
            "{body}"
        );
    }
}
