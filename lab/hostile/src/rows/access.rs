//! H: attacks on authentication and authorization.

use anyhow::{Context as _, Result, ensure};
use rig::clock::within;
use rig::guest::Recipe;
use rig::http::Http;
use serde_json::{Value, json};

use crate::catalogue::{Row, Seen};
use crate::stage::Stage;

pub const ROWS: [Row; 5] = [
    Row {
        id: "H4",
        tried: "API keys: in the database, in addresses, guessed, cut",
        run: h4,
    },
    Row {
        id: "H6",
        tried: "every operation of the admin API on another tenant, by every role",
        run: h6,
    },
    Row {
        id: "H7",
        tried: "members that are not the caller's to set",
        run: h7,
    },
    Row {
        id: "H8",
        tried: "credentials, plugins and tenants that are no more, with warm caches",
        run: h8,
    },
    Row {
        id: "H10",
        tried: "every kind of failure, for what its answer tells",
        run: h10,
    },
];

const PRIVATE: &str = "['api-key']";

fn h4(stage: &Stage) -> Seen {
    let host = stage.plain()?;
    let tenant = host.tenant("h4")?;
    tenant.deploy(
        &Recipe::of(test_artifacts::ECHO)?
            .route("GET", "/private", PRIVATE)
            .guest(),
    )?;
    let (_, key) = tenant.key(&[])?;
    let ask = |client: Http, path: &str| client.get(&format!("/{}/echo{path}", tenant.name));
    ask(host.http().bearer(&key), "/private")?.is("200")?;
    ask(host.http().header("x-api-key", &key), "/private")?.is("200")?;
    let last = if key.ends_with('A') { "B" } else { "A" };
    let (cut, forged) = (&key[..key.len() - 1], format!("{}{last}", &key[..key.len() - 1]));
    for (name, client, path) in [
        ("none", host.http(), "/private".to_owned()),
        (
            "in the address",
            host.http(),
            format!("/private?api_key={key}&x-api-key={key}&access_token={key}"),
        ),
        ("cut", host.http().bearer(cut), "/private".to_owned()),
        ("forged", host.http().bearer(&forged), "/private".to_owned()),
        (
            "empty",
            host.http().header("x-api-key", ""),
            "/private".to_owned(),
        ),
        (
            "basic",
            host.http().header("authorization", &format!("Basic {key}")),
            "/private".to_owned(),
        ),
        (
            "a cookie",
            host.http().header("cookie", &format!("api_key={key}")),
            "/private".to_owned(),
        ),
    ] {
        ask(client, &path)?.is("401 unauthenticated").context(name)?;
    }
    let secret = key.rsplit(['_', '.']).next().unwrap_or(&key);
    for file in ["mortise.db", "mortise.db-wal"] {
        let bytes = std::fs::read(host.data().join(file)).unwrap_or_default();
        let found = bytes
            .windows(secret.len())
            .any(|window| window == secret.as_bytes());
        ensure!(!found, "the key stands in {file}");
    }
    ensure!(!host.log().contains(secret), "the key stands in the log");
    let echoed = ask(host.http().bearer(&key), "/private")?.text();
    ensure!(!echoed.contains(secret), "the plugin saw the key");
    Ok("7 of 7 ways refused; neither the database nor the log nor the plugin has it".to_owned())
}

fn h6(stage: &Stage) -> Seen {
    let host = stage.plain()?;
    let (mine, theirs) = (host.tenant("h6-mine")?, host.tenant("h6-theirs")?);
    theirs.deploy(&stage.guests.echo)?;
    let version = theirs.deploy(&stage.guests.echo)?;
    theirs.secret("secret", "x")?;
    let (key, _) = theirs.key(&[])?;
    let reply = theirs.get("echo", "/x")?;
    let invocation = theirs.record(&reply)?["id"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let document = host.admin().get("/api/v1/openapi.json")?.ok()?;
    let mut compared = 0;
    for role in ["viewer", "developer", "owner"] {
        let person = mine.person(role)?;
        for (path, operations) in document["paths"].as_object().context("paths")? {
            if !path.contains("{tenant}") {
                continue;
            }
            let address = |tenant: &str| {
                path.replace("{tenant}", tenant)
                    .replace("{plugin}", "echo")
                    .replace("{version}", &version)
                    .replace("{api_key}", &key)
                    .replace("{invocation}", &invocation)
                    .replace("{name}", "secret")
                    .replace("{token}", &key)
                    .replace("{id}", &invocation)
                    .replace("{job}", "job")
                    .replace("{schedule}", "schedule")
            };
            for method in operations.as_object().context("operations")?.keys() {
                let method = method.to_uppercase();
                let ask = |tenant: &str| -> Result<(u16, Value)> {
                    let body = (method != "GET").then_some(("application/json", b"{}".as_slice()));
                    let reply = person.send(&method, &address(tenant), body)?;
                    let mut body = reply.body().unwrap_or_default();
                    if let Some(members) = body.as_object_mut() {
                        members.remove("request_id");
                    }
                    Ok((reply.status, body))
                };
                let (there, absent) = (ask(&theirs.name)?, ask("h6-nowhere")?);
                ensure!(there.0 == 404, "{role}: {method} {path}: {there:?}");
                ensure!(
                    there == absent,
                    "{role}: {method} {path}: {there:?} is not {absent:?}"
                );
                compared += 1;
            }
        }
    }
    ensure!(compared >= 60, "only {compared} operations were found");
    theirs
        .get("echo", "/x")?
        .is("200")
        .context("they are as they were")?;
    Ok(format!(
        "{compared} of {compared} answered 404, like a tenant that is not there"
    ))
}

fn h7(stage: &Stage) -> Seen {
    let host = stage.plain()?;
    let (tenant, other) = (host.tenant("h7")?, host.tenant("h7-other")?);
    tenant.deploy(&stage.guests.echo)?;
    let (owner, developer) = (tenant.person("owner")?, tenant.person("developer")?);
    let mut refused = 0;
    for (who, person) in [("owner", &owner), ("developer", &developer)] {
        for (method, path, body) in [
            (
                "PATCH",
                tenant.path(""),
                json!({ "limits": { "memory": "1GiB" } }),
            ),
            ("PATCH", tenant.path(""), json!({ "plan": "unlimited" })),
            ("PATCH", tenant.path(""), json!({ "suspended": false })),
            (
                "POST",
                tenant.path("/tokens"),
                json!({ "name": "x", "role": "operator" }),
            ),
            (
                "POST",
                tenant.path("/tokens"),
                json!({ "name": "x", "role": "owner", "tenant": other.name }),
            ),
            (
                "POST",
                tenant.path("/api-keys"),
                json!({ "name": "x", "scopes": [], "tenant": other.name }),
            ),
            (
                "POST",
                tenant.path("/api-keys"),
                json!({ "name": "x", "scopes": [], "id": "1", "hash": "x" }),
            ),
            (
                "PATCH",
                tenant.path("/plugins/echo"),
                json!({ "tenant_id": "x", "active": "x" }),
            ),
            ("POST", "/api/v1/tokens".to_owned(), json!({ "name": "x" })),
            (
                "POST",
                "/api/v1/tenants".to_owned(),
                json!({ "name": "x", "id": "x" }),
            ),
            (
                "PUT",
                "/api/v1/plans/standard".to_owned(),
                json!({ "memory": "1GiB" }),
            ),
        ] {
            let reply = person.json(method, &path, &body)?;
            ensure!(
                (400..500).contains(&reply.status),
                "{who}: {method} {path} {body}: {}",
                reply.text()
            );
            refused += 1;
        }
    }
    for body in [
        json!({ "limits": { "memroy": "1MiB" } }),
        json!({ "id": "x" }),
        json!({ "limits": { "cpu": -1 } }),
    ] {
        let reply = host.admin().json("PATCH", &tenant.path(""), &body)?;
        ensure!(
            (400..500).contains(&reply.status),
            "the operator: {body}: {}",
            reply.text()
        );
        refused += 1;
    }
    Ok(format!("{refused} of {refused} refused"))
}

fn h8(stage: &Stage) -> Seen {
    const SOON: std::time::Duration = std::time::Duration::from_secs(5);
    let host = stage.plain()?;
    let mut tenant = host.tenant("h8")?;
    tenant.deploy(
        &Recipe::of(test_artifacts::ECHO)?
            .route("GET", "/private", PRIVATE)
            .guest(),
    )?;
    let (id, key) = tenant.key(&[])?;
    let person = tenant.person("owner")?;
    let name = tenant.name.clone();
    let ask = |client: &Http| client.get(&format!("/{name}/echo/private"));
    let holder = host.http().bearer(&key);
    for _ in 0..20 {
        ask(&holder)?.is("200")?;
    }
    let soon = |wanted: &str, ask: &dyn Fn() -> Result<rig::http::Reply>| {
        within(SOON, wanted, || Ok((ask()?.seen() == wanted).then_some(())))
    };
    host.admin()
        .send("DELETE", &tenant.path(&format!("/api-keys/{id}")), None)?
        .ok()?;
    soon("401 unauthenticated", &|| ask(&holder))?;
    let (_, key) = tenant.key(&[])?;
    let holder = host.http().bearer(&key);
    ask(&holder)?.is("200")?;
    host.admin()
        .json(
            "PATCH",
            &tenant.path("/plugins/echo"),
            &json!({ "disabled": true }),
        )?
        .ok()?;
    soon("503 plugin-suspended", &|| ask(&holder))?;
    host.admin()
        .json(
            "PATCH",
            &tenant.path("/plugins/echo"),
            &json!({ "disabled": false }),
        )?
        .ok()?;
    soon("200", &|| ask(&holder))?;
    host.admin()
        .json("PATCH", &tenant.path(""), &json!({ "suspended": true }))?
        .ok()?;
    soon("503 plugin-suspended", &|| ask(&holder))?;
    host.admin()
        .json("PATCH", &tenant.path(""), &json!({ "suspended": false }))?
        .ok()?;
    let here = tenant.path("");
    person.get(&here)?.is("200")?;
    tenant.delete()?;
    soon("404 not-found", &|| ask(&holder))?;
    soon("401 unauthenticated", &|| person.get(&here))?;
    Ok("key, plugin, tenant and token refused at once".to_owned())
}

/// Internal texts that no caller may see.
const INTERNALS: [&str; 14] = [
    "/tmp",
    "/work",
    "/home",
    "/root",
    ".rs",
    "panicked",
    "backtrace",
    "rusqlite",
    "sqlx",
    "SQLITE",
    "wasmtime",
    "wasm function",
    "tokio",
    "SELECT ",
];

fn h10(stage: &Stage) -> Seen {
    let host = stage.fresh(&stage.launch())?;
    let tenant = host.tenant("h10")?.keep();
    tenant.deploy(&stage.guests.faults)?;
    let mut answers = Vec::new();
    for path in [
        "/trap",
        "/panic",
        "/loop",
        "/recursion",
        "/memory",
        "/status",
        "/header",
        "/channels",
    ] {
        answers.push(tenant.get("faults", path)?);
    }
    answers.push(tenant.upload("faults", b"\0asm\x0d\0\x01\0nonsense")?);
    answers.push(host.admin().get("/api/v1/tenants/nobody")?);
    answers.push(host.admin().get("/api/v1/tenants?cursor=nonsense")?);
    answers.push(
        host.admin()
            .post("/api/v1/tenants", &json!({ "name": "'; DROP TABLE tenants; --" }))?,
    );
    answers.push(host.admin().send(
        "POST",
        "/api/v1/tenants",
        Some(("application/json", b"{\"name\":")),
    )?);
    let folder = host.stop()?;
    // There is nothing to run and nothing to compile, which is a fault of the host.
    for kind in ["compiled", "components"] {
        for file in std::fs::read_dir(folder.path().join(kind))?.flatten() {
            std::fs::remove_file(file.path())?;
        }
    }
    let host = stage.launch().start_on(folder)?;
    let internal = host.known("h10").get("faults", "/fine")?;
    ensure!(internal.status >= 500, "{}", internal.seen());
    answers.push(internal.clone());
    // The control plane's database is replaced by a folder, which cannot be read.
    for file in ["mortise.db", "mortise.db-wal", "mortise.db-shm"] {
        let _ = std::fs::remove_file(host.data().join(file));
    }
    answers.push(host.admin().get("/api/v1/tenants/h10")?);
    for answer in &answers {
        let text = answer.text();
        let leak = INTERNALS.iter().find(|piece| text.contains(*piece));
        ensure!(leak.is_none(), "{leak:?} in {text}");
        ensure!(
            answer.status < 400 || answer.body()?["request_id"].is_string(),
            "no id: {text}"
        );
    }
    Ok(format!(
        "{} answers, {} among them, without a word of the inside",
        answers.len(),
        internal.seen()
    ))
}
