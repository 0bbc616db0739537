//! Tests of versions on the command line: deployment, undo, names and rollback.

use std::path::{Path, PathBuf};

use serde_json::json;
use test_artifacts::{CAPABILITIES, DATABASE, HELLO};

use super::cli::{DEMANDING, OF, demanding, deploy, host};
use super::host::{HostProcess, finish, mortise};
use crate::shared::{bundled, open_manifest};

#[test]
fn a_version_is_named_rolled_back_and_activated() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path());
    for version in ["1.0.0", "2.0.0"] {
        deploy(&host, &demanding(folder.path(), version));
    }
    let key = [
        "keys", "create", "all", "--scopes", "*", "--tenant", "acme", "--json",
    ];
    let key = host.cli(&key).json();
    let http = host.http().bearer(key["credential"].as_str().unwrap());
    let answering = || http.get("/acme/capabilities/context").expect(200)["version"].clone();
    let run = |arguments: &[&str]| host.cli(&[arguments, &OF[..]].concat());
    assert_eq!(answering(), "2.0.0");
    let said = run(&["rollback"]).ok();
    assert!(
        said.starts_with("capabilities: 1.0.0 (sha256:")
            && said.contains(") is the active version; before it was 2.0.0 (sha256:")
            && said.lines().count() == 1,
        "{said}"
    );
    assert_eq!(answering(), "1.0.0");
    let table = host.cli(&["plugins", "list", "--tenant", "acme"]).ok();
    assert!(
        table.lines().next().unwrap().contains("VERSION") && table.contains("  1.0.0  "),
        "{table}"
    );
    assert!(run(&["plugins", "show"]).ok().contains("author_version"));
    let said = run(&["versions", "delete", "1.0.0"]).fails(1);
    assert!(
        said.contains("hint: make another version the active one first: `mortise versions activate VERSION`"),
        "{said}"
    );
    let said = run(&["rollback"]).fails(1);
    assert!(
        said.contains("there is no version to roll back to")
            && said.contains("hint: activate a version by its name"),
        "{said}"
    );
    let versions = run(&["versions", "list", "--json"]).json();
    let active: Vec<_> = versions
        .as_array()
        .unwrap()
        .iter()
        .filter(|version| version["active"] == true)
        .collect();
    assert_eq!((active.len(), &active[0]["author_version"]), (1, &json!("1.0.0")));

    let activated = run(&["versions", "activate", "2.0.0", "--json"]).json();
    assert_eq!(
        (
            &activated["author_version"],
            &activated["previous_author_version"]
        ),
        (&json!("2.0.0"), &json!("1.0.0"))
    );
    assert_eq!(answering(), "2.0.0");
    let digits = &active[0]["version"].as_str().unwrap()["sha256:".len()..][..12];
    let shown = run(&["versions", "show", digits]).ok();
    assert!(
        shown.contains("author_version  1.0.0") && shown.contains("\nname = 'capabilities'\n"),
        "{shown}"
    );
    run(&["versions", "activate", digits]).ok();
    assert_eq!(answering(), "1.0.0");
    let said = run(&["versions", "activate", "3.0.0"]).fails(1);
    assert!(
        said.contains("no version is named `3.0.0`; the newest are sha256:"),
        "{said}"
    );
    let said = host
        .cli(&["rollback", "--tenant", "acme", "--plugin", "nope"])
        .fails(1);
    assert!(said.contains("there is no such plugin"), "{said}");
    run(&["versions", "delete", "2.0.0"]).ok();
    assert_eq!(
        run(&["versions", "list", "--json"])
            .json()
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn a_deployment_warns_of_secrets_that_are_not_set_and_of_a_version_that_has_two_contents() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path());
    let unset = "warning: the secret `token` is granted but not set; an owner sets it with `mortise secrets set token \
                 --tenant acme`";
    let deployed = |file: &Path| {
        let file = file.to_str().unwrap();
        let deployed = host.cli(&["deploy", file, "--tenant", "acme", "--grant"]);
        assert!(deployed.status.success(), "{deployed:?}");
        deployed
    };
    let first = deployed(&demanding(folder.path(), "1.0.0"));
    assert!(first.stderr.contains(unset), "{first:?}");
    assert!(!first.stderr.contains("other content"), "{first:?}");
    let shown = host.cli(&[&["plugins", "show"], &OF[..]].concat());
    assert!(
        shown.status.success() && shown.stderr.contains(unset),
        "{shown:?}"
    );
    host.cli_with_input(&["secrets", "set", "token", "--tenant", "acme"], "x")
        .ok();
    let again = host.cli(&[&["versions", "activate", "1.0.0"], &OF[..]].concat());
    assert!(
        again.status.success() && !again.stderr.contains("warning"),
        "{again:?}"
    );
    let shown = host.cli(&[&["plugins", "show", "--json"], &OF[..]].concat());
    assert!(shown.json().get("warnings").is_none());
    let gone = host.cli(&["secrets", "delete", "token", "--tenant", "acme"]);
    assert!(
        gone.status.success()
            && gone
                .stderr
                .contains("warning: the plugin capabilities is active and may use the secret token"),
        "{gone:?}"
    );

    host.cli(&["tenants", "suspend", "acme"]).ok();
    let suspended = host.cli(&[&["versions", "activate", "1.0.0"], &OF[..]].concat());
    assert!(
        suspended
            .stderr
            .contains("warning: the tenant acme is suspended: all of its addresses answer 503"),
        "{suspended:?}"
    );
    host.cli(&["tenants", "resume", "acme"]).ok();

    let other = folder.path().join("other.wasm");
    let manifest = open_manifest("capabilities", DEMANDING) + "\n# other\n";
    std::fs::write(&other, bundled(CAPABILITIES, &manifest, &[])).unwrap();
    let second = deployed(&other);
    assert!(
        second
            .stderr
            .contains("warning: the version 1.0.0 was uploaded before with other content (sha256:"),
        "{second:?}"
    );
}

#[test]
fn who_may_not_grant_is_told_that_the_upload_stays_and_how_to_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path());
    let create = [
        "tokens",
        "create",
        "d",
        "--tenant",
        "acme",
        "--role",
        "developer",
        "--json",
    ];
    let developer = host.cli(&create).json()["credential"]
        .as_str()
        .unwrap()
        .to_owned();
    let file = demanding(folder.path(), "1.0.0");
    let admin = format!("http://{}", host.admin);
    let arguments = [
        "deploy",
        file.to_str().unwrap(),
        "--tenant",
        "acme",
        "--grant",
        "--host",
        &admin,
        "--token",
        &developer,
    ];
    let said = finish(&mut mortise(&arguments), "").fails(1);
    for wanted in [
        "stays, and is not active; once everything is granted, `mortise versions activate sha256:",
        "--tenant acme --plugin capabilities` makes it active",
        "(insufficient-scope, request ",
        "hint: ask an owner of the tenant",
    ] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    deploy(&host, &file);
}

/// Writes a version of a plugin with a database whose only migration is `sql`.
fn migrating(folder: &Path, version: &str, sql: &str) -> PathBuf {
    let manifest = open_manifest("db", "[database]\nmigrations = 'migrations'\n").replace("1.0.0", version);
    let file = folder.join(format!("db-{version}.wasm"));
    let bytes = bundled(DATABASE, &manifest, &[("migrations/0001_first.sql", sql)]);
    std::fs::write(&file, bytes).unwrap();
    file
}

fn versions_of_db(host: &HostProcess) -> usize {
    let list = ["versions", "list", "--tenant", "acme", "--plugin", "db", "--json"];
    host.cli(&list).json().as_array().unwrap().len()
}

#[test]
fn a_deployment_that_fails_leaves_no_version() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path());
    let deployed = |file: &Path| {
        let file = file.to_str().unwrap();
        host.cli(&["deploy", file, "--tenant", "acme", "--grant"])
    };
    for _ in 0..2 {
        let said = deployed(&migrating(folder.path(), "0.1.0", "CREATE TABEL a (id INTEGER);")).fails(1);
        assert!(
            said.contains("(migration-failed, request ")
                && said.contains("the uploaded version was deleted again"),
            "{said}"
        );
        assert!(said.contains("hint: ") && !said.contains("next number"), "{said}");
        assert_eq!(versions_of_db(&host), 0);
    }
    let good = migrating(folder.path(), "0.1.0", "CREATE TABLE a (id INTEGER);");
    deployed(&good).ok();
    assert_eq!(versions_of_db(&host), 1);
    // An existing version stays, even if it cannot be activated any more.
    let edited = migrating(folder.path(), "0.2.0", "CREATE TABLE b (id INTEGER);");
    let file = edited.to_str().unwrap();
    host.cli(&["deploy", file, "--tenant", "acme", "--no-activate"])
        .ok();
    let said = deployed(&edited).fails(1);
    assert!(!said.contains("deleted again"), "{said}");
    assert_eq!(versions_of_db(&host), 2);
    deployed(&good).ok();
}

#[test]
fn who_may_not_deploy_is_told_so_however_large_the_component_is() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path());
    let create = [
        "tokens", "create", "v", "--tenant", "acme", "--role", "viewer", "--json",
    ];
    let viewer = host.cli(&create).json()["credential"]
        .as_str()
        .unwrap()
        .to_owned();
    // The file is larger than all buffers between here and the host.
    let mut large = bundled(DATABASE, &open_manifest("db", ""), &[]);
    let filler = vec![0; 20 << 20];
    let name = b"filler";
    large.push(0);
    let mut length = name.len() + 1 + filler.len();
    while length > 0x7f {
        large.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
        length >>= 7;
    }
    large.push(u8::try_from(length).unwrap());
    large.push(u8::try_from(name.len()).unwrap());
    large.extend(name);
    large.extend(filler);
    let file = folder.path().join("large.wasm");
    std::fs::write(&file, large).unwrap();
    let admin = format!("http://{}", host.admin);
    for _ in 0..5 {
        let file = file.to_str().unwrap();
        let arguments = [
            "deploy", file, "--tenant", "acme", "--host", &admin, "--token", &viewer,
        ];
        let said = finish(&mut mortise(&arguments), "").fails(1);
        assert!(said.contains("(insufficient-scope, request "), "{said}");
    }
}

#[test]
fn a_manifest_with_other_routes_than_the_plugin_is_refused_when_it_is_built() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = "[plugin]\nname = 'hello'\nversion = '1.0.0'\n[[route]]\nmethod = 'GET'\npath = '/hello/{who}'\n\
                    auth = 'public'\n";
    std::fs::write(folder.path().join("plugin.toml"), manifest).unwrap();
    let out = folder.path().join("out.wasm");
    let build = [
        "build",
        folder.path().to_str().unwrap(),
        "--component",
        HELLO,
        "--out",
        out.to_str().unwrap(),
    ];
    let said = finish(&mut mortise(&build), "").fails(1);
    assert!(
        said.contains(
            "plugin.toml: route: the plugin has no handler for GET /hello/{who}; it handles GET /hello/{name}, POST /echo, \
             which the manifest leaves out"
        ),
        "{said}"
    );
    assert!(
        said.contains("hint: list the same routes in plugin.toml and in `routes!`"),
        "{said}"
    );
    assert!(!out.exists());

    let said = finish(&mut mortise(&["build", "/nowhere"]), "").fails(1);
    assert!(
        said.contains("/nowhere is no folder of a plugin") && said.contains("hint: name the folder"),
        "{said}"
    );
}
