//! Tests of the connection metrics of a running host.

use serde_json::Value;

use super::host::{HostProcess, until};
use super::wire::Wire;

#[test]
fn open_connections_are_counted_and_closed_ones_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let host = HostProcess::start_with(folder.path(), &[("MORTISE_SERVER__HEADER_TIMEOUT", "60s")]);
    let operator = host.operator();
    let gauge = |name: &str| -> Value {
        let node = operator.get("/api/v1/node");
        serde_json::from_slice::<Value>(&node.body).unwrap()["gauges"][name].clone()
    };
    assert_eq!(gauge("public_connections"), 0);
    assert!(gauge("admin_connections").as_u64().unwrap() >= 1, "this one");
    let wires = [(); 3].map(|()| Wire::connect(host.public).unwrap());
    until(|| (gauge("public_connections") == 3).then_some(()));
    drop(wires);
    until(|| (gauge("public_connections") == 0).then_some(()));
    assert!(gauge("process_file_descriptors").as_u64().unwrap() > 10);
    host.stop();
}
