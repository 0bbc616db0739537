//! Tests that large arguments of a guest do not grow the host's memory.

use serde_json::{Value, json};

use super::host::HostProcess;
use super::plugin::{self, PLUGIN};
use crate::shared::wasm::{COMPONENT, with_content};

const MIB: u64 = 1 << 20;

/// Far more than the limit of a host call.
const LARGE: u64 = 64 * MIB;

#[test]
fn a_large_argument_is_not_copied_out_of_the_sandbox() {
    let folder = tempfile::tempdir().unwrap();
    // One instance, so the guest's own memory is the same in every round.
    let variables = [
        ("MORTISE_LIMITS__MEMORY", "256MiB"),
        ("MORTISE_LIMITS__CPU", "60s"),
        ("MORTISE_CEILING__CPU", "60s"),
        ("MORTISE_LIMITS__WALL", "60s"),
        ("MORTISE_RUNTIME__INSTANCES", "1"),
    ];
    let host = HostProcess::start_with(folder.path(), &variables);
    plugin::tenant(&host.operator());
    plugin::deploy(&host.operator(), "1.0.0").unwrap();
    let rounds = |call: &str, status: u16, code: Value| {
        for _ in 0..6 {
            let input = json!({ "call": call, "bytes": LARGE });
            let reply = host.http().post(&format!("{PLUGIN}/hand-over"), &input);
            assert_eq!(
                (reply.status, &reply.body()["code"]),
                (status, &code),
                "{}",
                reply.text()
            );
        }
    };
    // The guest creates the text, but does not pass it to the host.
    rounds("none", 200, Value::Null);
    let alone = host.peak_memory();
    rounds("untyped", 502, json!("plugin-limit"));
    rounds("typed", 502, json!("plugin-limit"));
    let handed_over = host.peak_memory();
    assert!(handed_over < alone + LARGE / 2, "{alone} {handed_over}");
}

#[test]
fn an_upload_is_read_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let host = HostProcess::start(folder.path());
    plugin::tenant(&host.operator());
    // The first upload is small, so that the host allocates what every upload needs.
    plugin::deploy(&host.operator(), "1.0.0").unwrap();
    let before = host.peak_memory();
    // Text that takes hundreds of times its size when parsed: headers of nested tables, and JSON.
    let header = |number: usize| format!("[a.b{number}{}]\n", ".a".repeat(75));
    let headers = |bytes: usize| -> String { (0..bytes / 160).map(header).collect() };
    let plugin = "[plugin]\nname = 'large'\nversion = '1'\n";
    let route =
        format!("{plugin}[[route]]\nmethod = 'GET'\npath = '/'\nauth = 'public'\nresponse = 's.json'\n");
    let schema = format!("[{}1]", "[],".repeat(1 << 20));
    for content in [
        json!({ "format": 1, "manifest": format!("{plugin}{}", headers(3 << 20)) }).to_string(),
        json!({ "format": 1, "manifest": format!("{plugin}{}", headers(250 << 10)) }).to_string(),
        format!(
            r#"{{"format":1,"manifest":{},"schemas":{{"s.json":{schema}}}}}"#,
            json!(route)
        ),
    ] {
        let path = "/api/v1/tenants/acme/plugins/large/versions";
        let component = with_content(COMPONENT, &content);
        let upload = host
            .operator()
            .send("POST", path, Some(("application/wasm", &component)));
        let (status, code) = upload.unwrap().problem();
        assert!(status == 422 && code != "internal", "{status} {code}");
    }
    let after = host.peak_memory();
    assert!(after < before + 48 * MIB, "{before} {after}");
    assert_eq!(host.http().get(&format!("{PLUGIN}/context")).status, 200);
}
