//! Tests of the commands for jobs, dead letters, schedules and webhooks with a running host.

use serde_json::json;

use super::cli::{OF, demanding, deploy, host};

const ID: &str = "0190a5c0-0000-7000-8000-000000000001";

#[test]
fn a_tenant_without_jobs_has_empty_lists_and_counts() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path());
    let call = |arguments: &[&str]| host.cli(&[arguments, &["--tenant", "acme"]].concat());
    for list in [["jobs", "list"], ["dead-letters", "list"], ["schedules", "list"]] {
        assert_eq!(call(&list).ok(), "");
        assert_eq!(call(&[list[0], list[1], "--json"]).json(), json!([]));
    }
    assert_eq!(call(&["webhooks", "list"]).ok(), "");
    assert_eq!(call(&["webhooks", "received", "list"]).ok(), "");
    let webhooks = call(&["webhooks", "list", "--json"]).json();
    assert_eq!(webhooks, json!({ "items": [], "received": 0, "bytes": 0 }));
    assert_eq!(call(&["jobs", "export"]).ok(), "");
    let summary = call(&["jobs", "summary", "--json"]).json();
    assert_eq!(
        summary,
        json!({ "live": 0, "running": 0, "dead": 0, "kinds": [] })
    );
    assert_eq!(call(&["dead-letters", "retry"]).ok(), "retried  0\n");
    let purged = call(&["jobs", "purge", "--state", "done,dead", "--confirm", "acme"]).ok();
    assert_eq!(purged, "purged   0\nrunning  0\n");
}

#[test]
fn what_cannot_be_done_has_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path());
    deploy(&host, &demanding(folder.path(), "1.0.0"));
    let tenant = ["--tenant", "acme"].as_slice();
    for (arguments, said, hint) in [
        (
            ["jobs", "show", ID].as_slice(),
            "there is no such job",
            "mortise jobs list",
        ),
        (
            &["jobs", "retry", ID],
            "there is no such job",
            "mortise jobs list",
        ),
        (
            &["jobs", "cancel", ID],
            "there is no such job",
            "mortise jobs list",
        ),
        (
            &["jobs", "purge", "--confirm", "other"],
            "`--confirm other` does not match the name `acme`",
            "repeat the name",
        ),
        (
            &["jobs", "pause", "--plugin", "capabilities", "--job", "unknown"],
            "there is no such kind of job",
            "mortise jobs summary",
        ),
        (
            &["webhooks", "received", "show", ID],
            "there is no such received webhook",
            "mortise webhooks received list",
        ),
        (
            &["webhooks", "received", "replay", ID],
            "there is no such received webhook",
            "mortise webhooks received list",
        ),
        (
            &["schedules", "run", "nightly", "--plugin", "capabilities"],
            "has no schedule `nightly`",
            "mortise schedules list",
        ),
    ] {
        let refused = host.cli(&[arguments, tenant].concat()).fails(1);
        assert!(refused.contains(said) && refused.contains(hint), "{refused}");
    }
}

#[test]
fn the_jobs_of_a_plugin_are_paused_and_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path());
    deploy(&host, &demanding(folder.path(), "1.0.0"));
    let call = |verb: &str| {
        host.cli(&[&["jobs", verb, "--json"], OF.as_slice()].concat())
            .json()
    };
    let answer = |all: bool, changed: bool| json!({ "plugin": "capabilities", "all": all, "jobs": [], "changed": changed });
    assert_eq!(call("pause"), answer(true, true));
    assert_eq!(call("pause"), answer(true, false));
    assert_eq!(call("resume"), answer(false, true));
    assert_eq!(call("resume"), answer(false, false));
    let audit = host
        .cli(&["audit", "--tenant", "acme", "--action", "job.*", "--json"])
        .json();
    assert_eq!(audit.as_array().unwrap().len(), 2);
    assert_eq!(
        (&audit[0]["action"], &audit[0]["subject"]),
        (&json!("job.resume"), &json!("capabilities"))
    );
}
