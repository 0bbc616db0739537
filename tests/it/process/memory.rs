//! What a guest hands over does not grow the host.

use serde_json::{Value, json};

use super::host::HostProcess;
use super::plugin::{self, PLUGIN};

const MIB: u64 = 1 << 20;

/// Far more than what a host call may hand over.
const LARGE: u64 = 64 * MIB;

#[test]
fn a_large_argument_is_not_copied_out_of_the_sandbox() {
    let folder = tempfile::tempdir().unwrap();
    // One slot after the other: what the guest has itself is the same in every round.
    let variables = [
        ("MORTISE_LIMITS_MEMORY", "256MiB"),
        ("MORTISE_LIMITS_CPU", "60s"),
        ("MORTISE_CEILING_CPU", "60s"),
        ("MORTISE_LIMITS_WALL", "60s"),
        ("MORTISE_RUNTIME_INSTANCES", "1"),
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
    // The guest makes the text and hands it to nobody.
    rounds("none", 200, Value::Null);
    let alone = host.peak_memory();
    rounds("untyped", 502, json!("plugin-limit"));
    rounds("typed", 502, json!("plugin-limit"));
    let handed_over = host.peak_memory();
    assert!(handed_over < alone + LARGE / 2, "{alone} {handed_over}");
}
