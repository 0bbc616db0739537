//! L9 to L18: attacks with which one caller once took resources of all others, and starts that
//! destroyed data.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use load::{Call, ClosedLoop};
use rig::clock::{now, pass, spoken, until};
use rig::guest::Recipe;
use rig::wire::{Wire, status};
use serde_json::json;

use super::egress::{send, sender};
use super::faults::beside_the_good_tenant;
use super::guest::attacker;
use crate::catalogue::{Row, Seen};
use crate::stage::{Stage, at_once};

pub const ROWS: [Row; 8] = [
    Row {
        id: "L9",
        tried: "165 bodies that never come, beside requests of the same tenant",
        run: l9,
    },
    Row {
        id: "L10",
        tried: "protected paths in every spelling",
        run: l10,
    },
    Row {
        id: "L12",
        tried: "a disk without room for a while",
        run: l12,
    },
    Row {
        id: "L13",
        tried: "wrong keys at full speed, beside a valid one",
        run: l13,
    },
    Row {
        id: "L14",
        tried: "24 uploads that never end, beside another tenant's",
        run: l14,
    },
    Row {
        id: "L15",
        tried: "120 followers of one viewer, beside the operator",
        run: l15,
    },
    Row {
        id: "L17",
        tried: "servers that send heads, chunks and trailers without end",
        run: l17,
    },
    Row {
        id: "L18",
        tried: "starts with an empty, a cut and no control database",
        run: l18,
    },
];

fn l9(stage: &Stage) -> Seen {
    let host = stage.plain()?;
    let tenant = attacker(stage, "l9", &stage.guests.echo)?;
    let mut wires = Vec::new();
    for _ in 0..165 {
        let mut wire = Wire::connect(host.public)?;
        wire.send(format!(
            "POST /{}/echo/x HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nx",
            tenant.name
        ));
        wires.push(wire);
    }
    pass(Duration::from_millis(300));
    let (asked, mut served) = (100, 0);
    for _ in 0..asked {
        served += usize::from(tenant.get("echo", "/y")?.status == 200);
    }
    ensure!(
        served == asked,
        "{served} of {asked} requests of the same tenant served"
    );
    let mut ended = 0;
    for wire in wires {
        let answer = String::from_utf8_lossy(&wire.rest()?).into_owned();
        ensure!(
            answer.is_empty() || status(&answer).is_some_and(|status| status >= 400 && status != 500),
            "{answer}"
        );
        ended += 1;
    }
    Ok(format!(
        "{served} of {asked} served beside 165 slow bodies; {ended} of those ended"
    ))
}

fn l10(stage: &Stage) -> Seen {
    let host = stage.plain()?;
    let tenant = host.tenant("l10")?;
    let guest = Recipe::of(test_artifacts::ECHO)?
        .route("GET", "/admin/{*rest}", "['api-key']")
        .route("GET", "/u/me", "['api-key']")
        .route("GET", "/u/{id}", "'public'")
        .guest();
    tenant.deploy(&guest)?;
    let spell = |text: &str, mask: usize| -> String {
        let spelled = text
            .bytes()
            .enumerate()
            .map(|(at, byte)| match mask >> (at % 12) & 1 {
                1 if byte != b'/' => format!("%{byte:02x}"),
                _ => char::from(byte).to_string(),
            });
        spelled.collect()
    };
    let mut tried = 0;
    for path in ["admin/x", "admin/secret/x", "u/me"] {
        for mask in 0..stage.scaled(64, 4_096) {
            let path = format!("/{}", spell(path, mask));
            tenant
                .get("echo", &path)?
                .is("401 unauthenticated")
                .with_context(|| path.clone())?;
            tried += 1;
        }
    }
    let other = tenant.get("echo", "/u/%6d%65%65")?.is("200")?.body()?;
    ensure!(other["params"] == json!([["id", "mee"]]), "{other}");
    Ok(format!(
        "{tried} spellings of three protected paths: 401 for each"
    ))
}

fn l12(stage: &Stage) -> Seen {
    // A write beyond the limit must fail, as on a full disk, and not end the process.
    let folder = tempfile::tempdir()?;
    let script = folder.path().join("mortise");
    let text = format!(
        "#!/bin/sh\ntrap '' XFSZ\nexec '{}' \"$@\"\n",
        stage.executable().display()
    );
    std::fs::write(&script, text)?;
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let host = stage.fresh(&stage.launch().executable(&script))?;
    let tenant = host.tenant("l12")?.keep();
    tenant.deploy(&stage.guests.echo)?;
    // The write-ahead log cannot grow, so every write of the control plane fails, as on a full
    // disk.
    let process = i32::try_from(host.id())
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    let limit = |current: Option<u64>| {
        let limit = rustix::process::Rlimit {
            current,
            maximum: None,
        };
        rustix::process::prlimit(process, rustix::process::Resource::Fsize, limit)
    };
    let before = limit(Some(1))?;
    for _ in 0..200 {
        tenant.get("echo", "/x")?.is("200")?;
    }
    pass(Duration::from_millis(500));
    limit(before.current)?;
    let written = || -> Result<u64> {
        Ok(host.admin().get("/api/v1/node")?.ok()?["ledger"]["written"]
            .as_u64()
            .unwrap_or(0))
    };
    let begin = written()?;
    let reply = tenant.get("echo", "/after")?.is("200")?;
    until("records after the disk has room again", || {
        Ok((written()? > begin && tenant.record(&reply).is_ok()).then_some(()))
    })?;
    host.stop()?;
    Ok("records are written again as soon as there is room".to_owned())
}

fn l13(stage: &Stage) -> Seen {
    let host = stage.plain()?;
    let tenant = host.tenant("l13")?;
    tenant.limit(&json!({ "requests_per_second": 50, "request_burst": 60 }))?;
    let guest = Recipe::of(test_artifacts::ECHO)?
        .route("GET", "/private", "['api-key']")
        .guest();
    tenant.deploy(&guest)?;
    let (_, key) = tenant.key(&[])?;
    let path = format!("/{}/echo/private", tenant.name);
    let flood = Call::get(host.public, &path).header("authorization", "Bearer wrong");
    let flood = ClosedLoop::new(flood, 2, Duration::from_secs(stage.scaled(3, 8))).start()?;
    pass(Duration::from_millis(500));
    let mut served = 0;
    for _ in 0..40 {
        served += usize::from(host.http().bearer(&key).get(&path)?.status == 200);
        pass(Duration::from_millis(30));
    }
    let report = flood.stop();
    let refused = report.responses(|status| status == 401 || status == 429);
    ensure!(
        served == 40,
        "{served} of 40 with a valid key served beside {refused} refusals"
    );
    Ok(format!(
        "40 of 40 with a valid key served beside {refused} guesses"
    ))
}

fn l14(stage: &Stage) -> Seen {
    let host = stage.plain()?;
    let slow = host.tenant("l14-slow")?;
    let other = host.tenant("l14-other")?;
    let made = host
        .admin()
        .post(
            &slow.path("/tokens"),
            &json!({ "name": "slow", "role": "developer" }),
        )?
        .ok()?;
    let credential = made["credential"]
        .as_str()
        .context("a credential")?
        .trim()
        .to_owned();
    let mut wires = Vec::new();
    for number in 0..24 {
        let mut wire = Wire::connect(host.admin)?;
        wire.send(format!(
            "POST {} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {credential}\r\ncontent-type: application/wasm\r\n\
             content-length: 100000\r\n\r\n\0asm",
            slow.path(&format!("/plugins/p{number}/versions"))
        ));
        wires.push(wire);
    }
    pass(Duration::from_millis(300));
    let begin = now();
    for _ in 0..3 {
        other
            .upload("echo", &stage.guests.echo.component)?
            .is("201|200")?;
    }
    let took = begin.elapsed();
    drop(wires);
    ensure!(took < Duration::from_secs(30), "it took {took:?}");
    Ok(format!(
        "3 uploads of another tenant in {} beside 24 slow ones",
        spoken(took)
    ))
}

fn l15(stage: &Stage) -> Seen {
    let host = stage.plain()?;
    let viewer = host.tenant("l15")?;
    let made = host
        .admin()
        .post(
            &viewer.path("/tokens"),
            &json!({ "name": "viewer", "role": "viewer" }),
        )?
        .ok()?;
    let follow = |credential: &str, path: &str| -> Result<(Wire, u16)> {
        let mut wire = Wire::connect(host.admin)?;
        wire.send(format!(
            "GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {credential}\r\n\r\n"
        ));
        let head = wire.read_past("\r\n\r\n")?;
        Ok((wire, status(&head).unwrap_or(0)))
    };
    let credential = made["credential"]
        .as_str()
        .context("a credential")?
        .trim()
        .to_owned();
    let mut held = Vec::new();
    for _ in 0..120 {
        held.push(follow(&credential, &viewer.path("/logs?follow=true"))?);
    }
    let open = held.iter().filter(|(_, status)| *status == 200).count();
    let token = std::fs::read_to_string(host.data().join("operator.token"))?;
    let (_wire, seen) = follow(token.trim(), "/api/v1/tenants/good/logs?follow=true")?;
    ensure!(
        seen == 200,
        "the operator's look at the log: {seen}, beside {open} of a viewer"
    );
    Ok(format!(
        "{open} of 120 for one viewer, and the operator's is answered"
    ))
}

fn l17(stage: &Stage) -> Seen {
    let host = stage.open()?;
    let tenant = sender(stage, host, "l17", &[])?;
    tenant.limit(&json!({ "http_total": "2s", "http_first_byte": "2s", "wall": "5s" }))?;
    let mut seen = Vec::new();
    for path in ["/continues", "/bytes", "/trailers"] {
        let url = stage.server.url(path);
        let requests: Vec<_> = (0..6).map(|_| json!({ "url": url })).collect();
        let requests = json!({ "requests": requests });
        let callers = stage.scaled(4, 8);
        let (answers, longest) = beside_the_good_tenant(host, || {
            at_once(callers, |_| tenant.post("http-client", "/start", &requests))
        })?;
        for answer in answers {
            let answer = answer?;
            ensure!(
                answer.status < 500 || answer.seen() != "500 internal",
                "{path}: {}",
                answer.seen()
            );
        }
        ensure!(
            longest < Duration::from_millis(stage.scaled(500, 250)),
            "{path}: the good tenant waited {longest:?}"
        );
        seen.push(format!("{path} {}", spoken(longest)));
    }
    let one = send(&tenant, &json!({ "url": stage.server.url("/continues") }))?;
    ensure!(one["error"].is_string(), "{one}");
    Ok(format!("the good tenant waited at most: {}", seen.join(", ")))
}

fn l18(stage: &Stage) -> Seen {
    let mut folder = stage.fresh(&stage.launch())?.stop()?;
    let data = folder.path().to_owned();
    let count = |kind: &str| -> Result<usize> { Ok(std::fs::read_dir(data.join(kind))?.count()) };
    let (databases, components) = (count("databases")?, count("components")?);
    ensure!(components > 0, "there is nothing to lose");
    let database = data.join("mortise.db");
    let intact = std::fs::read(&database)?;
    let cut = intact[..intact.len() / 2].to_vec();
    for (name, content) in [("empty", Some(Vec::new())), ("cut", Some(cut)), ("missing", None)] {
        match content {
            Some(content) => std::fs::write(&database, content)?,
            None => std::fs::remove_file(&database)?,
        }
        // Whether it starts or not, no data of a tenant may be lost.
        if let Ok(host) = stage.launch().start_on(Arc::clone(&folder)) {
            pass(Duration::from_secs(2));
            drop(host);
        }
        ensure!(
            (count("databases")?, count("components")?) == (databases, components),
            "{name}: data of tenants is gone"
        );
        for journal in ["mortise.db-wal", "mortise.db-shm"] {
            let _ = std::fs::remove_file(data.join(journal));
        }
        std::fs::write(&database, &intact)?;
        let host = stage
            .launch()
            .start_on(folder)
            .with_context(|| format!("after {name}"))?;
        host.http()
            .get(crate::stage::GOOD_PATH)?
            .is("200")
            .with_context(|| format!("after {name}"))?;
        folder = host.stop()?;
    }
    Ok(
        "refused or harmless with an empty, a cut and no control database; with it back everything serves"
            .to_owned(),
    )
}
