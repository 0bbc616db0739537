//! Tests of draining: accepted requests are answered, endless ones are ended, and no new ones are
//! accepted.

use std::io::BufRead as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use rustix::process::{Signal, kill_process};
use serde_json::json;

use super::host::{HostProcess, Process, until};
use super::plugin::{self, PLUGIN};
use super::wire::Wire;

const CALLERS: usize = 8;
const BODY: &str = r#"{"message":"said while the host drained"}"#;

fn host_with(data: &Path, variables: &[(&str, &str)]) -> HostProcess {
    let host = HostProcess::start_with(data, variables);
    plugin::tenant(&host.operator());
    plugin::deploy(&host.operator(), "1.0.0").unwrap();
    host
}

/// A running request that waits for its body.
fn under_way(host: &HostProcess) -> Wire {
    let mut wire = Wire::connect(host.public).unwrap();
    let length = BODY.len();
    wire.send(format!(
        "POST {PLUGIN}/log HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\nexpect: 100-continue\r\n\r\n"
    ));
    // The host asks for the body once the request is running.
    assert_eq!(wire.read_past("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
    wire
}

#[test]
fn requests_under_way_finish_and_followers_end() {
    let folder = tempfile::tempdir().unwrap();
    let host = host_with(folder.path(), &[]);
    assert_eq!(host.http().get("/-/readyz").text(), "ready\n");

    let mut follower = Process::spawn(&mut host.command(&["logs", "--follow", "--tenant", "acme"]));
    let mut lines = follower.stdout().lines();
    let said = host
        .http()
        .post(&format!("{PLUGIN}/log"), &json!({ "message": "before" }));
    assert_eq!(said.status, 200, "{}", said.text());
    assert!(lines.next().unwrap().unwrap().contains("before"), "it follows");

    let mut callers: Vec<Wire> = (0..CALLERS).map(|_| under_way(&host)).collect();
    host.terminate();
    until(|| host.log().contains("draining").then_some(()));
    for listener in [host.public, host.admin] {
        until(|| Wire::connect(listener).err());
    }
    // It retries until the host is back, or until it is interrupted.
    let news = follower.news().lines().next().unwrap().unwrap();
    assert!(news.contains("the stream ended"), "{news}");
    kill_process(follower.pid(), Signal::INT).unwrap();
    assert_eq!(follower.wait().code(), Some(0));
    for wire in &mut callers {
        assert!(wire.send(BODY));
    }
    for wire in callers {
        let answer = wire.rest();
        assert!(
            answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("\"logged\""),
            "{answer}"
        );
    }
    assert_eq!(host.wait().code(), Some(0));

    let again = HostProcess::start(folder.path());
    let logs = again.cli(&["logs", "--tenant", "acme"]).ok();
    assert_eq!(
        logs.matches("said while the host drained").count(),
        CALLERS,
        "{logs}"
    );
}

#[test]
fn a_request_that_does_not_finish_is_cut_off_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let host = host_with(folder.path(), &[("MORTISE_SERVER__DRAIN_TIMEOUT", "200ms")]);
    let caller = under_way(&host);
    host.terminate();
    assert_eq!(caller.rest(), "");
    until(|| host.log().contains("were cut off").then_some(()));
    assert_eq!(host.wait().code(), Some(0));
}

#[test]
fn a_second_signal_ends_the_host_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let host = host_with(folder.path(), &[]);
    let caller = under_way(&host);
    host.terminate();
    until(|| host.log().contains("draining").then_some(()));
    host.terminate();
    assert_eq!(caller.rest(), "");
    assert_eq!(host.wait().code(), Some(130));
}

#[test]
fn under_load_every_request_that_ran_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let host = host_with(folder.path(), &[]);
    let (answered, stopped) = (AtomicI64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..CALLERS {
            scope.spawn(|| {
                // The loop ends when the host does not listen any more.
                while let Ok(mut wire) = Wire::connect(host.public) {
                    wire.send(format!(
                        "GET {PLUGIN}/context HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
                    ));
                    let answer = wire.rest();
                    if answer.is_empty() {
                        // It waited to be accepted when the host stopped accepting.
                        assert!(
                            stopped.load(Ordering::SeqCst),
                            "not answered while the host listens"
                        );
                        continue;
                    }
                    let whole = answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with('}');
                    assert!(whole, "{answer}");
                    answered.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        until(|| (answered.load(Ordering::SeqCst) > 100).then_some(()));
        stopped.store(true, Ordering::SeqCst);
        host.terminate();
    });
    assert_eq!(host.wait().code(), Some(0));
    let database = crate::shared::open_database(folder.path().join("mortise.db"));
    let ran: i64 = database
        .query_row(
            "SELECT coalesce(sum(records), 0) FROM invocation_blocks",
            (),
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(
        ran,
        answered.into_inner(),
        "what ran and was recorded is what was answered"
    );
}
