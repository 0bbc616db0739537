//! Tests of kept-alive connections: after a rejection, before the end, and while draining.

use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use test_artifacts::FAULTS;

use super::host::{HostProcess, until};
use super::plugin::{self, PLUGIN};
use super::wire::Wire;

const GET: &str = "GET /-/healthz HTTP/1.1\r\nhost: x\r\n\r\n";

fn host_with(variables: &[(&str, &str)]) -> (HostProcess, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let host = HostProcess::start_with(folder.path(), variables);
    plugin::tenant(&host.operator());
    plugin::deploy(&host.operator(), "1.0.0").unwrap();
    (host, folder)
}

/// The head and the body of the next response.
#[track_caller]
fn response(wire: &mut Wire) -> (String, String) {
    let head = wire.read_past("\r\n\r\n");
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .unwrap_or_else(|| panic!("no length: {head}"));
    let body = wire.read(length.parse().unwrap()).unwrap();
    (head, String::from_utf8(body).unwrap())
}

fn post(path: &str, length: usize) -> String {
    format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n")
}

#[track_caller]
fn serves(wire: &mut Wire) {
    assert!(wire.send(GET));
    let (head, body) = response(wire);
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert_eq!(body, "alive\n");
}

#[test]
fn after_a_refusal_a_small_body_is_passed_over_and_the_connection_goes_on() {
    let (host, _folder) = host_with(&[]);
    for (listener, path, status) in [
        (host.public, "/nobody/nothing", 404),
        (host.public, "/acme//capabilities", 400),
        (host.admin, "/api/v1/tenants", 401),
    ] {
        let mut wire = Wire::connect(listener).unwrap();
        // With the body after the response, like clients that send head and body separately, and
        // with both at once.
        for (length, waits) in [(20, true), (20_000, true), (200_000, true), (200_000, false)] {
            assert!(wire.send(post(path, length)));
            let body = "x".repeat(length);
            if !waits {
                assert!(wire.send(&body));
            }
            let (head, problem) = response(&mut wire);
            assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{path}: {head}");
            assert!(!head.contains("connection: close"), "{path}: {head}");
            assert!(problem.contains("\"request_id\""), "{path}: {problem}");
            if waits {
                assert!(wire.send(&body));
            }
        }
        if listener == host.public {
            serves(&mut wire);
        }
    }
}

#[test]
fn a_large_body_does_not_destroy_its_refusal() {
    let (host, _folder) = host_with(&[]);
    for (path, length, status) in [
        ("/nobody/nothing", 300_000, 404),
        ("/nobody/nothing", 3 << 20, 404),
        (&format!("{PLUGIN}/log"), 3 << 20, 413),
    ] {
        let mut wire = Wire::connect(host.public).unwrap();
        assert!(wire.send(post(path, length)));
        // The whole body is sent before the response is read.
        assert!(wire.send("x".repeat(length)), "{path}: it was not read");
        let answer = wire.rest();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{path}: {answer}"
        );
        assert!(answer.contains("connection: close\r\n"), "{path}: {answer}");
        assert!(answer.ends_with('}'), "{path}: {answer}");
    }
    // The length of this body is unknown.
    let mut wire = Wire::connect(host.public).unwrap();
    wire.send("POST /nobody/nothing HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n");
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    for _ in 0..20 {
        assert!(wire.send(&chunk), "it was not read");
    }
    let answer = wire.rest();
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    assert!(answer.contains("connection: close\r\n"), "{answer}");
}

#[test]
fn the_rest_of_a_refused_body_has_its_time() {
    let (host, _folder) = host_with(&[
        ("MORTISE_SERVER__HEADER_TIMEOUT", "300ms"),
        ("MORTISE_SERVER__KEEP_ALIVE", "10min"),
    ]);
    for length in [20, 3 << 20] {
        let mut wire = Wire::connect(host.public).unwrap();
        wire.send(post("/nobody/nothing", length));
        let answer = wire.rest();
        assert!(answer.starts_with("HTTP/1.1 404"), "{length}: {answer}");
    }
    // A lingering body is not read beyond the time limit.
    let mut wire = Wire::connect(host.public).unwrap();
    wire.send(post("/nobody/nothing", 3 << 20));
    until(|| (!wire.send("x")).then_some(()));
}

#[test]
fn an_idle_connection_has_a_time_of_its_own() {
    let (host, _folder) = host_with(&[
        ("MORTISE_SERVER__HEADER_TIMEOUT", "200ms"),
        ("MORTISE_SERVER__KEEP_ALIVE", "10min"),
    ]);
    let mut wire = Wire::connect(host.public).unwrap();
    serves(&mut wire);
    assert!(!wire.is_closed_within(Duration::from_secs(1)));
    serves(&mut wire);
    // The next head has begun, and has its own timeout.
    assert!(wire.send("GET /"));
    assert_eq!(wire.rest(), "");
}

#[test]
fn the_last_answer_of_an_old_connection_says_so() {
    let (host, _folder) = host_with(&[("MORTISE_SERVER__CONNECTION_AGE", "300ms")]);
    for _ in 0..3 {
        let mut wire = Wire::connect(host.public).unwrap();
        // The requests are sent back to back, so that a connection that is closed between two
        // requests loses one.
        loop {
            assert!(wire.send(GET), "it was closed without a word");
            let (head, _) = response(&mut wire);
            if head.contains("connection: close\r\n") {
                break;
            }
        }
        assert_eq!(wire.rest(), "");
    }
    // A connection that reaches its maximum age while it is idle stays open for its next request.
    let mut wire = Wire::connect(host.public).unwrap();
    serves(&mut wire);
    assert!(!wire.is_closed_within(Duration::from_secs(1)));
    assert!(wire.send(GET));
    let (head, _) = response(&mut wire);
    assert!(head.contains("connection: close\r\n"), "{head}");
}

#[test]
fn a_host_that_drains_says_with_each_answer_that_it_is_the_last() {
    let (host, _folder) = host_with(&[("MORTISE_SERVER__DRAIN_DELAY", "10min")]);
    let mut kept = Wire::connect(host.public).unwrap();
    serves(&mut kept);
    host.terminate();
    until(|| (host.http().get("/-/readyz").status == 503).then_some(()));
    let new = Wire::connect(host.public).unwrap();
    for mut wire in [kept, new] {
        assert!(wire.send(GET));
        let (head, _) = response(&mut wire);
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert!(head.contains("connection: close\r\n"), "{head}");
        assert_eq!(wire.rest(), "");
    }
}

#[test]
fn who_sends_no_more_gets_its_answer() {
    let (host, _folder) = host_with(&[]);
    plugin::deploy_guest(&host.operator(), "faults", FAULTS);
    let body = r#"{"message":"said by half"}"#;
    let length = body.len();
    for version in ["HTTP/1.1", "HTTP/1.0"] {
        for request in [
            format!("GET /-/healthz {version}\r\nhost: x\r\n\r\n"),
            format!("GET {PLUGIN}/context {version}\r\nhost: x\r\n\r\n"),
            format!(
                "POST {PLUGIN}/log {version}\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: \
                 {length}\r\n\r\n{body}"
            ),
            // The request takes so long that the drain begins first.
            format!("GET /acme/faults/busy {version}\r\nhost: x\r\n\r\n"),
        ] {
            let mut wire = Wire::connect(host.public).unwrap();
            assert!(wire.send(&request));
            wire.finish();
            let answer = wire.rest();
            assert!(
                answer.starts_with(&format!("{version} 200")),
                "{request}: {answer}"
            );
        }
    }
    // An incomplete request is not served.
    let mut wire = Wire::connect(host.public).unwrap();
    assert!(wire.send(post(&format!("{PLUGIN}/log"), 10)));
    wire.finish();
    assert!(!wire.rest().contains(" 200 "));
}

#[test]
fn a_caller_that_has_gone_is_noticed_though_it_sent_its_end_first() {
    let (host, _folder) = host_with(&[
        ("MORTISE_LIMITS__WALL", "10min"),
        ("MORTISE_CEILING__WALL", "10min"),
    ]);
    plugin::deploy_guest(&host.operator(), "faults", FAULTS);
    let running = || {
        let node = host.operator().get("/api/v1/node").expect(200);
        node["gauges"]["guests_running"].as_u64().unwrap()
    };
    for ends_first in [true, false] {
        let mut wire = Wire::connect(host.public).unwrap();
        assert!(wire.send("GET /acme/faults/sleep HTTP/1.1\r\nhost: x\r\n\r\n"));
        if ends_first {
            wire.finish();
        }
        until(|| (running() == 1).then_some(()));
        assert!(!wire.is_closed_within(Duration::from_millis(300)));
        wire.reset();
        until(|| (running() == 0).then_some(()));
    }
    let records = until(|| {
        let records = host
            .operator()
            .get("/api/v1/tenants/acme/invocations")
            .expect(200);
        let items = records["items"].as_array().unwrap().clone();
        (items.len() == 2).then_some(items)
    });
    for record in records {
        assert_eq!(record["status"], 499, "{record}");
        assert_eq!(record["code"], Value::from("abandoned"), "{record}");
    }
}
