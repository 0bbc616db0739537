//! Tests of commands on the data folder of a stopped host.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use super::host::{HostProcess, finish, mortise, serve};
use super::http::Http;

/// A command on a data folder.
fn on(data: &Path, arguments: &[&str]) -> Command {
    let mut command = mortise(arguments);
    command.arg("--data").arg(data).current_dir(data);
    command
}

#[test]
fn a_lost_operator_token_is_replaced_while_the_host_is_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let host = HostProcess::start(folder.path());
    let lost = std::fs::read_to_string(host.token_file()).unwrap();
    let reset = ["operator-token", "reset"];
    let refused = finish(&mut on(folder.path(), &reset), "").fails(1);
    assert!(refused.contains("another host uses the data folder"), "{refused}");
    host.stop();

    std::fs::remove_file(folder.path().join("operator.token")).unwrap();
    finish(&mut on(folder.path(), &reset), "").ok();
    let host = HostProcess::start(folder.path());
    assert_eq!(
        Http::new(host.admin).bearer(&lost).get("/api/v1/whoami").status,
        401
    );
    let audit = host.operator().get("/api/v1/audit").expect(200);
    assert_eq!(audit["items"][0]["action"], "operator-token.reset");
    assert_eq!(audit["items"][0]["actor_kind"], "command");
    host.stop();
}

#[test]
fn a_rotated_key_opens_the_secrets_and_the_old_one_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let host = HostProcess::start(folder.path());
    host.cli(&["tenants", "create", "acme"]).ok();
    host.cli_with_input(&["secrets", "set", "k", "--tenant", "acme"], "hunter2")
        .ok();
    host.stop();
    let key = folder.path().join("host.key");
    let old = std::fs::read(&key).unwrap();
    let rotated = finish(&mut on(folder.path(), &["host-key", "rotate", "--json"]), "").json();
    assert_eq!(
        (&rotated["secrets"], &rotated["unreadable_secrets"]),
        (&json!(1), &json!(0))
    );
    let new = std::fs::read(&key).unwrap();
    assert_ne!(new, old);
    HostProcess::start(folder.path()).stop();

    std::fs::write(&key, &old).unwrap();
    let refused = finish(&mut serve(folder.path()), "").fails(1);
    assert!(
        refused.contains("is not the one that the secrets in mortise.db are sealed under"),
        "{refused}"
    );
    std::fs::remove_file(&key).unwrap();
    let refused = finish(&mut serve(folder.path()), "").fails(1);
    assert!(refused.contains("host.key is missing"), "{refused}");
    assert!(!key.exists(), "no key is made in its place");

    finish(&mut on(folder.path(), &["host-key", "accept"]), "").ok();
    let host = HostProcess::start(folder.path());
    let audit = host.operator().get("/api/v1/audit?action=host-key.*").expect(200);
    let listed = host.cli(&["secrets", "list", "--tenant", "acme"]);
    assert!(
        listed
            .stderr
            .contains("the secret k does not open under the host's key; set it again: `mortise secrets set k --tenant acme`"),
        "{listed:?}"
    );
    let columns: Vec<&str> = listed.stdout.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!((columns[0], columns[2]), ("k", "no"));
    let node = host.operator().get("/api/v1/node").expect(200);
    assert_eq!(
        node["unreadable_secrets"],
        json!([{ "tenant": "acme", "name": "k" }])
    );
    let actions: Vec<_> = audit["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| &item["action"])
        .collect();
    assert_eq!(actions, ["host-key.accept", "host-key.rotate"]);
    host.stop();
}

#[test]
fn a_folder_that_no_host_has_used_is_left_alone() {
    let parent = tempfile::tempdir().unwrap();
    let data = parent.path().join("nothing");
    for arguments in [
        ["operator-token", "reset"],
        ["host-key", "rotate"],
        ["host-key", "accept"],
    ] {
        let mut command = mortise(&arguments);
        let refused = finish(command.arg("--data").arg(&data), "").fails(1);
        assert!(refused.contains("is no data folder of a host"), "{refused}");
    }
    assert!(!data.exists());
}

#[test]
fn limits_that_cannot_hold_keep_a_host_from_starting() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    for (variable, value, wanted) in [
        (
            "MORTISE_LIMITS__MEMORY",
            "10GiB",
            "memory: 10GiB is above the ceiling of 256MiB",
        ),
        ("MORTISE_LIMITS__MEMORY", "0", "memory: 0B is below 64KiB"),
        ("MORTISE_CEILING__CONCURRENCY", "0", "concurrency: 0 is below 1"),
        (
            "MORTISE_CEILING__MEMORY",
            "5GiB",
            "memory: 5GiB is more than a WebAssembly memory can have; write 4GiB at most",
        ),
    ] {
        let said = finish(serve(&data).env(variable, value), "").fails(1);
        assert!(said.contains(wanted), "{said}");
    }
    assert!(!data.exists(), "nothing was opened");
}
