//! Tests of a temporarily full disk: writes fail with a typed error, reads work, and afterwards
//! everything works without a restart.
//!
//! The full disk is simulated: no file of the process may grow beyond a size (`RLIMIT_FSIZE`).

use rustix::process::{Resource, Rlimit, prlimit};
use serde_json::{Value, json};
use test_artifacts::DATABASE;

use super::host::{HostProcess, serve, until};
use super::http::Http;
use crate::shared::{bundled, open_manifest};

const TENANT: &str = "/api/v1/tenants/acme";

/// A host in which a write beyond the limit fails instead of ending the process.
fn host(data: &std::path::Path) -> HostProcess {
    let mut command = std::process::Command::new("/bin/sh");
    let inner = serve(data);
    command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]);
    command.arg(inner.get_program()).args(inner.get_args());
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => drop(command.env(name, value)),
            None => drop(command.env_remove(name)),
        }
    }
    HostProcess::start_command(&mut command)
}

/// Limits the size of the host's files to `bytes`.
fn limit_files(host: &HostProcess, bytes: Option<u64>) {
    let limit = Rlimit {
        current: bytes,
        maximum: None,
    };
    prlimit(Some(host.pid()), Resource::Fsize, limit).unwrap();
}

fn deploy(operator: &Http) {
    operator
        .post("/api/v1/tenants", &json!({ "name": "acme" }))
        .expect(201);
    let manifest = open_manifest("db", "[database]\nmigrations = 'migrations'\n");
    let tables = (
        "migrations/0001_tables.sql",
        "CREATE TABLE item (id INTEGER PRIMARY KEY, text TEXT);",
    );
    let component = bundled(DATABASE, &manifest, &[tables]);
    let plugin = format!("{TENANT}/plugins/db");
    let upload = operator.send(
        "POST",
        &format!("{plugin}/versions"),
        Some(("application/wasm", &component)),
    );
    let version = upload.unwrap().expect(201)["version"].clone();
    let granted = operator.json("PUT", &format!("{plugin}/grants"), &json!({ "database": true }));
    assert_eq!(granted.status, 200, "{}", granted.text());
    let active = operator.json(
        "PUT",
        &format!("{plugin}/activation"),
        &json!({ "version": version }),
    );
    assert_eq!(active.status, 200, "{}", active.text());
}

fn sql(host: &HostProcess, path: &str, sql: &str, text: &str) -> Value {
    let params: Vec<&str> = Some(text).filter(|text| !text.is_empty()).into_iter().collect();
    let body = json!({ "sql": sql, "params": params });
    host.http().post(&format!("/acme/db/{path}"), &body).expect(200)
}

fn insert(host: &HostProcess) -> Value {
    sql(
        host,
        "execute",
        "INSERT INTO item (text) VALUES ($1)",
        &"x".repeat(100_000),
    )
}

fn count(host: &HostProcess) -> Value {
    sql(host, "query", "SELECT count(*) FROM item", "")["ok"]["rows"][0][0].clone()
}

#[test]
fn everything_works_again_after_the_disk_was_full() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path());
    let operator = host.operator();
    deploy(&operator);
    assert!(insert(&host)["ok"].is_number());
    let before = count(&host);

    limit_files(&host, Some(4_096));
    // Each kind of write fails repeatedly.
    let mut recorded = Vec::new();
    for round in 0..3 {
        let name = json!({ "name": format!("full-{round}") });
        let refused = operator.post("/api/v1/tenants", &name);
        assert_eq!(refused.status, 503, "{}", refused.text());
        assert_eq!(refused.body()["code"], "unavailable");
        let key = json!({ "name": "full", "scopes": ["x".repeat(5_000)] });
        let refused = operator.post(&format!("{TENANT}/api-keys"), &key);
        assert!(refused.status >= 400, "{}", refused.text());
        assert!(insert(&host)["error"].is_string());
        let reply = host
            .http()
            .post("/acme/db/query", &json!({ "sql": "SELECT 1", "params": [] }));
        assert_eq!(reply.status, 200, "{}", reply.text());
        recorded.push(reply.headers["x-request-id"].to_str().unwrap().to_owned());
        // Reads still work.
        assert_eq!(count(&host), before);
        assert_eq!(operator.get(TENANT).status, 200);
    }
    until(|| host.log().contains("the ledger tries again").then_some(()));

    limit_files(&host, None);
    until(|| {
        let made = operator.post("/api/v1/tenants", &json!({ "name": "after" }));
        (made.status == 201).then_some(())
    });
    let key = json!({ "name": "after", "scopes": ["orders:read"] });
    operator.post(&format!("{TENANT}/api-keys"), &key).expect(201);
    until(|| insert(&host)["ok"].is_number().then_some(()));
    // Records that could not be written were kept in memory and are written now.
    for id in recorded {
        let path = format!("{TENANT}/invocations/{id}");
        until(|| (operator.get(&path).status == 200).then_some(()));
    }
    let ledger = operator.get("/api/v1/node").expect(200)["ledger"].clone();
    assert_eq!((&ledger["lost"], &ledger["dropped"]), (&json!(0), &json!(0)));
    host.stop();
}
