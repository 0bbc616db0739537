//! Tests of callers that do not read responses: their memory is bounded, and they are disconnected.

use serde_json::json;
use tempfile::TempDir;
use test_artifacts::FAULTS;

use super::host::{HostProcess, until};
use super::plugin;
use super::wire::Wire;

/// A response of 3 MiB.
const LARGE: &str = "/acme/faults/large";

fn host_with(variables: &[(&str, &str)]) -> (HostProcess, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let host = HostProcess::start_with(folder.path(), variables);
    plugin::tenant(&host.operator());
    plugin::deploy_guest(&host.operator(), "faults", FAULTS);
    (host, folder)
}

/// A caller that has requested a large response and reads only its beginning.
fn slow_reader(host: &HostProcess) -> Wire {
    let mut wire = Wire::connect(host.public).unwrap();
    wire.send(format!("GET {LARGE} HTTP/1.1\r\nhost: x\r\n\r\n"));
    assert!(wire.read_past("\r\n\r\n").starts_with("HTTP/1.1 200"));
    wire
}

#[test]
fn who_does_not_read_is_shown_out() {
    let (host, _folder) = host_with(&[("MORTISE_SERVER__WRITE_TIMEOUT", "300ms")]);
    let mut reader = slow_reader(&host);
    // Sending fails once the host has closed the connection.
    until(|| (!reader.send("x")).then_some(()));
    assert_eq!(host.http().get(LARGE).body.len(), 3 << 20);
}

#[test]
fn what_callers_do_not_read_counts_against_their_tenant() {
    let (host, _folder) = host_with(&[("MORTISE_SERVER__WRITE_TIMEOUT", "10min")]);
    let limits = json!({ "response_backlog": "4MiB" });
    let plan = host
        .operator()
        .json("PATCH", "/api/v1/tenants/acme", &json!({ "limits": limits }));
    assert_eq!(plan.status, 200, "{}", plan.text());
    let readers = [slow_reader(&host), slow_reader(&host)];
    let refused = host.http().get("/acme/faults/fine");
    assert_eq!(refused.problem(), (503, "overloaded".to_owned()));
    assert!(refused.headers.contains_key("retry-after"));
    drop(readers);
    until(|| (host.http().get("/acme/faults/fine").status == 200).then_some(()));
}
