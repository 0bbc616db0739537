//! Tests of slow, greedy and malicious callers: each is disconnected, and no other caller is
//! affected.

use std::time::Duration;

use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tempfile::TempDir;
use test_artifacts::ECHO;
use tokio::time::Instant;

use super::host::HostProcess;
use super::plugin::{self, PLUGIN};
use super::wire::Wire;

/// A host with short timeouts.
fn impatient() -> (HostProcess, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let variables = [
        ("MORTISE_SERVER__HEADER_TIMEOUT", "300ms"),
        ("MORTISE_SERVER__KEEP_ALIVE", "300ms"),
        ("MORTISE_SERVER__BODY_TIMEOUT", "300ms"),
    ];
    (HostProcess::start_with(folder.path(), &variables), folder)
}

/// A host with a plugin and the default timeouts.
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
            assert_eq!(wire.rest(), "", "{beginning:?}");
        }
    }
    assert_eq!(host.http().get("/-/readyz").status, 200);
}

#[test]
fn a_head_that_comes_byte_by_byte_is_too_slow() {
    let (host, _folder) = impatient();
    for before in [0, 1] {
        let mut wire = Wire::connect(host.public).unwrap();
        for _ in 0..before {
            assert!(wire.send("GET /-/healthz HTTP/1.1\r\nhost: x\r\n\r\n"));
            assert!(wire.read_past("alive\n").starts_with("HTTP/1.1 200"));
        }
        wire.send("GET / HTTP/1.1\r\nx-slow: ");
        let deadline = Instant::now() + Duration::from_secs(20);
        while wire.send("a") && !wire.is_closed_within(Duration::from_millis(50)) {
            assert!(
                Instant::now() < deadline,
                "it is still open after {before} requests"
            );
        }
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
        let has_problem = answer.contains("\"headers-too-large\"");
        (
            answer.split(' ').nth(1).unwrap_or(&answer).to_owned(),
            has_problem,
        )
    };
    let status = |status: &str, has_problem| (status.to_owned(), has_problem);
    let many = |count: usize| {
        (0..count)
            .map(|number| format!("x-{number}: 1\r\n"))
            .collect::<String>()
    };
    let long = |length: usize| format!("x-long: {}\r\n", "a".repeat(length));
    assert_eq!(head(&many(98)), status("200", false), "a hundred, with two more");
    assert_eq!(head(&many(99)), status("431", true));
    assert_eq!(head(&long(16 * 1024)), status("200", false));
    assert_eq!(head(&long(32 * 1024)), status("431", true));
    // A head of this size was not read to its end, so the request is unknown.
    assert_eq!(head(&many(200)), status("431", false));
    assert_eq!(head(&long(64 * 1024)), status("431", false));
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
        // The connection is closed afterwards, so that the rest is not read as a request.
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
    // The end of these is known, but not their coding.
    for lengths in [
        "transfer-encoding: gzip, chunked\r\n",
        "transfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked, chunked\r\n",
    ] {
        let answer = answer(lengths);
        assert!(answer.starts_with("HTTP/1.1 501"), "{lengths}: {answer}");
        assert!(answer.contains("\"not-implemented\""), "{lengths}: {answer}");
        assert!(answer.contains("connection: close"), "{lengths}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{lengths}: {answer}");
    }
    // With both, the chunks are used, and the connection is closed after the response (RFC 9112,
    // 6.3).
    for lengths in [
        "content-length: 4\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 4\r\n",
    ] {
        let answer = answer(lengths);
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{lengths}: {answer}");
        assert!(answer.contains("connection: close"), "{lengths}: {answer}");
    }
}

#[test]
fn an_address_that_is_too_long_is_a_414() {
    let (host, _folder) = patient();
    for listener in [host.public, host.admin] {
        let mut wire = Wire::connect(listener).unwrap();
        let long = "x".repeat(16 * 1024);
        wire.send(format!(
            "GET /{long} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
        ));
        let answer = wire.rest();
        assert!(
            answer.starts_with("HTTP/1.1 414") && answer.contains("\"uri-too-long\""),
            "{answer}"
        );
    }
}

#[test]
fn what_is_not_quite_http_is_refused() {
    let (host, _folder) = patient();
    for request in [
        "POST /x HTTP/1.1\r\nhost: x\r\ntransfer-encoding : chunked\r\n\r\n0\r\n\r\n",
        "GET /x HTTP/1.1\r\nhost: x\r\nx-folded: a\r\n b\r\n\r\n",
        "GET /x HTTP/1.1\r\nhost: x\r\nx\0y: 1\r\n\r\n",
        "GET /x HTTP/1.1\r\nhost: x\r\nx: a\rb\r\n\r\n",
        "GET  /x HTTP/1.1\r\nhost: x\r\n\r\n",
        "GET /x HTTP/1.1 \r\nhost: x\r\n\r\n",
        "GET /x HTTP/3.0\r\nhost: x\r\n\r\n",
        "GET /x y HTTP/1.1\r\nhost: x\r\n\r\n",
    ] {
        let mut wire = Wire::connect(host.public).unwrap();
        wire.send(request);
        let answer = wire.rest();
        assert!(answer.starts_with("HTTP/1.1 400"), "{request:?}: {answer}");
    }
}

#[test]
fn a_request_names_its_host_once() {
    let (host, _folder) = patient();
    for listener in [host.public, host.admin] {
        let answer = |fields: &str, version: &str| {
            let mut wire = Wire::connect(listener).unwrap();
            wire.send(format!("GET /-/healthz {version}\r\n{fields}\r\n"));
            // A rejection closes the connection, although the caller did not ask for it.
            wire.rest()
        };
        for fields in ["", "host: x\r\nhost: x\r\n", "host: x\r\nhost: y\r\n"] {
            let answer = answer(fields, "HTTP/1.1");
            assert!(
                answer.starts_with("HTTP/1.1 400") && answer.contains("\"invalid-request\""),
                "{fields:?}: {answer}"
            );
            assert!(answer.contains("x-request-id: "), "{fields:?}: {answer}");
        }
        for (fields, version) in [("host: x\r\nconnection: close\r\n", "HTTP/1.1"), ("", "HTTP/1.0")] {
            let answer = answer(fields, version);
            assert!(!answer.contains(" 400 "), "{version} {fields:?}: {answer}");
        }
    }
}

#[test]
fn an_absolute_address_names_the_host() {
    let (host, _folder) = patient();
    plugin::deploy_guest(&host.operator(), "echo", ECHO);
    for version in ["HTTP/1.1", "HTTP/1.0"] {
        let mut wire = Wire::connect(host.public).unwrap();
        wire.send(format!(
            "GET http://shop.example:8080/acme/echo/x {version}\r\nhost: other\r\nconnection: close\r\n\r\n"
        ));
        let answer = wire.rest();
        assert!(answer.contains(r#"["host","shop.example:8080"]"#), "{answer}");
        assert!(!answer.contains("other"), "{answer}");
    }
}

#[test]
fn a_chunk_has_one_size_or_ends_the_connection() {
    let (host, _folder) = patient();
    for chunks in [
        "0x5\r\nhello\r\n0\r\n\r\n",
        "-1\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "fffffffffffffffff\r\n",
        "5\r\nhelloX\r\n0\r\n\r\n",
    ] {
        let mut wire = Wire::connect(host.public).unwrap();
        wire.send(format!(
            "POST {PLUGIN}/log HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n{chunks}\
             GET {PLUGIN}/context HTTP/1.1\r\nhost: x\r\n\r\n"
        ));
        let answer = wire.rest();
        assert!(answer.starts_with("HTTP/1.1 400"), "{chunks:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{chunks:?}: {answer}");
    }
}

#[test]
fn no_connection_becomes_something_else() {
    let (host, _folder) = patient();
    let answer = |request: &str| {
        let mut wire = Wire::connect(host.public).unwrap();
        wire.send(request);
        wire.rest()
    };
    for target in [
        "example.org:443",
        "/acme/capabilities/context",
        "http://example.org/",
    ] {
        let answer = answer(&format!(
            "CONNECT {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
        ));
        let status = answer.split(' ').nth(1).unwrap_or_default();
        assert!(["400", "404", "405"].contains(&status), "{target}: {answer}");
    }
    for upgrade in ["websocket", "h2c", "TLS/1.0"] {
        // The host ignores the upgrade, as RFC 9110 (7.8) allows, and answers the request itself.
        let answer = answer(&format!(
            "GET {PLUGIN}/context HTTP/1.1\r\nhost: x\r\nupgrade: {upgrade}\r\nhttp2-settings: AAMAAABk\r\n\
             sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\
             connection: upgrade, http2-settings, close\r\n\r\n"
        ));
        assert!(answer.starts_with("HTTP/1.1 200"), "{upgrade}: {answer}");
    }
}

#[test]
fn a_refusal_does_not_wait_for_the_body() {
    let folder = tempfile::tempdir().unwrap();
    let host = HostProcess::start_with(folder.path(), &[("MORTISE_SERVER__BODY_TIMEOUT", "10min")]);
    plugin::tenant(&host.operator());
    plugin::deploy(&host.operator(), "1.0.0").unwrap();
    let begin = |path: &str, length: usize| {
        let mut wire = Wire::connect(host.public).unwrap();
        wire.send(format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\nexpect: 100-continue\r\n\r\n"
        ));
        wire
    };
    let route = format!("{PLUGIN}/log");
    // The host asks for a body that it will read.
    let mut under_way = begin(&route, 10);
    assert_eq!(under_way.read_past("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
    for (path, status, code) in [
        ("/nobody/nothing", 404, "not-found"),
        ("/acme//capabilities", 400, "invalid-request"),
    ] {
        let answer = begin(path, 10).rest();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{path}: {answer}"
        );
        assert!(answer.contains(&format!("\"{code}\"")), "{path}: {answer}");
    }
    drop(under_way);
    let too_large = begin(&route, 2 << 20).rest();
    assert!(too_large.starts_with("HTTP/1.1 413"), "{too_large}");
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
