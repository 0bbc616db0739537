//! Tests of the command line with a running host.

use std::path::{Path, PathBuf};

use serde_json::json;
use test_artifacts::{CAPABILITIES, HELLO};

use super::host::{HostProcess, finish, mortise};
use crate::shared::{bundled, open_manifest};

const HELLO_FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../plugins/hello");

/// A manifest with a route for API keys, and a secret that must be granted.
pub const DEMANDING: &str = "
[[route]]
method = 'GET'
path = '/context'
auth = ['api-key']
scopes = ['context:read']

[secrets]
reveal = ['token']
";

/// A host with the tenant `acme`.
pub fn host(data: &Path) -> HostProcess {
    let host = HostProcess::start(data);
    host.cli(&["tenants", "create", "acme"]).ok();
    host
}

/// Writes a version of the guest that calls every capability.
pub fn demanding(folder: &Path, version: &str) -> PathBuf {
    let file = folder.join(format!("capabilities-{version}.wasm"));
    let manifest = open_manifest("capabilities", DEMANDING).replace("1.0.0", version);
    std::fs::write(&file, bundled(CAPABILITIES, &manifest, &[])).unwrap();
    file
}

pub fn deploy(host: &HostProcess, file: &Path) {
    let file = file.to_str().unwrap();
    host.cli(&["deploy", file, "--tenant", "acme", "--grant"]).ok();
}

/// The common arguments of the commands for the plugin.
pub const OF: [&str; 4] = ["--tenant", "acme", "--plugin", "capabilities"];

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
fn the_audit_log_of_a_purged_tenant_is_read_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path());
    let made = host.cli(&["tenants", "create", "umbrella", "--json"]).json();
    host.cli(&[
        "tenants",
        "delete",
        "umbrella",
        "--confirm",
        "umbrella",
        "--purge",
    ])
    .ok();
    for name in ["umbrella", made["id"].as_str().unwrap()] {
        let audit = host.cli(&["audit", "--tenant", name]).ok();
        assert!(
            audit.contains("tenant.purge") && audit.contains("plan=standard"),
            "{audit}"
        );
        // A filter that matches nothing does not make the tenant unknown.
        let none = ["audit", "--tenant", name, "--action", "x", "--json"];
        assert_eq!(host.cli(&none).json(), json!([]));
    }
    let said = host.cli(&["audit", "--tenant", "nobody"]).fails(1);
    assert!(said.contains("there is no such tenant (not-found"), "{said}");
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

    // The host prints its URL.
    let deployed = host.cli(&["deploy", file, "--tenant", "acme"]).ok();
    assert!(
        deployed.contains(&format!("http://{}/acme/hello/hello/{{name}}", host.public)),
        "{deployed}"
    );
    let url = "https://api.example.com/";
    let deployed = host
        .cli(&["deploy", file, "--tenant", "acme", "--public-url", url])
        .ok();
    assert!(
        deployed.contains("https://api.example.com/acme/hello/echo"),
        "{deployed}"
    );
    let greeting = host.http().get("/acme/hello/hello/Ada").expect(200);
    assert_eq!(greeting, json!({ "message": "Hello, Ada!" }));

    let versions = host
        .cli(&[
            "versions", "list", "--tenant", "acme", "--plugin", "hello", "--json",
        ])
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
        "hint: `--grant` grants exactly this; it takes the token of an owner",
        "stays, and is not active; once everything is granted, `mortise versions activate sha256:",
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
    let nothing = folder.path().join("nothing.json");
    std::fs::write(&nothing, "{}").unwrap();
    let put = host.cli(&[&["grants", "put", nothing.to_str().unwrap()], &OF[..]].concat());
    assert!(
        put.status.success() && put.stderr.contains("missing: plain text of the secret `token`"),
        "{put:?}"
    );
}

#[test]
fn settings_secrets_and_keys_work_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path());
    deploy(&host, &demanding(folder.path(), "1.0.0"));
    let http = host.http();

    let none = host.cli(&[&["config", "list"], &OF[..]].concat());
    assert!(
        none.status.success() && none.stderr.contains("nothing there"),
        "{none:?}"
    );
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
    let of_unset = ["audit", "--tenant", "acme", "--action", "config.delete", "--json"];
    let entries = host.cli(&of_unset).json();
    assert_eq!(entries[0]["before"], json!({ "mood": "set" }), "{entries}");
    let said = host
        .cli(&[&["config", "unset", "gretting"], &OF[..]].concat())
        .fails(1);
    assert!(
        said.contains("`gretting` is not set") && said.contains("hint: set are greeting"),
        "{said}"
    );
    let said = host
        .cli(&[&["config", "set", "Bad Key=1"], &OF[..]].concat())
        .fails(1);
    assert!(said.contains("is not the name of a setting"), "{said}");
    let set = [&["config", "set", "chat_url=x"], &OF[..]].concat();
    assert!(host.cli(&set).ok().contains("chat_url  x"));

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
    assert!(
        said.contains("this is another listener of a Mortise host, not the admin one"),
        "{said}"
    );
    assert!(
        said.contains("hint: --host must be the address of the admin listener"),
        "{said}"
    );

    let said = host.cli(&["tenants", "show", "nobody"]).fails(1);
    assert!(
        said.contains("(not-found, request ") && said.contains("hint: `mortise whoami`"),
        "{said}"
    );
    let said = host.cli(&["tenants", "show", "nobody", "--json"]).fails(1);
    let error: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(error["error"], "there is no such tenant");
    assert_eq!(
        (&error["code"], &error["status"]),
        (&json!("not-found"), &json!(404))
    );
    assert!(
        error["hint"].as_str().unwrap().contains("mortise tenants list"),
        "{error}"
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

#[test]
fn every_list_of_the_admin_api_has_a_command() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path());
    deploy(&host, &demanding(folder.path(), "1.0.0"));
    let called = host.http().get("/acme/capabilities/config");
    let id = called.headers["x-request-id"].to_str().unwrap().to_owned();
    let acme = |arguments: &[&str]| host.cli(&[arguments, &["--tenant", "acme"]].concat());

    let list = acme(&[
        "invocations",
        "list",
        "--plugin",
        "capabilities",
        "--since",
        "5min",
    ])
    .ok();
    assert!(list.starts_with("STARTED ") && list.contains(&id), "{list}");
    let shown = acme(&["invocations", "show", &id]).ok();
    assert!(shown.contains("usage.cpu_us"), "{shown}");
    assert!(
        acme(&["invocations", "list", "--failed", "--json"])
            .json()
            .is_array()
    );
    let usage = acme(&["usage"]).ok();
    assert!(
        usage.contains("capabilities") && usage.contains("kept.records"),
        "{usage}"
    );
    let calls = acme(&["plugins", "calls", "--plugin", "capabilities"]).ok();
    assert!(calls.starts_with("DAY ") && calls.contains("FAILURES"), "{calls}");
    let table = acme(&["audit", "--limit", "3"]).ok();
    let columns: Vec<&str> = table.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(
        columns,
        ["AT", "WHO", "TENANT", "ACTION", "SUBJECT", "BEFORE", "AFTER"]
    );
    assert!(
        table.contains("  acme  ") && table.contains("secrets.reveal=[\"token\"]"),
        "{table}"
    );
    let audit = acme(&["audit", "--limit", "2", "--json"]).json();
    assert_eq!(audit[0]["action"], "plugin.activate");
    assert_eq!(audit.as_array().unwrap().len(), 2);
    assert!(host.cli(&["audit"]).status.success());
    assert!(host.cli(&["whoami"]).ok().contains("operator"));

    let set = host
        .cli(&["plans", "set", "large", "memory=128MiB", "queue=200", "--json"])
        .json();
    assert_eq!(set["limits"], json!({ "memory": "128MiB", "queue": 200 }));
    let set = host
        .cli(&["plans", "set", "large", "cpu=100ms", "--unset", "queue", "--json"])
        .json();
    assert_eq!(set["limits"], json!({ "memory": "128MiB", "cpu": "100ms" }));
    let empty = host.cli(&["plans", "set", "empty", "--json"]).json();
    assert_eq!(empty["limits"], json!({}));
    host.cli(&["plans", "delete", "empty"]).ok();
    let said = host.cli(&["plans", "delete", "standard"]).fails(1);
    assert!(said.contains("hint: change its limits instead"), "{said}");
    let moved = host
        .cli(&["tenants", "set-plan", "acme", "large", "--json"])
        .json();
    assert_eq!(moved["plan"], "large");
    let limited = acme(&["limits", "set", "sql_rows=7", "--json"]).json();
    assert_eq!(limited["limits"], json!({ "sql_rows": 7 }));
    let said = acme(&["limits", "set", "--unset", "sql_row"]).fails(1);
    assert!(said.contains("hint: overridden limits: sql_rows"), "{said}");
    let shown = acme(&["limits", "show", "--plugin", "capabilities"]).ok();
    assert!(
        shown.starts_with("FUNCTION ") && shown.contains("sql_rows"),
        "{shown}"
    );
    let said = acme(&["limits", "set"]).fails(2);
    assert!(said.contains("no limit is named"), "{said}");

    let key = acme(&[
        "keys",
        "create",
        "ci",
        "--scopes",
        "*",
        "--expires",
        "30d",
        "--json",
    ])
    .json();
    assert!(key["expires_at"].is_string(), "{key}");
    let said = host.cli(&["tokens", "create", "x", "--tenant", "acme"]).fails(2);
    assert!(said.contains("--operator"), "{said}");
    let said = acme(&["plugins", "delete", "--plugin", "capabilities"]).fails(2);
    assert!(said.contains("--confirm <NAME>"), "{said}");
    let said = acme(&["plugins", "delete", "--plugin", "capabilities", "--confirm", "x"]).fails(1);
    assert!(said.contains("does not match the name"), "{said}");
    let script = finish(&mut mortise(&["completions", "bash"]), "").ok();
    assert!(script.contains("invocations"), "{script}");
}
