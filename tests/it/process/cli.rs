//! The command line against a running host, as people and scripts use it.

use std::io::BufRead as _;
use std::path::{Path, PathBuf};

use serde_json::json;
use test_artifacts::{CAPABILITIES, HELLO};

use super::host::{HostProcess, Process, finish, mortise, until};
use crate::app::{bundled, open_manifest};

const HELLO_FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../plugins/hello");

/// A route for keys, and a secret that must be granted.
const DEMANDING: &str = "
[[route]]
method = 'GET'
path = '/context'
auth = ['api-key']
scopes = ['context:read']

[secrets]
reveal = ['token']
";

/// A host with the tenant `acme`.
fn host(data: &Path) -> HostProcess {
    let host = HostProcess::start(data);
    host.cli(&["tenants", "create", "acme"]).ok();
    host
}

/// Writes a version of the guest that calls every capability.
fn demanding(folder: &Path, version: &str) -> PathBuf {
    let file = folder.join(format!("capabilities-{version}.wasm"));
    let manifest = open_manifest("capabilities", DEMANDING).replace("1.0.0", version);
    std::fs::write(&file, bundled(CAPABILITIES, &manifest, &[])).unwrap();
    file
}

fn deploy(host: &HostProcess, file: &Path) {
    let file = file.to_str().unwrap();
    host.cli(&["deploy", file, "--tenant", "acme", "--grant"]).ok();
}

/// The last two arguments of everything about the plugin.
const OF: [&str; 4] = ["--tenant", "acme", "--plugin", "capabilities"];

#[test]
fn tenants_are_created_and_listed() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path());
    assert_eq!(
        host.cli(&["tenants", "create", "umbrella", "--json"]).json()["name"],
        "umbrella"
    );
    let table = host.cli(&["tenants", "list"]).ok();
    let mut lines = table.lines();
    assert!(lines.next().unwrap().starts_with("NAME "), "{table}");
    let names: Vec<_> = lines.map(|line| line.split_whitespace().next()).collect();
    assert_eq!(names, [Some("acme"), Some("umbrella")]);
    let listed = host.cli(&["tenants", "list", "--json"]).json();
    assert_eq!(listed.as_array().unwrap().len(), 2);
    let refused = host.cli(&["tenants", "create", "acme"]).fails(1);
    assert!(
        refused.starts_with("error: ") && refused.contains("(conflict, request "),
        "{refused}"
    );
    assert!(refused.contains("\nhint: "), "{refused}");
    let refused = host.cli(&["tenants", "create", "Not A Name"]).fails(1);
    assert!(refused.starts_with("error: "), "{refused}");
}

#[test]
fn components_are_audited() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path());
    deploy(&host, &demanding(folder.path(), "1.0.0"));
    let audit = host
        .cli(&[
            "components",
            "audit",
            "--uses",
            "import:mortise:plugin/log",
            "--json",
        ])
        .json();
    assert_eq!(
        (&audit[0]["tenant"], &audit[0]["plugin"]),
        (&"acme".into(), &"capabilities".into())
    );
    assert_eq!(
        (&audit[0]["active"], audit.as_array().unwrap().len()),
        (&true.into(), 1)
    );
    let table = host
        .cli(&["components", "audit", "--uses", "import:mortise:plugin/log"])
        .ok();
    assert!(
        table.starts_with("TENANT ") && table.contains("import:mortise:plugin/log"),
        "{table}"
    );
    assert_eq!(host.cli(&["components", "audit", "--json"]).json(), json!([]));
    let refused = host.cli(&["components", "audit", "--uses", "simd"]).fails(1);
    assert!(refused.contains("proposal:simd"), "{refused}");
}

#[test]
fn a_plugin_is_built_deployed_and_called() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path());
    let file = folder.path().join("out/hello.wasm");
    let file = file.to_str().unwrap();
    let build = [
        "build",
        HELLO_FOLDER,
        "--component",
        HELLO,
        "--out",
        file,
        "--json",
    ];
    let built = finish(&mut mortise(&build), "").json();
    assert_eq!(
        (&built["plugin"], &built["file"]),
        (&json!("hello"), &json!(file))
    );

    let public = format!("http://{}", host.public);
    let deployed = host
        .cli(&["deploy", file, "--tenant", "acme", "--public-url", &public])
        .ok();
    assert!(
        deployed.contains(&format!("{public}/acme/hello/hello/{{name}}")),
        "{deployed}"
    );
    let greeting = host.http().get("/acme/hello/hello/Ada").expect(200);
    assert_eq!(greeting, json!({ "message": "Hello, Ada!" }));

    let versions = host
        .cli(&["versions", "--tenant", "acme", "--plugin", "hello", "--json"])
        .json();
    assert_eq!(versions[0]["version"], built["digest"]);
}

#[test]
fn what_is_not_granted_is_listed_and_nothing_is_activated() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path());
    let file = demanding(folder.path(), "1.0.0");
    let refused = host
        .cli(&["deploy", file.to_str().unwrap(), "--tenant", "acme"])
        .fails(1);
    for wanted in [
        "error: uploaded, but not activated: the manifest asks for what acme has not granted",
        "  missing: plain text of the secret `token`",
        "hint: `--grant` grants exactly this",
    ] {
        assert!(refused.contains(wanted), "{refused}");
    }
    assert_eq!(host.http().get("/acme/capabilities/x").status, 404);

    deploy(&host, &file);
    assert_eq!(host.http().get("/acme/capabilities/x").status, 200);
    let granted = host.cli(&[&["grants", "show"], &OF[..]].concat()).json();
    let secrets = json!({ "use": [], "reveal": ["token"] });
    assert_eq!(
        granted,
        json!({ "database": false, "http": [], "secrets": secrets })
    );
}

#[test]
fn settings_secrets_and_keys_work_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path());
    deploy(&host, &demanding(folder.path(), "1.0.0"));
    let http = host.http();

    let set = [&["config", "set", "greeting=a=b", "mood=good"], &OF[..]].concat();
    host.cli(&set).ok();
    let setting = |key: &str| {
        http.post("/acme/capabilities/config", &json!({ "key": key }))
            .expect(200)
    };
    assert_eq!(
        (setting("greeting"), setting("mood")),
        (json!("a=b"), json!("good"))
    );
    host.cli(&[&["config", "unset", "mood"], &OF[..]].concat()).ok();
    assert_eq!(
        (setting("greeting"), setting("mood")),
        (json!("a=b"), json!(null))
    );

    let set = host.cli_with_input(&["secrets", "set", "token", "--tenant", "acme"], "hunter2\n");
    assert!(!format!("{set:?}").contains("hunter2"), "{set:?}");
    set.ok();
    let listed = host.cli(&["secrets", "list", "--tenant", "acme", "--json"]).ok();
    assert!(
        listed.contains("token") && !listed.contains("hunter2"),
        "{listed}"
    );
    let revealed = http.post("/acme/capabilities/secrets/reveal", &json!({ "name": "token" }));
    assert_eq!(
        revealed.expect(200),
        json!({ "ok": "hunter2" }),
        "without the end of the line"
    );
    let empty = host.cli_with_input(&["secrets", "set", "token", "--tenant", "acme"], "");
    assert!(empty.fails(1).contains("standard input holds no value"));

    let create = |scopes: &str| {
        let key = [
            "keys", "create", "ci", "--scopes", scopes, "--tenant", "acme", "--json",
        ];
        host.cli(&key).json()
    };
    let (key, other) = (create("context:read,x:y"), create("x:y"));
    let call = |key: &serde_json::Value| {
        let credential = key["credential"].as_str().unwrap();
        host.http()
            .bearer(credential)
            .get("/acme/capabilities/context")
            .status
    };
    assert_eq!((call(&key), call(&other)), (200, 403));
    host.cli(&["keys", "revoke", key["id"].as_str().unwrap(), "--tenant", "acme"])
        .ok();
    assert_eq!((call(&key), call(&other)), (401, 403));
    let listed = host.cli(&["keys", "list", "--tenant", "acme", "--json"]).ok();
    assert!(!listed.contains(key["credential"].as_str().unwrap()), "{listed}");
}

#[test]
fn the_version_before_comes_back() {
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
    assert_eq!(answering(), "2.0.0");
    host.cli(&[&["rollback"], &OF[..]].concat()).ok();
    assert_eq!(answering(), "1.0.0");
    let versions = host.cli(&[&["versions", "--json"], &OF[..]].concat()).json();
    let active: Vec<_> = versions
        .as_array()
        .unwrap()
        .iter()
        .filter(|version| version["active"] == true)
        .collect();
    assert_eq!((active.len(), &active[0]["author_version"]), (1, &json!("1.0.0")));
}

#[test]
fn logs_are_shown_and_followed() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path());
    deploy(&host, &demanding(folder.path(), "1.0.0"));
    let say = |message: &str| {
        let said = host
            .http()
            .post("/acme/capabilities/log", &json!({ "message": message }));
        assert_eq!(said.status, 200, "{}", said.text());
        said.headers["x-request-id"].to_str().unwrap().to_owned()
    };
    let first = say("the first line");
    let other = say("another line");
    let logs = |more: &[&str]| host.cli(&[&["logs", "--tenant", "acme"], more].concat()).ok();
    until(|| logs(&[]).contains("another line").then_some(()));
    let of_first = logs(&["--invocation", &first]);
    assert!(
        of_first.contains("INFO   capabilities  the first line  index=0"),
        "{of_first}"
    );
    assert_eq!(of_first.lines().count(), 1);
    assert_eq!(logs(&["--level", "warn"]), "");

    let follow = [
        "logs",
        "--follow",
        "--json",
        "--tenant",
        "acme",
        "--invocation",
        &other,
    ];
    let mut narrow = Process::spawn(&mut host.command(&follow));
    let mut follower = Process::spawn(&mut host.command(&["logs", "--follow", "--json", "--tenant", "acme"]));
    let mut lines = follower.stdout().lines().map(|line| {
        let line: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
        line["message"].clone()
    });
    assert_eq!(lines.next().unwrap(), "the first line");
    assert_eq!(lines.next().unwrap(), "another line");
    let mut only = narrow.stdout().lines();
    assert!(only.next().unwrap().unwrap().contains("another line"));
    say("a line that came later");
    assert_eq!(lines.next().unwrap(), "a line that came later");
    host.stop();
    assert_eq!(lines.next(), None);
    assert!(only.next().is_none(), "lines of other invocations are not shown");
}

#[test]
fn errors_say_what_to_do_and_have_their_exit_codes() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path());

    let nobody = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let nobody = format!("http://{nobody}");
    let said = finish(&mut mortise(&["tenants", "list", "--host", &nobody]), "").fails(1);
    assert!(
        said.starts_with(&format!("error: cannot reach the host at {nobody}/: ")),
        "{said}"
    );
    assert!(said.contains("hint: start it with `mortise serve`"), "{said}");

    let admin = format!("http://{}", host.admin);
    let token = folder.path().join("wrong.token");
    std::fs::write(&token, "not a token").unwrap();
    let wrong = [
        "tenants",
        "list",
        "--host",
        &admin,
        "--token-file",
        token.to_str().unwrap(),
    ];
    let said = finish(&mut mortise(&wrong), "").fails(1);
    assert!(
        said.contains("(unauthenticated, request ") && said.contains("hint: pass a token"),
        "{said}"
    );

    let public = format!("http://{}", host.public);
    let said = finish(&mut mortise(&["tenants", "list", "--host", &public]), "").fails(1);
    assert!(said.starts_with("error: "), "{said}");

    let said = host.cli(&["tenants", "show", "nobody"]).fails(1);
    assert!(
        said.contains("(not-found, request ") && said.contains("hint: `mortise tenants list`"),
        "{said}"
    );
    let said = host
        .cli(&["deploy", "/nowhere.wasm", "--tenant", "acme"])
        .fails(1);
    assert!(said.starts_with("error: cannot read /nowhere.wasm: "), "{said}");
    let said = host.cli(&["deploy", HELLO, "--tenant", "acme"]).fails(1);
    assert!(
        said.contains("hint: `mortise build <folder> --component <file.wasm>`"),
        "{said}"
    );

    for wrong in [
        &["tenants"][..],
        &["tenants", "lst"],
        &["keys", "create", "ci", "--tenant", "acme"],
    ] {
        let said = host.cli(wrong).fails(2);
        assert!(said.contains("Usage: mortise"), "{said}");
    }
    assert!(
        finish(&mut mortise(&["--version"]), "")
            .ok()
            .starts_with("mortise ")
    );
}
