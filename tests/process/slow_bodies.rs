//! Tests of callers that send bodies slowly: they occupy only their own connections.

use serde_json::json;
use tempfile::TempDir;
use test_artifacts::FAULTS;

use super::host::{HostProcess, until};
use super::plugin;
use super::wire::Wire;

/// More callers than the tenant's concurrency limit.
const CALLERS: usize = 20;

fn host_with(variables: &[(&str, &str)]) -> (HostProcess, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let host = HostProcess::start_with(folder.path(), variables);
    plugin::tenant(&host.operator());
    plugin::deploy_guest(&host.operator(), "faults", FAULTS);
    let limits = json!({ "limits": { "concurrency": 2, "queue": 1 } });
    let changed = host.operator().json("PATCH", "/api/v1/tenants/acme", &limits);
    assert_eq!(changed.status, 200, "{}", changed.text());
    (host, folder)
}

/// A caller that announces ten bytes and sends one.
fn slow_caller(host: &HostProcess, method: &str) -> Wire {
    let mut wire = Wire::connect(host.public).unwrap();
    wire.send(format!(
        "{method} /acme/faults/fine HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nx"
    ));
    wire
}

#[test]
fn slow_bodies_take_no_places() {
    let (host, _folder) = host_with(&[]);
    for method in ["GET", "POST"] {
        let mut slow: Vec<Wire> = (0..CALLERS).map(|_| slow_caller(&host, method)).collect();
        for _ in 0..CALLERS {
            let fine = host.http().get("/acme/faults/fine");
            assert_eq!(fine.status, 200, "{method}: {}", fine.text());
        }
        // The bodies that are completed are served.
        for wire in &mut slow {
            wire.send("xxxxxxxxx");
            let answer = wire.read_past("\r\n\r\n");
            assert!(answer.starts_with("HTTP/1.1 200"), "{method}: {answer}");
        }
    }
}

#[test]
fn who_drips_is_shown_out_on_both_listeners() {
    let variables = [
        ("MORTISE_SERVER__BODY_TIMEOUT", "10min"),
        ("MORTISE_SERVER__BODY_RATE", "1KiB"),
        ("MORTISE_SERVER__BODY_GRACE", "300ms"),
    ];
    let (host, _folder) = host_with(&variables);
    let operator = std::fs::read_to_string(host.token_file()).unwrap();
    let upload = "/api/v1/tenants/acme/plugins/faults/versions";
    for (address, head) in [
        (host.public, "POST /acme/faults/fine HTTP/1.1\r\n".to_owned()),
        (
            host.admin,
            format!(
                "POST {upload} HTTP/1.1\r\nauthorization: Bearer {operator}\r\n\
                 content-type: application/wasm\r\n"
            ),
        ),
        (
            host.admin,
            format!(
                "PUT /api/v1/plans/slow HTTP/1.1\r\nauthorization: Bearer {operator}\r\n\
                 content-type: application/json\r\n"
            ),
        ),
    ] {
        let mut wire = Wire::connect(address).unwrap();
        wire.send(format!("{head}host: x\r\ncontent-length: 100000\r\n\r\n"));
        let mut reader = wire.share();
        let answer = std::thread::spawn(move || reader.read_past("\r\n\r\n"));
        until(|| {
            wire.send("x");
            answer.is_finished().then_some(())
        });
        let answer = answer.join().unwrap();
        assert!(answer.starts_with("HTTP/1.1 408"), "{head}: {answer}");
    }
}
