//! Tests with more connections than allowed, and with more than there are descriptors.

use rustix::process::{Resource, Rlimit, getrlimit, prlimit};

use super::host::{HostProcess, until};
use super::plugin::{self, PLUGIN};
use super::wire::Wire;

/// A timeout with which no idle connection is closed within a test.
const PATIENT: (&str, &str) = ("MORTISE_SERVER__HEADER_TIMEOUT", "10min");

/// Sends a request and leaves the connection open.
fn ask(wire: &mut Wire) {
    assert!(wire.send("GET /-/healthz HTTP/1.1\r\nhost: x\r\n\r\n"));
    assert!(wire.read_past("alive\n").starts_with("HTTP/1.1 200"));
}

#[test]
fn an_address_has_only_so_many_connections() {
    let folder = tempfile::tempdir().unwrap();
    let variables = [PATIENT, ("MORTISE_SERVER__CONNECTIONS_PER_ADDRESS", "2")];
    let host = HostProcess::start_with(folder.path(), &variables);
    let mut first = Wire::connect(host.public).unwrap();
    ask(&mut first);
    let mut second = Wire::connect(host.public).unwrap();
    ask(&mut second);
    assert_eq!(Wire::connect(host.public).unwrap().rest(), "");
    ask(&mut first);
    drop(second);
    until(|| {
        let mut third = Wire::connect(host.public).unwrap();
        let is_served = third.send("GET /-/healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        (is_served && third.rest().starts_with("HTTP/1.1 200")).then_some(())
    });
    assert!(
        host.log()
            .contains("the address has reached its limit of connections")
    );
}

#[test]
fn silent_connections_make_room_for_others() {
    let folder = tempfile::tempdir().unwrap();
    let host = HostProcess::start_with(folder.path(), &[PATIENT, ("MORTISE_SERVER__CONNECTIONS", "3")]);
    let mut good = Wire::connect(host.public).unwrap();
    ask(&mut good);
    let mut crowd: Vec<Wire> = (0..10).map(|_| Wire::connect(host.public).unwrap()).collect();
    // Connections are accepted in this order: once the last one has been served, the first ones had
    // to be closed.
    let mut late = Wire::connect(host.public).unwrap();
    ask(&mut late);
    assert_eq!(crowd.remove(0).rest(), "");
    ask(&mut late);
}

#[test]
fn a_host_without_descriptors_serves_again_once_it_has_some() {
    let folder = tempfile::tempdir().unwrap();
    let host = HostProcess::start_with(folder.path(), &[PATIENT]);
    plugin::tenant(&host.operator());
    plugin::deploy(&host.operator(), "1.0.0").unwrap();
    let in_use = std::fs::read_dir(format!("/proc/{}/fd", host.pid()))
        .unwrap()
        .count();
    let few = Rlimit {
        current: Some(u64::try_from(in_use).unwrap() + 16),
        maximum: getrlimit(Resource::Nofile).maximum,
    };
    prlimit(Some(host.pid()), Resource::Nofile, few).unwrap();
    let crowd: Vec<Wire> = (0..64).map(|_| Wire::connect(host.public).unwrap()).collect();
    until(|| {
        host.log()
            .contains("a connection could not be accepted")
            .then_some(())
    });
    // Idle connections are closed to free their descriptors.
    let mut good = Wire::connect(host.public).unwrap();
    ask(&mut good);
    drop(crowd);
    until(|| (plugin::version(&host.http().get(&format!("{PLUGIN}/context"))) == "1.0.0").then_some(()));
}
